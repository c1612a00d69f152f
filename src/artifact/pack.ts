/** The one writer of tarballs. The same entries give the same bytes on every machine, at any time. */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, createWriteStream, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { GweError, wrapError } from '../base/errors.ts';
import { fsyncDirectory, renameDurable } from '../base/fs.ts';
import { quote } from './faults.ts';
import type { PlannedEntry } from './plan-tree.ts';
import { END_OF_ARCHIVE_BYTES, encodeEntryHeader, paddingBytes } from './tar-writer.ts';

const CHUNK_BYTES = 128 * 1024;
/** Byte 9 of a gzip header names the system it was made on; this is "unknown" (RFC 1952 §2.3.1). */
const GZIP_OS_BYTE = 9;
const GZIP_OS_UNKNOWN = 255;

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

/** As `packArtifact`, for a tar stream that is there as bytes. */
export async function writeTarball(
  file: string,
  tarStream: Iterable<Buffer> | AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<PackResult> {
  const temporary = join(dirname(file), `.gwe-tmp-${randomBytes(6).toString('hex')}`);
  const hash = createHash('sha256');
  const canonical = createHeaderEraser();
  try {
    await pipeline(
      Readable.from(hashed(tarStream, hash), { objectMode: false, highWaterMark: CHUNK_BYTES }),
      createGzip({ level: 6, chunkSize: CHUNK_BYTES }),
      canonical.stream,
      createWriteStream(temporary, { flags: 'wx' }),
      signal === undefined ? {} : { signal },
    );
    fsyncDirectory(temporary);
    renameDurable(temporary, file);
    return { digest: hash.digest('hex'), compressedBytes: canonical.bytes() };
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

/** Header, content and padding of one entry. */
export function* entryBytes(entry: PlannedEntry): Generator<Buffer> {
  yield encodeEntryHeader(entry);
  if (entry.source.kind === 'bytes') yield entry.source.bytes;
  if (entry.source.kind === 'file') yield* fileBytes(entry.source.path, entry);
  const padding = paddingBytes(entry.sizeBytes);
  if (padding > 0) yield Buffer.alloc(padding);
}

/** The file as it was when planned: one that changes while it is packed would shift all that follows. */
function* fileBytes(path: string, entry: PlannedEntry): Generator<Buffer> {
  const changed = (found: string): GweError =>
    new GweError(
      'ARTIFACT_BUILD',
      `cannot pack ${quote(entry.path)}: ${found} while it was read; build again`,
    );
  const fd = openSync(path, 'r');
  const hash = createHash('sha256');
  try {
    if (fstatSync(fd).size !== entry.sizeBytes) throw changed('its size changed');
    for (let left = entry.sizeBytes; left > 0; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, left));
      const bytes = readSync(fd, chunk);
      if (bytes === 0) throw changed('it became shorter');
      if (entry.sha256 !== undefined) hash.update(chunk.subarray(0, bytes));
      yield chunk.subarray(0, bytes);
      left -= bytes;
    }
    if (entry.sha256 !== undefined && hash.digest('hex') !== entry.sha256)
      throw changed('its content changed');
  } finally {
    closeSync(fd);
  }
}

async function* hashed(
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    hash.update(chunk);
    yield chunk;
  }
}

/** zlib writes no name and no time; what is left of the machine in the header is the name of its system. */
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
