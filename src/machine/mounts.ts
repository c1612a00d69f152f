/** The file systems of this machine, as `df` lists them, with their inodes. */
import { cutText } from '../base/text.ts';
import type { Missing, SystemFiles } from './system-files.ts';

const PSEUDO = new Set(
  'proc sysfs devpts cgroup cgroup2 securityfs debugfs tracefs pstore bpf mqueue hugetlbfs autofs configfs fusectl'
    .split(' ')
    .concat('binfmt_misc', 'rpc_pipefs', 'nsfs', 'efivarfs', 'squashfs', 'devtmpfs', 'selinuxfs'),
);
/** Asking one of these whose server is gone would block gwe forever. */
const REMOTE = /^(nfs\d?|cifs|smb3|smbfs|9p|ceph|glusterfs|afs|ncpfs|lustre|fuse\.(?!fuse-overlayfs$).*)$/;
const MOST_MOUNTS = 20;
const LONGEST_NAME_BYTES = 200;

export interface Mount {
  device: string;
  path: string;
  type: string;
  isReadOnly: boolean;
  /** Of 1024 bytes, as `df -P -k` counts. */
  blocks: number;
  used: number;
  available: number;
  percent: number;
  inodes: number;
  freeInodes: number;
}

interface Place {
  device: Buffer;
  path: Buffer;
  type: string;
  isReadOnly: boolean;
}

/**
 * At most 20, each file system once, and once more where a part of it is read-only and the rest is not; `more` counts
 * those that are left out.
 */
export function readMounts(files: SystemFiles, missing: Missing): { mounts: Mount[]; more: number } {
  const text = missing.attempt('/proc/mounts', () => files.read('/proc/mounts', 1024 * 1024));
  const byPath = new Map<string, Place>();
  // Bytes, not text: a path need not be UTF-8.
  for (const line of (text?.toString('latin1') ?? '').split('\n')) {
    const [device = '', path = '', type = '', options = ''] = line.split(' ');
    if (path === '' || PSEUDO.has(type) || /^\/(proc|sys)(\/|$)/.test(path)) continue;
    // Where two mounts share a path, the later one hides the other.
    const isReadOnly = options.split(',').includes('ro');
    byPath.set(path, { device: unescapeMount(device), path: unescapeMount(path), type, isReadOnly });
  }
  const seen = new Map<string, Mount>();
  for (const place of byPath.values()) {
    const { path, type, isReadOnly } = place;
    const shown = cutText(path.toString('utf8'), LONGEST_NAME_BYTES);
    if (REMOTE.test(type)) {
      missing.note(shown, `${type}, not asked: its server may be gone`);
      continue;
    }
    const facts = missing.attempt(shown, () => files.statfs(path));
    if (facts === undefined || facts.blocks === 0) continue;
    const key = `${facts.device} ${isReadOnly}`;
    const other = seen.get(key);
    if (other === undefined || other.path.length > shown.length) seen.set(key, describe(place, facts));
  }
  const mounts = [...seen.values()];
  return { mounts: mounts.slice(0, MOST_MOUNTS), more: Math.max(0, mounts.length - MOST_MOUNTS) };
}

/** White space and backslashes are written as octal (proc(5)). */
function unescapeMount(text: string): Buffer {
  const plain = text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
  return Buffer.from(plain, 'latin1');
}

function describe(
  { device, path, type, isReadOnly }: Place,
  facts: ReturnType<SystemFiles['statfs']>,
): Mount {
  const usedBlocks = facts.blocks - facts.freeBlocks;
  const kib = (blocks: number): number => Math.round((blocks * facts.blockBytes) / 1024);
  return {
    device: cutText(device.toString('utf8'), LONGEST_NAME_BYTES),
    path: cutText(path.toString('utf8'), LONGEST_NAME_BYTES),
    type,
    isReadOnly,
    blocks: kib(facts.blocks),
    used: kib(usedBlocks),
    available: kib(facts.availableBlocks),
    percent: Math.ceil((100 * usedBlocks) / Math.max(1, usedBlocks + facts.availableBlocks)),
    inodes: facts.inodes,
    freeInodes: facts.freeInodes,
  };
}

/** As `df -P -k`: one line each, never wrapped; empty where there is nothing to tell. */
export function renderDf(mounts: readonly Mount[]): string {
  if (mounts.length === 0) return '';
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

/** The first column and the sixth to the left, the others to the right, so that it reads well inside `<pre>`. */
export function renderTable(rows: readonly (readonly string[])[]): string {
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
