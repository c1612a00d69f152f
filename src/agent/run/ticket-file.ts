import * as v from 'valibot';
import { storedFile } from '../../base/stored-file.ts';
import type { TicketStore } from '../../protocol/transport-tls.ts';

/** The TLS session ticket in run/gwe, so that a restart costs no full handshake (src/protocol/README.md, "A check-in"). */

const LARGEST_TICKET_BYTES = 64 * 1024;
const TicketSchema = v.object({
  ticket: v.string(),
  trust: v.string(),
  fromMs: v.number(),
  untilMs: v.number(),
});

/** A ticket that cannot be kept costs a longer handshake and nothing else. */
export function createTicketFile(path: string, onFault: (error: unknown) => void): TicketStore {
  const file = storedFile(path, { schema: TicketSchema, limitBytes: LARGEST_TICKET_BYTES, mode: 0o600 });
  return {
    load() {
      const kept = file.readOr(undefined);
      return kept === undefined ? undefined : { ...kept, ticket: Buffer.from(kept.ticket, 'base64') };
    },
    save(kept) {
      try {
        file.write({ ...kept, ticket: kept.ticket.toString('base64') });
      } catch (error) {
        onFault(error);
      }
    },
  };
}
