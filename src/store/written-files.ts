/** What a program has written into the directory of its version since that was installed, and copying it elsewhere. */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { META_DIRECTORY } from '../artifact/manifest/meta-files.ts';
import { systemCode, wrapError } from '../base/errors.ts';
import {
  ensureDirectory,
  listDirectory,
  readLink,
  renameDurable,
  swapLink,
  temporaryPath,
} from '../base/fs.ts';
import { mountPointsIn } from '../base/mount-points.ts';

/** Part of the version itself, or rebuilt by whoever needs it. */
const NEVER_DATA = new Set([
  'install.sh',
  'setup.py',
  'health.sh',
  'supervisor.conf',
  META_DIRECTORY,
  '__pycache__',
]);
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const COPY_BYTES = 64 * 1024;
const DIRECTORY = O_RDONLY | O_DIRECTORY;

/** Unpacking a version takes less. */
const UNPACKING_MS = 3600 * 1000;

export interface WrittenFile {
  /** Relative to the version's directory. */
  path: string;
  sizeBytes: number;
}

/**
 * Files and links below `directory` that were made or changed after `sinceMs`, or at a time before the version was even
 * unpacked: then the clock was wrong. By the time of change, which nobody sets. Nothing that is mounted there.
 */
export function listWritten(
  directory: string,
  sinceMs: number,
  unpackedMs = timeOfUnpacking(directory),
): WrittenFile[] {
  const earliestMs = unpackedMs - UNPACKING_MS;
  const isWritten = ({ ctimeMs }: Stats): boolean => ctimeMs > sinceMs || ctimeMs < earliestMs;
  const mounts = new Set(mountPointsIn(directory).map(({ path }) => path));
  const found: WrittenFile[] = [];
  const look = (below: string): void => {
    for (const name of listDirectory(join(directory, below))) {
      const path = join(below, name);
      const at = join(directory, path);
      if (NEVER_DATA.has(name) || mounts.has(at)) continue;
      const stat = lstatSync(at, { throwIfNoEntry: false });
      if (stat?.isDirectory() === true) look(path);
      else if (stat !== undefined && (stat.isFile() || stat.isSymbolicLink()) && isWritten(stat))
        found.push({ path, sizeBytes: stat.size });
    }
  };
  look('');
  return found;
}

function timeOfUnpacking(directory: string): number {
  const scripts = ['install.sh', 'setup.py'].map((name) => join(directory, name));
  const found = scripts.map((path) => lstatSync(path, { throwIfNoEntry: false })?.ctimeMs);
  return found.find((ms) => ms !== undefined) ?? 0;
}

/**
 * Copies `files` with owner, mode and time, and the directories that they are in. What is there already is replaced.
 * Both sides may belong to a user who is to become no more than that: no link is followed below `from` and `to`,
 * whenever it was put there, and what gets an owner is what was made here. Throws STORE_IO.
 */
export function copyWritten(files: readonly WrittenFile[], from: string, to: string): void {
  ensureDirectory(to);
  const made = new Set<string>();
  const chunk = Buffer.allocUnsafeSlow(COPY_BYTES);
  for (const { path } of files) {
    try {
      copyOne(path, { from, to, made, chunk });
    } catch (error) {
      if (systemCode(error) === 'ENOENT' && !existsSync(join(from, path))) continue;
      throw wrapError(error, 'STORE_IO', `cannot copy '${join(from, path)}' to '${join(to, path)}'`);
    }
  }
}

interface Copying {
  from: string;
  to: string;
  /** Directories that have their owner and mode. */
  made: Set<string>;
  /** One for all files: the collector would be late for one each. */
  chunk: Buffer;
}

function copyOne(path: string, { from, to, made, chunk }: Copying): void {
  const open: number[] = [openSync(from, DIRECTORY), openSync(to, DIRECTORY)];
  let [source = -1, target = -1] = open;
  try {
    let reached = '.';
    for (const name of dirname(path) === '.' ? [] : dirname(path).split('/')) {
      source = openSync(inside(source, name), DIRECTORY | O_NOFOLLOW);
      open.push(source);
      target = openOrMake(target, name);
      open.push(target);
      reached = join(reached, name);
      if (!made.has(reached)) giveAs(fstatSync(source), target);
      made.add(reached);
    }
    const name = basename(path);
    const link = readLink(inside(source, name));
    if (link !== undefined) swapLink(link, inside(target, name));
    else copyFileAs(inside(source, name), inside(target, name), chunk);
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** The path of `name` in the directory that is open, whatever has become of that one's own path. */
function inside(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

function openOrMake(directory: number, name: string): number {
  const path = inside(directory, name);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path, { mode: 0o700 });
  return openSync(path, DIRECTORY | O_NOFOLLOW);
}

/** A new file first, then the name: an existing file is never written to. */
function copyFileAs(from: string, to: string, chunk: Buffer): void {
  const temporary = temporaryPath(to);
  const source = openSync(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stat = fstatSync(source);
    const target = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      for (let bytes = readSync(source, chunk); bytes > 0; bytes = readSync(source, chunk))
        for (let at = 0; at < bytes; ) at += writeSync(target, chunk, at, bytes - at);
      giveAs(stat, target);
      futimesSync(target, stat.atime, stat.mtime);
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
    renameDurable(temporary, to);
  } finally {
    closeSync(source);
    rmSync(temporary, { force: true });
  }
}

/** Only root can give a file away. The owner first: to change it takes bits of the mode away. */
function giveAs({ uid, gid, mode }: Stats, fd: number): void {
  if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
  fchmodSync(fd, mode & 0o7777);
}
