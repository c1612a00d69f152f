/** Who owns a TCP port: if supervisord is not running, anybody may listen in its place and receive its password. */
import { readFileSync } from 'node:fs';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
/** Linux's TCP_LISTEN (include/net/tcp_states.h). */
const LISTEN = '0A';
/** Ports below this only root may listen on. */
const FIRST_FREE_PORT = 1024;

/**
 * Throws an Error that says whose it is, where a user other than root and gwe's own listens on `port` of this
 * machine.
 */
export function assertOwnListener(port: number): void {
  if (port < FIRST_FREE_PORT) return;
  const other = TABLES.flatMap((table) => listeners(table, port)).find(
    (uid) => uid !== 0 && uid !== process.getuid?.(),
  );
  if (other !== undefined)
    throw new Error(
      `port ${port} belongs to uid ${other}, and anybody could listen there; expected root or gwe's own user`,
    );
}

function listeners(table: string, port: number): number[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  try {
    const rows = readFileSync(table, 'utf8').split('\n').slice(1);
    return rows.flatMap((row) => {
      const [, local = '', , state, , , , uid] = row.trim().split(/\s+/);
      return state === LISTEN && local.endsWith(wanted) ? [Number(uid)] : [];
    });
  } catch {
    return [];
  }
}
