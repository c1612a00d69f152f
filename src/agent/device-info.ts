/** `device_info` (spec §4.2): what the gateway is and how full it is, as `df`, `uname` and `free` would print it. */

import { statfsSync } from 'node:fs';
import * as os from 'node:os';
import { readTextBounded } from '../base/fs.ts';

const PSEUDO_FILE_SYSTEMS = new Set(
  'proc sysfs devpts cgroup cgroup2 securityfs debugfs tracefs pstore bpf mqueue hugetlbfs autofs configfs fusectl'
    .split(' ')
    .concat('binfmt_misc', 'rpc_pipefs', 'nsfs', 'efivarfs', 'squashfs', 'devtmpfs'),
);
const MOST_MOUNTS = 20;

interface Mount {
  device: string;
  blocks: number;
  used: number;
  available: number;
  percent: number;
  path: string;
}

/**
 * The report's JSON text. Key order matters: an old cloud-side parser finds `df` before `uname` (spec §4.2).
 * `stable` leaves out what changes by itself, to tell whether the report is worth sending again.
 */
export function renderDeviceInfo(extra: Readonly<Record<string, string>>): { text: string; stable: string } {
  const mounts = readMounts();
  const addresses = listAddresses();
  const uname = [os.type(), os.hostname(), os.release(), os.version(), os.machine()].join(' ');
  const text = JSON.stringify({
    df: renderDf(mounts),
    uname,
    free: renderFree(),
    ipaddrs: addresses,
    ...extra,
  });
  const stable = JSON.stringify([
    mounts.map((mount) => [mount.path, mount.percent]),
    uname,
    addresses,
    extra,
  ]);
  return { text, stable };
}

function listAddresses(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal)
    .map((address) => address.address);
}

function readMounts(): Mount[] {
  const mounts = new Map<string, Mount>();
  for (const line of (readTextBounded('/proc/mounts', 1024 * 1024) ?? '').split('\n')) {
    const [device = '', path = '', type = ''] = line.split(' ').map(unescapeMount);
    if (path === '' || PSEUDO_FILE_SYSTEMS.has(type) || mounts.size >= MOST_MOUNTS) continue;
    const mount = measureMount(device, path);
    if (mount !== undefined) mounts.set(path, mount);
  }
  return [...mounts.values()];
}

/** /proc/mounts writes white space as octal (proc(5)). */
function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function measureMount(device: string, path: string): Mount | undefined {
  try {
    const stat = statfsSync(path);
    if (stat.blocks === 0) return undefined;
    const kib = stat.bsize / 1024;
    const usedBlocks = stat.blocks - stat.bfree;
    const percent = Math.ceil((100 * usedBlocks) / Math.max(1, usedBlocks + stat.bavail));
    const count = (blocks: number): number => Math.round(blocks * kib);
    return {
      device,
      blocks: count(stat.blocks),
      used: count(usedBlocks),
      available: count(stat.bavail),
      percent,
      path,
    };
  } catch {
    return undefined;
  }
}

/** As `df -P -k`: one line each, never wrapped. */
function renderDf(mounts: readonly Mount[]): string {
  const rows = mounts.map((mount) => [
    mount.device,
    String(mount.blocks),
    String(mount.used),
    String(mount.available),
    `${mount.percent}%`,
    mount.path,
  ]);
  return renderTable([['Filesystem', '1024-blocks', 'Used', 'Available', 'Capacity', 'Mounted on'], ...rows]);
}

/** As `free -k`. */
function renderFree(): string {
  const text = readTextBounded('/proc/meminfo', 64 * 1024) ?? '';
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const cache = kib('Buffers') + kib('Cached') + kib('SReclaimable');
  const used = kib('MemTotal') - kib('MemFree') - cache;
  const memory = [kib('MemTotal'), used, kib('MemFree'), kib('Shmem'), cache, kib('MemAvailable')];
  const swap = [kib('SwapTotal'), kib('SwapTotal') - kib('SwapFree'), kib('SwapFree')];
  return renderTable([
    ['', 'total', 'used', 'free', 'shared', 'buff/cache', 'available'],
    ['Mem:', ...memory.map(String)],
    ['Swap:', ...swap.map(String)],
  ]);
}

/** First and last columns to the left, the others to the right, so that it reads well inside `<pre>`. */
function renderTable(rows: readonly (readonly string[])[]): string {
  const width = (column: number): number => Math.max(...rows.map((row) => (row[column] ?? '').length));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(width(0)) : column === 5 ? cell : cell.padStart(width(column)),
        )
        .join(' ')
        .trimEnd(),
    )
    .join('\n');
}
