/** The TLS session ticket in run/gwe, so that a restart costs no full handshake (design.md §6). */
import { dirname } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';
import type { TicketStore } from '../protocol/transport.ts';

const LARGEST_TICKET_BYTES = 64 * 1024;
const TicketSchema = v.object({ peer: v.string(), ticket: v.string() });

/**
 * `peer` says for whom and under which trust the ticket was got (URL and CA file): another's is not used. A ticket
 * that cannot be kept costs a longer handshake and nothing else.
 */
export function createTicketFile(path: string, peer: string, onFault: (error: unknown) => void): TicketStore {
  return {
    load() {
      try {
        const kept = v.parse(TicketSchema, JSON.parse(readTextBounded(path, LARGEST_TICKET_BYTES) ?? 'null'));
        return kept.peer === peer ? Buffer.from(kept.ticket, 'base64') : undefined;
      } catch {
        return undefined;
      }
    },
    save(ticket) {
      try {
        ensureDirectory(dirname(path));
        writeFileDurable(path, JSON.stringify({ peer, ticket: ticket.toString('base64') }), 0o600);
      } catch (error) {
        onFault(error);
      }
    },
  };
}
