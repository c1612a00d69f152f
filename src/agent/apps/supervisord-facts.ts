/** What supervisord says for a report. It may be slow, absent or answer nonsense: each part is known or unknown. */
import { describeError } from '../../base/errors.ts';
import type { ProcessInfo } from '../../supervisor/client.ts';
import type { AgentContext } from '../run/context.ts';

/** A check-in waits no longer than this for it. */
const PATIENCE_MS = 5000;
/** How much of supervisord's own log is read: some 600 lines. */
const LOG_TAIL_BYTES = 64 * 1024;

export interface SupervisordFacts {
  version?: string;
  /** Absent when it did not answer. */
  processes?: ProcessInfo[];
  /** Its own log's end; empty where it keeps none. */
  log: string;
  /** Why something is absent, in one line. */
  problem?: string;
}

export async function askSupervisord(context: Pick<AgentContext, 'supervisor'>): Promise<SupervisordFacts> {
  const client = context.supervisor(PATIENCE_MS);
  const [version, rows, log] = await Promise.allSettled([
    client.getVersion(),
    client.getReadableProcessInfo(),
    client.readOwnLogTail(LOG_TAIL_BYTES),
  ]);
  const failed = [version, rows].find((one) => one.status === 'rejected');
  const unreadable = rows.status === 'fulfilled' ? rows.value.unreadable : 0;
  const problem =
    failed !== undefined
      ? describeError(failed.reason)
      : unreadable > 0
        ? `${unreadable} of its processes could not be read`
        : undefined;
  return {
    ...(version.status === 'fulfilled' ? { version: version.value.slice(0, 64) } : {}),
    ...(rows.status === 'fulfilled' ? { processes: rows.value.rows } : {}),
    log: log.status === 'fulfilled' ? log.value : '',
    ...(problem === undefined ? {} : { problem }),
  };
}
