/** What supervisord says for a report. It may be slow, absent or talk nonsense: each part is known or not. */
import { describeError } from '../base/errors.ts';
import type { ProcessInfo } from '../supervisor/client.ts';
import type { AgentContext } from './context.ts';

/** A check-in does not wait longer for it than this. */
const PATIENCE_MS = 5000;
/** Of supervisord's own log: some 600 lines. */
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

export async function askSupervisord(context: AgentContext): Promise<SupervisordFacts> {
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
