/** Ids of transactions and reports, in the order of their creation. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Outbox } from '../../store/outbox.ts';
import type { Journal } from '../../update/journal.ts';

const TIME_DIGITS = 9;

/** Sorts by time of creation; unique without looking anywhere. */
export function createId(wallMs: number): string {
  return `${Math.max(0, wallMs).toString(36).padStart(TIME_DIGITS, '0')}${randomBytes(3).toString('hex')}`;
}

/**
 * Ids that sort in the order of their creation whatever the clock does, also across a restart: each is later than the
 * last transaction and than every report that waits. Reports are sent in that order.
 */
export function createIdSource(
  clock: Pick<Clock, 'wallMs'>,
  journal: Pick<Journal, 'read'>,
  outbox: Pick<Outbox, 'newestKey'>,
): () => string {
  let lastMs = -1;
  const lastTransaction = (): string | undefined => {
    try {
      return journal.read()?.id;
    } catch {
      return undefined;
    }
  };
  return () => {
    lastMs = Math.max(lastMs, timeOfId(lastTransaction()), timeOfId(outbox.newestKey())) + 1;
    lastMs = Math.max(lastMs, clock.wallMs());
    return createId(lastMs);
  };
}

/** -1 for what is no id of ours. */
function timeOfId(id: string | undefined): number {
  const digits = id?.slice(0, TIME_DIGITS) ?? '';
  return /^[0-9a-y][0-9a-z]{8}$/.test(digits) ? Number.parseInt(digits, 36) : -1;
}
