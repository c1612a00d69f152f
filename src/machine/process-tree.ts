/** Memory and CPU time of a program with everything that it has started. */
import type { SystemFiles } from './system-files.ts';

/** Of /proc/PID/stat; the unit in which the kernel reports times; the same on all targets of gwe. */
const TICKS_PER_SECOND = 100;
/** Adding up the maps of a process costs time in proportion to them. */
const MOST_MAPPED = 64;

interface Process {
  pid: number;
  ppid: number;
  pgid: number;
  ticks: number;
  /** Ended, and not yet waited for: it holds no memory. */
  isZombie: boolean;
}

export interface TreeFacts {
  processes: number;
  /** Time in user and kernel mode, of children that have ended as well. */
  cpuSeconds: number;
  memoryBytes: number;
  /** `pss`: memory shared with others counts by its share; `rss`: in full, where only that can be read. */
  memoryKind: 'pss' | 'rss';
}

interface ProcessTable {
  /** The process `pid`, its descendants, and its process group; `undefined` when it cannot be seen. */
  tree(pid: number): TreeFacts | undefined;
}

/** One look at all processes. Entries that cannot be read (gone since, or hidden) are skipped. */
export function readProcessTable(files: SystemFiles): ProcessTable {
  const all = new Map<number, Process>();
  for (const name of listPids(files)) {
    const found = readProcess(files, name);
    if (found !== undefined) all.set(found.pid, found);
  }
  const childrenOf = new Map<number, number[]>();
  for (const { pid, ppid } of all.values()) childrenOf.set(ppid, [...(childrenOf.get(ppid) ?? []), pid]);
  return {
    tree(pid) {
      if (!all.has(pid)) return undefined;
      const members = new Set<number>([pid]);
      for (const each of all.values()) if (each.pgid === pid) members.add(each.pid);
      for (const each of members) for (const child of childrenOf.get(each) ?? []) members.add(child);
      const ticks = [...members].reduce((sum, each) => sum + (all.get(each)?.ticks ?? 0), 0);
      const living = [...members].filter((each) => all.get(each)?.isZombie === false);
      const memory = measureMemory(files, living);
      if (memory === undefined) return undefined;
      return { processes: members.size, cpuSeconds: ticks / TICKS_PER_SECOND, ...memory };
    },
  };
}

function listPids(files: SystemFiles): string[] {
  try {
    return files.list('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function readProcess(files: SystemFiles, name: string): Process | undefined {
  try {
    const text = files.read(`/proc/${name}/stat`, 4096).toString('latin1');
    // The name in parentheses may hold anything, also parentheses.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [, ppid = 0, pgid = 0] = fields;
    const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
    if (!Number.isSafeInteger(ticks) || !Number.isSafeInteger(ppid)) return undefined;
    const isZombie = text[text.lastIndexOf(')') + 2] === 'Z';
    return { pid: Number(name), ppid, pgid, ticks, isZombie };
  } catch {
    return undefined;
  }
}

function measureMemory(
  files: SystemFiles,
  pids: readonly number[],
): Pick<TreeFacts, 'memoryBytes' | 'memoryKind'> | undefined {
  const sumOf = (read: (pid: number) => number | undefined): number | undefined => {
    const found = pids.map(read);
    return found.some((each) => each === undefined)
      ? undefined
      : found.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  };
  const pss =
    pids.length > MOST_MAPPED
      ? undefined
      : sumOf((pid) => readKib(files, `/proc/${pid}/smaps_rollup`, 'Pss'));
  if (pss !== undefined) return { memoryBytes: pss, memoryKind: 'pss' };
  const known = pids.flatMap((pid) => readKib(files, `/proc/${pid}/status`, 'VmRSS') ?? []);
  if (known.length === 0) return undefined;
  return { memoryBytes: known.reduce((sum, each) => sum + each, 0), memoryKind: 'rss' };
}

/** In bytes. */
function readKib(files: SystemFiles, path: string, key: string): number | undefined {
  try {
    const text = files.read(path, 16 * 1024).toString('latin1');
    const found = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found) * 1024;
  } catch {
    return undefined;
  }
}
