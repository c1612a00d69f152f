/** The agent that runs on a root, as another process sees it. */
import { lockHolder } from '../base/lock.ts';
import type { Layout } from '../store/layout.ts';

/** Its process id, or `undefined` if none runs. */
export function runningAgent(layout: Layout): number | undefined {
  return lockHolder(layout.agentLock)?.pid;
}

/** Asks the running agent to check in at once (SIGHUP). Returns its process id, or `undefined` if none runs. */
export function wakeAgent(layout: Layout): number | undefined {
  const pid = runningAgent(layout);
  if (pid === undefined) return undefined;
  process.kill(pid, 'SIGHUP');
  return pid;
}

/** Ends the running agent (SIGTERM), so that whatever keeps it running starts the gwe that is `current` now. */
export function stopAgent(layout: Layout): void {
  const pid = runningAgent(layout);
  if (pid !== undefined) process.kill(pid, 'SIGTERM');
}
