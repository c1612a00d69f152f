/** What a waiting process holds, and all that it has started: its PSS, and what of that is shared with nobody. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export type Resting = Readonly<Record<'pssMiB' | 'privateMiB', number>>;

/** Lets `child` come to rest for so long, looks, and ends it. */
export async function resting(child: ChildProcess, restMs: number): Promise<Resting> {
  const gone = new Promise((resolve) => child.once('close', resolve));
  await delay(restMs);
  if (child.exitCode !== null) throw new Error(`'${child.spawnfile}' ended with ${child.exitCode}`);
  const memory = treeMemory(child.pid ?? -1);
  child.kill('SIGTERM');
  await gone;
  return memory;
}

/** Of `pid` and what it has started. */
export function treeMemory(pid: number): Resting {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const sum = (key: RegExp): number =>
    [...rollup.matchAll(key)].reduce((all, [, kiB]) => all + Number(kiB), 0) / 1024;
  const own = { pssMiB: sum(/^Pss:\s+(\d+) kB$/gm), privateMiB: sum(/^Private_\w+:\s+(\d+) kB$/gm) };
  return childrenOf(pid).reduce((all, child) => {
    const { pssMiB, privateMiB } = treeMemory(child);
    return { pssMiB: all.pssMiB + pssMiB, privateMiB: all.privateMiB + privateMiB };
  }, own);
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
