/** The key that TLS tickets are sealed with: one for all processes of a platform, replaced from time to time. */
import type { Clock } from '../../base/clock.ts';
import { TICKET_KEY_EVERY_MS, TICKET_KEY_SECONDS } from '../bounds.ts';
import type { Storage } from '../storage/storage.ts';
import type { Listener } from './listener.ts';

/** The number of bytes that the runtime takes: it holds one key, and no older ones beside it. */
const KEY_BYTES = 48;

export function readTicketKey(storage: Pick<Storage, 'secret'>): Promise<Buffer> {
  return storage.secret('tls-tickets', KEY_BYTES, TICKET_KEY_SECONDS);
}

/** Resolves after `closing`. While the database cannot be reached, the key stays as it is. */
export async function keepTicketKey(
  storage: Pick<Storage, 'secret'>,
  listeners: () => readonly { listener: Listener }[],
  clock: Pick<Clock, 'sleep'>,
  closing: AbortSignal,
): Promise<void> {
  while (!closing.aborted) {
    await clock.sleep(TICKET_KEY_EVERY_MS, closing);
    const key = closing.aborted ? undefined : await readTicketKey(storage).catch(() => undefined);
    if (key !== undefined) for (const { listener } of listeners()) listener.setTicketKey(key);
  }
}
