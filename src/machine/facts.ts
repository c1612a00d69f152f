/** Memory, load, uptime and addresses of this machine: what the kernel says, also about the container around gwe. */
import * as os from 'node:os';
import { renderTable } from './mounts.ts';
import type { Missing, SystemFiles } from './system-files.ts';

const MOST_INTERFACES = 32;
const MOST_ADDRESSES = 16;
/** Version 1 of cgroups writes its "no limit" as a number near 2^63. */
const NO_LIMIT_BYTES = 2 ** 60;

export interface MemoryFacts {
  totalBytes: number;
  /** Absent on kernels before 3.14. */
  availableBytes?: number;
  swapTotalBytes?: number;
  swapFreeBytes?: number;
  /** The limit of the container or service that gwe runs in, if it has one. */
  limitBytes?: number;
  limitUsedBytes?: number;
}

/** The memory, and the table of it as `free -k` prints it. */
export function readMemory(
  files: SystemFiles,
  missing: Missing,
): { facts: MemoryFacts; free: string } | undefined {
  const text = missing.attempt('/proc/meminfo', () =>
    files.read('/proc/meminfo', 64 * 1024).toString('latin1'),
  );
  if (text === undefined) return undefined;
  const kib = (key: string): number | undefined => {
    const found = new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const total = kib('MemTotal');
  if (total === undefined) {
    missing.note('/proc/meminfo', 'no MemTotal in it');
    return undefined;
  }
  const bytes = <K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> =>
    (value === undefined ? {} : { [key]: value * 1024 }) as Partial<Record<K, number>>;
  return {
    facts: {
      totalBytes: total * 1024,
      ...bytes('availableBytes', kib('MemAvailable')),
      ...bytes('swapTotalBytes', kib('SwapTotal')),
      ...bytes('swapFreeBytes', kib('SwapFree')),
      ...readLimit(files),
    },
    free: renderFree(total, kib),
  };
}

function renderFree(total: number, kib: (key: string) => number | undefined): string {
  const [free = 0, swapTotal = 0, swapFree = 0] = [kib('MemFree'), kib('SwapTotal'), kib('SwapFree')];
  const cache = (kib('Buffers') ?? 0) + (kib('Cached') ?? 0) + (kib('SReclaimable') ?? 0);
  const available = kib('MemAvailable');
  const memory = [total, Math.max(0, total - free - cache), free, kib('Shmem') ?? 0, cache];
  const known = available === undefined ? memory : [...memory, available];
  return renderTable([
    ['', 'total', 'used', 'free', 'shared', 'buff/cache', ...(available === undefined ? [] : ['available'])],
    ['Mem:', ...known.map(String)],
    ['Swap:', ...[swapTotal, swapTotal - swapFree, swapFree].map(String)],
  ]);
}

/** The lowest limit on the way from gwe's own cgroup up to the root; none is no fault. */
function readLimit(files: SystemFiles): Pick<MemoryFacts, 'limitBytes' | 'limitUsedBytes'> {
  let lowest: { limitBytes: number; limitUsedBytes: number } | undefined;
  for (const { directory, limit, used } of cgroupsOfSelf(files)) {
    const limitBytes = readNumber(files, `${directory}/${limit}`);
    const limitUsedBytes = readNumber(files, `${directory}/${used}`);
    if (limitBytes === undefined || limitUsedBytes === undefined || limitBytes >= NO_LIMIT_BYTES) continue;
    if (lowest === undefined || limitBytes < lowest.limitBytes) lowest = { limitBytes, limitUsedBytes };
  }
  return lowest ?? {};
}

function cgroupsOfSelf(files: SystemFiles): { directory: string; limit: string; used: string }[] {
  const lines =
    quietly(() =>
      files
        .read('/proc/self/cgroup', 64 * 1024)
        .toString('latin1')
        .split('\n'),
    ) ?? [];
  return lines.flatMap((line) => {
    const [, controllers, path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const isV2 = controllers === '';
    if (!isV2 && controllers?.split(',').includes('memory') !== true) return [];
    const base = isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    const names = isV2
      ? { limit: 'memory.max', used: 'memory.current' }
      : { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes' };
    const parts = path.split('/').filter((part) => part !== '' && part !== '..');
    return parts
      .concat('')
      .slice(0, 32)
      .map((_, depth) => ({
        directory: [base, ...parts.slice(0, parts.length - depth)].join('/'),
        ...names,
      }));
  });
}

function readNumber(files: SystemFiles, path: string): number | undefined {
  const text = quietly(() => files.read(path, 64).toString('latin1').trim()) ?? '';
  return /^\d{1,20}$/.test(text) ? Number(text) : undefined;
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Averages of 1, 5 and 15 minutes. */
export function readLoad(files: SystemFiles, missing: Missing): number[] | undefined {
  const text = missing.attempt('/proc/loadavg', () => files.read('/proc/loadavg', 256).toString('latin1'));
  if (text === undefined) return undefined;
  const found = /^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+) /.exec(text)?.slice(1).map(Number);
  if (found === undefined) missing.note('/proc/loadavg', 'not as expected');
  return found;
}

/** How long the machine has been up, in whole seconds. */
export function readUptime(files: SystemFiles, missing: Missing): number | undefined {
  const text = missing.attempt('/proc/uptime', () => files.read('/proc/uptime', 256).toString('latin1'));
  if (text === undefined) return undefined;
  const seconds = Number.parseFloat(text);
  if (Number.isFinite(seconds)) return Math.floor(seconds);
  missing.note('/proc/uptime', 'not as expected');
  return undefined;
}

export interface InterfaceFacts {
  mac?: string;
  addresses: string[];
}

/** By name, loopback left out; `more` counts those beyond 32. */
export function readInterfaces(
  missing: Missing,
  ask: typeof os.networkInterfaces = os.networkInterfaces,
): { interfaces: Record<string, InterfaceFacts>; more: number } | undefined {
  const all = missing.attempt('network interfaces', ask);
  if (all === undefined) return undefined;
  const outward = Object.entries(all).flatMap(([name, list]) => {
    const addresses = (list ?? []).filter((address) => !address.internal);
    const mac = addresses[0]?.mac;
    if (addresses.length === 0) return [];
    const facts = { addresses: addresses.slice(0, MOST_ADDRESSES).map(({ address }) => address) };
    return [[name, mac === undefined ? facts : { mac, ...facts }] as const];
  });
  return {
    interfaces: Object.fromEntries(outward.slice(0, MOST_INTERFACES)),
    more: Math.max(0, outward.length - MOST_INTERFACES),
  };
}
