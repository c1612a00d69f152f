/** The agent that runs on a root, as another process sees it. */
import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { ensureDirectory, readTextBounded, removeFileDurable, writeFileDurable } from '../../base/fs.ts';
import { lockHolder } from '../../base/lock.ts';
import type { Layout } from '../../store/layout.ts';

/** Its process id, or `undefined` if none runs. */
export function runningAgent(layout: Layout): number | undefined {
  return lockHolder(layout.agentLock)?.pid;
}

const WAKE_MS = 10_000;
const WAKE_POLL_MS = 20;

/**
 * Asks the running agent to check in at once. Returns its process id, or `undefined` if none runs.
 *
 * Word is left first, since a process that just goes to sleep or gets up would be ended by SIGHUP; it looks for the mark
 * then. The signal is for one that sleeps or rests already.
 */
export async function wakeAgent(layout: Layout, clock: Clock): Promise<number | undefined> {
  if (runningAgent(layout) === undefined) return undefined;
  ensureDirectory(layout.runDirectory);
  writeFileDurable(layout.wakeMark, '');
  const endMs = clock.monotonicMs() + WAKE_MS;
  for (let pid = runningAgent(layout); pid !== undefined; pid = runningAgent(layout)) {
    if (catchesHangup(pid)) process.kill(pid, 'SIGHUP');
    else if (existsSync(layout.wakeMark) && clock.monotonicMs() < endMs) {
      await clock.sleep(WAKE_POLL_MS);
      continue;
    }
    return pid;
  }
  removeFileDurable(layout.wakeMark);
  return undefined;
}

/** Whether SIGHUP, the first bit, has a handler in the process now (proc(5), SigCgt). */
function catchesHangup(pid: number): boolean {
  const caught = /^SigCgt:\s*[0-9a-f]*([0-9a-f])$/m.exec(
    readTextBounded(`/proc/${pid}/status`, 64 * 1024) ?? '',
  );
  return (Number.parseInt(caught?.[1] ?? '0', 16) & 1) === 1;
}

/** Ends the running agent (SIGTERM), so that whatever keeps it running starts the gwe that is `current` now. */
export function stopAgent(layout: Layout): void {
  const pid = runningAgent(layout);
  if (pid !== undefined) process.kill(pid, 'SIGTERM');
}
