/** The one writer of tarballs. The same entries give the same bytes on every machine, at any time. */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { closeSync, createWriteStream, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { GweError, wrapError } from '../../base/errors.ts';
import { fsyncDirectory, renameDurable } from '../../base/fs.ts';
import { GZIP_OS_BYTE, GZIP_OS_UNKNOWN, PACK_LEVEL } from '../chunks/members.ts';
import { quote } from '../faults.ts';
import { END_OF_ARCHIVE_BYTES, encodeEntryHeader, paddingBytes } from '../tar/writer.ts';
import type { PlannedEntry } from './plan-tree.ts';

const CHUNK_BYTES = 128 * 1024;

export interface PackResult {
  /** sha256 of the uncompressed tar stream, hex. */
  digest: string;
  compressedBytes: number;
}

/**
 * Writes `entries`, in the order given, as `file`, which is replaced in one step when all is written.
 * Memory does not grow with the size of the files. Throws ARTIFACT_BUILD.
 */
export function packArtifact(
  file: string,
  entries: readonly PlannedEntry[],
  signal?: AbortSignal,
): Promise<PackResult> {
  return writeTarball(file, tarBytes(entries), signal);
}

/** As `packArtifact`, for a tar stream that exists as bytes. */
export function writeTarball(
  file: string,
  tarStream: Iterable<Buffer> | AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<PackResult> {
  const hash = createHash('sha256');
  const canonical = createHeaderEraser();
  return replaceFile(file, signal, async (temporary) => {
    await pipeline(
      Readable.from(hashed(tarStream, hash), { objectMode: false, highWaterMark: CHUNK_BYTES }),
      createGzip({ level: PACK_LEVEL, chunkSize: CHUNK_BYTES }),
      canonical.stream,
      createWriteStream(temporary, { flags: 'wx' }),
      signal === undefined ? {} : { signal },
    );
    return { digest: hash.digest('hex'), compressedBytes: canonical.bytes() };
  });
}

/** Replaces `file` with what `write` writes to the new path that it is given. Throws ARTIFACT_BUILD or CANCELLED. */
export async function replaceFile<T>(
  file: string,
  signal: AbortSignal | undefined,
  write: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = join(dirname(file), `.gwe-tmp-${randomBytes(6).toString('hex')}`);
  try {
    const result = await write(temporary);
    fsyncDirectory(temporary);
    renameDurable(temporary, file);
    return result;
  } catch (error) {
    rmSync(temporary, { force: true });
    if (signal?.aborted) throw new GweError('CANCELLED', `stopped packing ${quote(file)}`);
    throw error instanceof GweError
      ? error
      : wrapError(error, 'ARTIFACT_BUILD', `cannot write tarball ${quote(file)}`);
  }
}

/** The whole tar stream of `entries`, end blocks included. */
export function* tarBytes(entries: readonly PlannedEntry[]): Generator<Buffer> {
  for (const entry of entries) yield* entryBytes(entry);
  yield Buffer.alloc(END_OF_ARCHIVE_BYTES);
}

/** Header, content and padding of one entry; `hash` gets the content of a file as it is read. */
export function* entryBytes(entry: PlannedEntry, hash?: Hash): Generator<Buffer> {
  yield encodeEntryHeader(entry);
  for (const bytes of contentBytes(entry)) {
    hash?.update(bytes);
    yield bytes;
  }
  const padding = paddingBytes(entry.sizeBytes);
  if (padding > 0) yield Buffer.alloc(padding);
}

function* contentBytes(entry: PlannedEntry): Generator<Buffer> {
  if (entry.source.kind === 'bytes') yield entry.source.bytes;
  if (entry.source.kind === 'file') yield* fileBytes(entry.source.path, entry);
}

/**
 * The file as long as it was when planned: one that changes its size while it is packed would shift all that follows.
 */
function* fileBytes(path: string, entry: PlannedEntry): Generator<Buffer> {
  const changed = (found: string): GweError =>
    new GweError(
      'ARTIFACT_BUILD',
      `cannot pack ${quote(entry.path)}: ${found} while it was read; build again`,
    );
  const fd = openFile(path, entry);
  try {
    if (fstatSync(fd).size !== entry.sizeBytes) throw changed('its size changed');
    for (let left = entry.sizeBytes; left > 0; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, left));
      const bytes = readSync(fd, chunk);
      if (bytes === 0) throw changed('it became shorter');
      yield chunk.subarray(0, bytes);
      left -= bytes;
    }
  } finally {
    closeSync(fd);
  }
}

function openFile(path: string, entry: PlannedEntry): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw wrapError(error, 'ARTIFACT_BUILD', `cannot pack ${quote(entry.path)}`);
  }
}

async function* hashed(chunks: Iterable<Buffer> | AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    hash.update(chunk);
    yield chunk;
  }
}

/** zlib writes no name and no time; the only trace of the machine in the header is the name of its system. */
function createHeaderEraser(): { stream: Transform; bytes(): number } {
  let seen = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const at = GZIP_OS_BYTE - seen;
      if (at >= 0 && at < chunk.length) chunk[at] = GZIP_OS_UNKNOWN;
      seen += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, bytes: () => seen };
}
