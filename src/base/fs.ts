import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { GweError, isDiskFault, systemCode, wrapError } from './errors.ts';

/** The only module that writes durable files. Everything is synchronous: order on the disk is the point. */

/** Every temporary name of ours starts so, then comes our pid; `sweepTemporaries` removes what a crash left. */
const TEMPORARY_PREFIX = '.gwe-tmp-';
/** The most directories that are moved aside from one name. */
const MOST_ASIDE = 20;
const DIGEST_READ_BYTES = 128 * 1024;

/** Beside `path`, for a file that a rename will put there. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `${TEMPORARY_PREFIX}${process.pid}-${randomBytes(6).toString('hex')}`);
}

/** Whether another process is writing this temporary right now (its pid may also have been reused: then it stays). */
function isInUse(name: string): boolean {
  const pid = /^(\d+)-/.exec(name.slice(TEMPORARY_PREFIX.length))?.[1];
  return pid !== undefined && Number(pid) !== process.pid && fs.existsSync(`/proc/${pid}`);
}

/** What is left of a write that failed. That it cannot be removed either (a read-only disk) is not the news. */
function removeQuietly(temporary: string): void {
  try {
    unlinkIfThere(temporary);
  } catch {
    // The next start sweeps it.
  }
}

export interface FileAccess {
  mode: number;
  /** Another group than that of this process. */
  gid?: number;
}

/**
 * Replaces `path` by `data`: temporary in the same directory, write, fsync, rename, fsync of the directory.
 * After a crash the file holds either the old or the new content. The mode is as given, whatever the umask.
 */
export function writeFileDurable(
  path: string,
  data: string | Uint8Array,
  access: number | FileAccess = 0o644,
): void {
  const temporary = temporaryPath(path);
  const { mode, gid }: FileAccess = typeof access === 'number' ? { mode: access } : access;
  try {
    const fd = fs.openSync(temporary, 'wx', mode);
    try {
      if (gid !== undefined) fs.fchownSync(fd, -1, gid);
      fs.fchmodSync(fd, mode);
      fs.writeFileSync(fd, data);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    replaceWith(temporary, path);
    fsyncDirectory(dirname(path));
  } catch (error) {
    removeQuietly(temporary);
    throw wrapError(error, 'STORE_IO', `cannot write '${path}'`);
  }
}

/** A damaged file system may show a directory where a file was: it is moved aside, whatever is in it. */
function replaceWith(temporary: string, path: string): void {
  try {
    fs.renameSync(temporary, path);
  } catch (error) {
    if (systemCode(error) !== 'EISDIR') throw error;
    moveAside(path);
    fs.renameSync(temporary, path);
  }
}

/**
 * Moves a damaged file out of the way, durably, and returns its new path: `PATH.unreadable`, with a
 * number where a directory has that name.
 */
export function moveAside(path: string): string {
  const aside = `${path}.unreadable`;
  for (let number = 0; ; number++) {
    const to = number === 0 ? aside : `${aside}-${number}`;
    try {
      fs.renameSync(path, to);
      fsyncDirectory(dirname(path));
      return to;
    } catch (error) {
      const isTaken = ['EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '');
      if (!isTaken || number === MOST_ASIDE)
        throw wrapError(error, 'STORE_IO', `cannot move '${path}' aside`);
    }
  }
}

/**
 * Writes `data` over the bytes of `path` from `offset` on, which must exist: it takes no space, so it works on a
 * full disk. A crash may leave part of it: the reader needs a checksum.
 */
export function overwriteDurable(path: string, offset: number, data: Uint8Array): void {
  try {
    const fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
    try {
      for (let done = 0; done < data.length; )
        done += fs.writeSync(fd, data, done, data.length - done, offset + done);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot write '${path}'`);
  }
}

/**
 * A new file (0600) that holds `room`, open at its beginning: for who writes over it later, on a disk that may be
 * full.
 */
export function createReserved(path: string, room: string): number {
  const fd = fs.openSync(path, 'wx', 0o600);
  try {
    fs.writeSync(fd, room, 0);
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw wrapError(error, 'STORE_IO', `cannot write '${path}'`);
  }
}

/**
 * Makes `to` a copy of `from`, in bounded memory: temporary beside it, fsync, rename, fsync of the directory. After a
 * crash `to` is what it was, or whole.
 */
export function copyFileDurable(from: string, to: string, mode: number): void {
  const temporary = temporaryPath(to);
  try {
    fs.copyFileSync(from, temporary, fs.constants.COPYFILE_EXCL);
    const fd = fs.openSync(temporary, 'r+');
    try {
      fs.fchmodSync(fd, mode);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    replaceWith(temporary, to);
    fsyncDirectory(dirname(to));
  } catch (error) {
    removeQuietly(temporary);
    throw wrapError(error, 'STORE_IO', `cannot copy '${from}' to '${to}'`);
  }
}

/** Makes `link` point at `target` (kept as given), atomically whether or not the link exists. */
export function swapLink(target: string, link: string): void {
  const temporary = temporaryPath(link);
  try {
    fs.symlinkSync(target, temporary);
    replaceWith(temporary, link);
    fsyncDirectory(dirname(link));
  } catch (error) {
    removeQuietly(temporary);
    throw wrapError(error, 'STORE_IO', `cannot point '${link}' at '${target}'`);
  }
}

/** Renames and makes the rename durable in both directories. */
export function renameDurable(from: string, to: string): void {
  try {
    fs.renameSync(from, to);
    fsyncDirectory(dirname(to));
    if (dirname(from) !== dirname(to)) fsyncDirectory(dirname(from));
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot rename '${from}' to '${to}'`);
  }
}

/** A missing one is fine. The runtime's `rmSync` reports a read-only disk without its code. */
export function unlinkIfThere(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (error) {
    // On a read-only disk the kernel refuses before it looks.
    if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw error;
  }
}

/** Removes a file durably; one that is not there is fine, and a directory in its place is moved aside. */
export function removeFileDurable(path: string): void {
  try {
    if (fs.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true) moveAside(path);
    else unlinkIfThere(path);
    fsyncDirectory(dirname(path));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}

/** As `removeFileDurable`; false where the disk does not let it go. */
export function removeIfPossible(path: string): boolean {
  try {
    removeFileDurable(path);
    return true;
  } catch (error) {
    if (isDiskFault(error)) return false;
    throw error;
  }
}

/** Removes the directory if nothing is in it; false if something is, or is mounted there. */
export function removeEmptyDirectory(path: string): boolean {
  try {
    fs.rmdirSync(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return true;
    if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR'].includes(systemCode(error) ?? '')) return false;
    throw wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}

export function fsyncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Makes every directory up to `path` durably, each of mode `mode`. */
export function ensureDirectory(path: string, mode = 0o755): void {
  try {
    const first = makeDirectories(path, mode);
    if (first === undefined) return;
    // Each new name stands in the directory above it, and is lost with a power cut until that one is synced.
    for (let at = path; at.length >= first.length; at = dirname(at)) fsyncDirectory(dirname(at));
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot create directory '${path}'`);
  }
}

/** Returns the first one that was made. One by one: the runtime reports a read-only disk below as ENOENT. */
function makeDirectories(path: string, mode: number): string | undefined {
  if (isDirectory(path)) return undefined;
  const first = dirname(path) === path ? undefined : makeDirectories(dirname(path), mode);
  try {
    fs.mkdirSync(path, { mode });
    return first ?? path;
  } catch (error) {
    // Another process was faster.
    if (systemCode(error) === 'EEXIST' && isDirectory(path)) return first;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  return fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * The bytes of a regular file, or `undefined` if there is none. Refuses a file of more than `limitBytes`
 * before reading it.
 */
export function readFileBounded(path: string, limitBytes: number): Buffer | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw wrapError(error, 'STORE_IO', `cannot read '${path}'`);
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new GweError('STORE_IO', `cannot read '${path}': not a regular file`);
    if (stat.size > limitBytes) {
      throw new GweError(
        'STORE_IO',
        `cannot read '${path}': ${stat.size} bytes, expected at most ${limitBytes}`,
      );
    }
    return fs.readFileSync(fd);
  } catch (error) {
    throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', `cannot read '${path}'`);
  } finally {
    fs.closeSync(fd);
  }
}

/** As `readFileBounded`, decoded as UTF-8. */
export function readTextBounded(path: string, limitBytes: number): string | undefined {
  return readFileBounded(path, limitBytes)?.toString('utf8');
}

/** sha256 in hex of a file that is no link, in bounded memory. Throws what the file system says. */
export function digestFile(path: string): string {
  return digestWith(Buffer.allocUnsafeSlow(DIGEST_READ_BYTES), path);
}

/** `digestFile` for many files: one buffer for all, since one for each would wait for the collector by the hundred. */
export function createFileDigester(): (path: string) => string {
  let chunk: Buffer | undefined;
  return (path) => {
    chunk ??= Buffer.allocUnsafeSlow(DIGEST_READ_BYTES);
    return digestWith(chunk, path);
  };
}

function digestWith(chunk: Buffer, path: string): string {
  const hash = createHash('sha256');
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    for (let bytes = fs.readSync(fd, chunk); bytes > 0; bytes = fs.readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, bytes));
    }
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex');
}

interface DiskSpace {
  freeBytes: number;
  totalBytes: number;
  freeInodes: number;
  /** False on file systems that do not count inodes (btrfs, some FUSE). */
  countsInodes: boolean;
}

/** What an unprivileged writer may still use on the file system that holds `path` (or its nearest existing parent). */
export function diskSpace(path: string): DiskSpace {
  let at = path;
  while (!fs.existsSync(at) && dirname(at) !== at) at = dirname(at);
  const stat = fs.statfsSync(at);
  return {
    freeBytes: stat.bavail * stat.bsize,
    totalBytes: stat.blocks * stat.bsize,
    freeInodes: stat.ffree,
    countsInodes: stat.files > 0,
  };
}

/**
 * Throws STORE_NO_SPACE or CONFIG_UNWRITABLE where `writeFileDurable(path)` with `sizeBytes` would fail now, as far as
 * can be told without writing (flash wears out).
 */
export function assertWritable(path: string, sizeBytes: number): void {
  const directory = dirname(path);
  ensureDirectory(directory);
  try {
    fs.accessSync(directory, fs.constants.W_OK);
  } catch (error) {
    throw wrapError(error, 'CONFIG_UNWRITABLE', `cannot write '${path}'`);
  }
  const { freeBytes, freeInodes, countsInodes } = diskSpace(directory);
  if (freeBytes >= sizeBytes && (!countsInodes || freeInodes > 0)) return;
  throw new GweError(
    'STORE_NO_SPACE',
    `cannot write '${path}': ${freeBytes} bytes and ${freeInodes} inodes free, expected ${sizeBytes} bytes and 1 inode`,
  );
}

/** Removes temporaries that a crash left directly in `directory`; returns how many. */
export function sweepTemporaries(directory: string): number {
  const left = listDirectory(directory).filter((name) => name.startsWith(TEMPORARY_PREFIX) && !isInUse(name));
  for (const name of left) removeQuietly(join(directory, name));
  return left.length;
}

/** Sorted names in `directory`; none if there is no directory of that name. */
export function listDirectory(directory: string): string[] {
  try {
    return fs.readdirSync(directory).sort();
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return [];
    throw wrapError(error, 'STORE_IO', `cannot list '${directory}'`);
  }
}

/** What the link `path` points at, or `undefined` if there is no such link. */
export function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'EINVAL') return undefined;
    throw wrapError(error, 'STORE_IO', `cannot read link '${path}'`);
  }
}
