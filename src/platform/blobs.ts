/** Content bytes as files: a blob has a random name, is complete, and never changes. */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, createReadStream, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { GweError, wrapError } from '../base/errors.ts';
import {
  diskSpace,
  ensureDirectory,
  fsyncDirectory,
  listDirectory,
  removeFileDurable,
  renameDurable,
} from '../base/fs.ts';
import { RESERVED_DISK_BYTES } from './limits.ts';
import type { ByteRange, Upload } from './storage.ts';

export interface StagedUpload extends Upload {
  /** Name that the blob will have. */
  blob: string;
}

export interface BlobStore {
  receive(source: AsyncIterable<Uint8Array>, limitBytes: number): Promise<StagedUpload>;
  /** Moves a received upload among the blobs, durably. Nothing refers to it yet. */
  adopt(upload: StagedUpload): void;
  remove(blob: string): void;
  open(blob: string): { read(range: ByteRange): Readable; close(): void };
  /** Removes half uploads, and blobs that `isKnown` does not know: a crash came before the database did. */
  sweep(isKnown: (blob: string) => boolean): number;
}

export function createBlobStore(directory: string): BlobStore {
  const blobs = join(directory, 'content');
  const uploads = join(directory, 'uploads');
  ensureDirectory(blobs, 0o700);
  ensureDirectory(uploads, 0o700);
  return {
    receive: (source, limitBytes) => receive(uploads, source, limitBytes),
    adopt: (upload) => renameDurable(join(uploads, upload.blob), join(blobs, upload.blob)),
    remove: (blob) => removeFileDurable(join(blobs, blob)),
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

async function receive(
  uploads: string,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
): Promise<StagedUpload> {
  const blob = randomBytes(16).toString('hex');
  const path = join(uploads, blob);
  const roomBytes = diskSpace(uploads).freeBytes - RESERVED_DISK_BYTES;
  try {
    const received = await writeStream(path, source, limitBytes, roomBytes);
    return { blob, ...received, discard: () => removeFileDurable(path) };
  } catch (error) {
    removeFileDurable(path);
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
    }
    await file.sync();
  } finally {
    await file.close();
  }
  fsyncDirectory(join(path, '..'));
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** The file is opened at once, so that a later removal does not reach a reader. */
function openBlob(path: string): { read(range: ByteRange): Readable; close(): void } {
  const fd = openSync(path, 'r');
  return {
    read(range) {
      if (range.last >= range.first) {
        return createReadStream('', { fd, start: range.first, end: range.last, autoClose: true });
      }
      closeSync(fd);
      return Readable.from([]);
    },
    close: () => closeSync(fd),
  };
}
