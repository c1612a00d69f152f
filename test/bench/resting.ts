/** What a waiting process holds: its PSS and that of all that it has started. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Lets `child` come to rest for so long, looks, and ends it. */
export async function resting(child: ChildProcess, restMs: number): Promise<{ pssMiB: number }> {
  const gone = new Promise((resolve) => child.once('close', resolve));
  await delay(restMs);
  if (child.exitCode !== null) throw new Error(`'${child.spawnfile}' ended with ${child.exitCode}`);
  const pssMiB = treePssKiB(child.pid ?? -1) / 1024;
  child.kill('SIGTERM');
  await gone;
  return { pssMiB };
}

/** Of `pid` and what it has started. */
export function treePssKiB(pid: number): number {
  const own = Number(
    /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0,
  );
  return childrenOf(pid).reduce((sum, child) => sum + treePssKiB(child), own);
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
      .trim()
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  );
}
