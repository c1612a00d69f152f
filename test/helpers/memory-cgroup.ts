/** A cgroup that may have so much memory and no more, in whichever of the two hierarchies this machine has. */
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './until.ts';

export interface MemoryCgroup {
  /** Runs what follows it as one process of the group, under the same pid. */
  command: readonly string[];
  /** Processes that the kernel has killed for want of memory. */
  killed(): number;
  /** Bytes that the group held at most, pages of files included. */
  peakBytes(): number;
  remove(): Promise<void>;
}

/** `undefined` where this machine, or what runs the tests on it, lets nobody make one. */
export function createMemoryCgroup(limitBytes: number): MemoryCgroup | undefined {
  for (const parent of parents()) {
    const group = tryCreate(parent, limitBytes);
    if (group !== undefined) return group;
  }
  return undefined;
}

/** Below our own group first: what limits us then limits it too. */
function parents(): string[] {
  const own = readFileSync('/proc/self/cgroup', 'latin1').split('\n');
  const v1 = own
    .map((line) => /^\d+:(?:.*,)?memory(?:,.*)?:\/(.*)$/.exec(line)?.[1])
    .find((path) => path !== undefined);
  const v2 = own.map((line) => /^0::\/(.*)$/.exec(line)?.[1]).find((path) => path !== undefined);
  return [
    ...(v1 === undefined ? [] : [join('/sys/fs/cgroup/memory', v1)]),
    ...(v2 === undefined ? [] : [join('/sys/fs/cgroup', v2), '/sys/fs/cgroup']),
  ].filter((path) => existsSync(join(path, 'cgroup.procs')));
}

function tryCreate(parent: string, limitBytes: number): MemoryCgroup | undefined {
  const path = makeDirectory(parent);
  if (path === undefined) return undefined;
  const limits = ['memory.limit_in_bytes', 'memory.max'].filter((name) => existsSync(join(path, name)));
  try {
    for (const name of limits) writeFileSync(join(path, name), String(limitBytes));
    for (const name of ['memory.swap.max', 'memory.swappiness'])
      if (existsSync(join(path, name))) writeFileSync(join(path, name), '0');
    const isHeld = limits.some((name) => Number(readFileSync(join(path, name), 'latin1')) === limitBytes);
    if (!isHeld) throw new Error('no limit');
  } catch {
    rmdirSync(path);
    return undefined;
  }
  const number = (name: string, key: RegExp): number =>
    existsSync(join(path, name)) ? Number(key.exec(readFileSync(join(path, name), 'latin1'))?.[1] ?? 0) : 0;
  return {
    command: ['/bin/sh', '-c', 'echo $$ > "$0" && exec "$@"', join(path, 'cgroup.procs')],
    killed: () =>
      number('memory.oom_control', /^oom_kill (\d+)$/m) + number('memory.events', /^oom_kill (\d+)$/m),
    peakBytes: () => number('memory.max_usage_in_bytes', /(\d+)/) + number('memory.peak', /(\d+)/),
    remove: () => until(() => isEmpty(path)).then(() => rmdirSync(path)),
  };
}

function makeDirectory(parent: string): string | undefined {
  try {
    return mkdtempSync(join(parent, 'gwe-test-'));
  } catch {
    return undefined;
  }
}

function isEmpty(path: string): boolean {
  return readFileSync(join(path, 'cgroup.procs'), 'latin1').trim() === '';
}
