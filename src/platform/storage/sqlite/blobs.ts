/** The bytes of content as files: a blob has a random name, is complete, and never changes. */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, createReadStream, linkSync, openSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { GweError, systemCode, wrapError } from '../../../base/errors.ts';
import {
  diskSpace,
  ensureDirectory,
  fsyncDirectory,
  listDirectory,
  removeFileDurable,
  renameDurable,
} from '../../../base/fs.ts';
import { RESERVED_DISK_BYTES } from '../../bounds.ts';
import type { OpenContent, Upload } from '../content-storage.ts';

/**
 * An upload that is written faster than the disk takes it is synced in parts: a commit of the database waits for what
 * the disk has to write before, and all check-ins wait for the commit.
 */
const MOST_UNSYNCED_BYTES = 4 * 1024 * 1024;

export interface StagedUpload extends Upload {
  /** The name that the blob will have. */
  blob: string;
}

export interface BlobStore {
  /** Stores the bytes under a random name unless one is given. */
  receive(source: AsyncIterable<Uint8Array>, limitBytes: number, name?: string): Promise<StagedUpload>;
  /** Moves a received upload among the blobs, durably. Nothing refers to it yet. */
  adopt(upload: Pick<StagedUpload, 'blob'>): void;
  /** Gives a file a second name among the blobs. False where that is not possible: on another file system, say. */
  link(from: string, blob: string): boolean;
  remove(blob: string): Promise<void>;
  open(blob: string): Omit<OpenContent, 'item'>;
  /** Until the returned function is called, removed blobs stay. */
  hold(): () => void;
  /**
   * Removes incomplete uploads, and blobs that `isKnown` does not know, left by a crash before the database was
   * written.
   */
  sweep(isKnown: (blob: string) => boolean): number;
}

export function createBlobStore(directory: string): BlobStore {
  const blobs = join(directory, 'content');
  const uploads = join(directory, 'uploads');
  ensureDirectory(blobs, 0o700);
  ensureDirectory(uploads, 0o700);
  const removed = new Set<string>();
  let holders = 0;
  return {
    receive: (source, limitBytes, name = randomBytes(16).toString('hex')) =>
      receive(join(uploads, name), source, limitBytes),
    adopt: (upload) => renameDurable(join(uploads, upload.blob), join(blobs, upload.blob)),
    link: (from, blob) => linkIfPossible(from, join(blobs, blob)),
    async remove(blob) {
      if (holders > 0) removed.add(blob);
      else await removeFile(join(blobs, blob));
    },
    hold() {
      holders++;
      return () => {
        holders--;
        if (holders > 0) return;
        for (const blob of removed) removeFileDurable(join(blobs, blob));
        removed.clear();
      };
    },
    open: (blob) => openBlob(join(blobs, blob)),
    sweep(isKnown) {
      const stale = [
        ...listDirectory(uploads).map((name) => join(uploads, name)),
        ...listDirectory(blobs)
          .filter((name) => !isKnown(name))
          .map((name) => join(blobs, name)),
      ];
      for (const path of stale) removeFileDurable(path);
      return stale.length;
    },
  };
}

function linkIfPossible(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (['EXDEV', 'EPERM', 'EMLINK'].includes(systemCode(error) ?? '')) return false;
    throw error;
  }
}

/** Not on the event loop: the disk takes a tenth of a second to forget a gigabyte. What a crash leaves is swept. */
async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}

async function receive(
  path: string,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
): Promise<StagedUpload> {
  const roomBytes = diskSpace(dirname(path)).freeBytes - RESERVED_DISK_BYTES;
  try {
    const received = await writeStream(path, source, limitBytes, roomBytes);
    return { blob: basename(path), ...received, discard: () => removeFile(path) };
  } catch (error) {
    await removeFile(path);
    throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', 'cannot store an upload');
  }
}

async function writeStream(
  path: string,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
  roomBytes: number,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let unsyncedBytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of source) {
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes) {
        throw new GweError('PROTOCOL_TOO_LARGE', `cannot store an upload: more than ${limitBytes} bytes`);
      }
      if (sizeBytes > roomBytes) {
        throw new GweError('STORE_NO_SPACE', 'cannot store an upload: no space left on the file system');
      }
      hash.update(chunk);
      await file.writeFile(chunk);
      unsyncedBytes += chunk.length;
      if (unsyncedBytes < MOST_UNSYNCED_BYTES) continue;
      await file.datasync();
      unsyncedBytes = 0;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  fsyncDirectory(join(path, '..'));
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** The file is opened at once, so that a later removal does not affect a reader. */
function openBlob(path: string): Omit<OpenContent, 'item'> {
  const fd = openSync(path, 'r');
  return {
    read(range) {
      if (range.last >= range.first) {
        return createReadStream('', { fd, start: range.first, end: range.last, autoClose: true });
      }
      closeSync(fd);
      return Readable.from([]);
    },
    close: async () => closeSync(fd),
  };
}
