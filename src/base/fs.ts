/** The only module that writes durable files. Everything is synchronous: order on the disk is the point. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { GweError, systemCode, wrapError } from './errors.ts';

/** Every temporary name of ours starts so, then comes our pid; `sweepTemporaries` removes what a crash left. */
const TEMPORARY_PREFIX = '.gwe-tmp-';

function temporaryBeside(path: string): string {
  return join(dirname(path), `${TEMPORARY_PREFIX}${process.pid}-${randomBytes(6).toString('hex')}`);
}

/** Whether another process is writing this temporary right now (its pid may also be used anew: it stays, then). */
function isInUse(name: string): boolean {
  const pid = /^(\d+)-/.exec(name.slice(TEMPORARY_PREFIX.length))?.[1];
  return pid !== undefined && Number(pid) !== process.pid && fs.existsSync(`/proc/${pid}`);
}

/** What is left of a write that failed. That it cannot be removed either (a read-only disk) is not the news. */
function removeQuietly(temporary: string): void {
  try {
    fs.rmSync(temporary, { force: true });
  } catch {
    // The next start sweeps it.
  }
}

/**
 * Replaces `path` by `data`: temporary in the same directory, write, fsync, rename, fsync of the directory.
 * After a crash the file holds either the old or the new content. The mode is `mode`, whatever the umask.
 */
export function writeFileDurable(path: string, data: string | Uint8Array, mode = 0o644): void {
  const temporary = temporaryBeside(path);
  try {
    const fd = fs.openSync(temporary, 'wx', mode);
    try {
      fs.fchmodSync(fd, mode);
      fs.writeFileSync(fd, data);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, path);
    fsyncDirectory(dirname(path));
  } catch (error) {
    removeQuietly(temporary);
    throw wrapError(error, 'STORE_IO', `cannot write '${path}'`);
  }
}

/**
 * Writes `data` over the bytes of `path` from `offset` on, which must be there: no space is asked for, so it works on a
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
 * Makes `to` a copy of `from`, in bounded memory: temporary beside it, fsync, rename, fsync of the directory. After a
 * crash `to` is what it was, or whole.
 */
export function copyFileDurable(from: string, to: string, mode: number): void {
  const temporary = temporaryBeside(to);
  try {
    fs.copyFileSync(from, temporary, fs.constants.COPYFILE_EXCL);
    const fd = fs.openSync(temporary, 'r+');
    try {
      fs.fchmodSync(fd, mode);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, to);
    fsyncDirectory(dirname(to));
  } catch (error) {
    removeQuietly(temporary);
    throw wrapError(error, 'STORE_IO', `cannot copy '${from}' to '${to}'`);
  }
}

/** Makes `link` point at `target` (kept as given), atomically whether or not the link exists. */
export function swapLink(target: string, link: string): void {
  const temporary = temporaryBeside(link);
  try {
    fs.symlinkSync(target, temporary);
    fs.renameSync(temporary, link);
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

/** Removes a file durably; one that is not there is fine. */
export function removeFileDurable(path: string): void {
  try {
    fs.rmSync(path, { force: true });
    fsyncDirectory(dirname(path));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}

/** Removes a directory tree, also one that holds directories without write permission. */
export function removeTree(path: string): void {
  try {
    fs.rmSync(path, { recursive: true, force: true, maxRetries: 2 });
  } catch (error) {
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
    const first = fs.mkdirSync(path, { recursive: true, mode });
    if (first === undefined) return;
    // Each new name stands in the directory above it, and is lost with a power cut until that one is synced.
    for (let at = path; at.length >= first.length; at = dirname(at)) fsyncDirectory(dirname(at));
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot create directory '${path}'`);
  }
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

export interface DiskSpace {
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
  for (const name of left) removeTree(join(directory, name));
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
