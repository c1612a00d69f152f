/** A `.tar.gz` file -> the bytes of the tar stream, chunk by chunk, with the file's digest and every limit enforced. */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { GweError, wrapError } from '../../base/errors.ts';
import { createGarbage } from '../../base/memory.ts';
import { formatFault, limitFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';

export interface GunzipOptions {
  limits: ArtifactLimits;
  signal?: AbortSignal;
  /** Called now and then with the bytes of the file read so far, and their total. */
  onProgress?(doneBytes: number, totalBytes: number): void;
}

interface GunzipResult {
  compressedSha256: string;
  compressedBytes: number;
  /** Zeros behind the gzip data: tapes and dd fill up what they write. */
  trailingBytes: number;
}

/** Small: the buffers that wait for the collector are most of what unpacking adds to memory (128 KiB: 22 MB more). */
const CHUNK_BYTES = 32 * 1024;

/**
 * Feeds `sink` with the uncompressed bytes of `file`. Several gzip members in a row are one stream (RFC 1952 §2.2);
 * behind the last there may be zeros, and nothing else. What `sink` throws is rethrown; the next chunk waits for a
 * promise that it returns.
 */
export async function gunzipFile(
  file: string,
  options: GunzipOptions,
  sink: (chunk: Buffer) => Promise<void> | undefined,
): Promise<GunzipResult> {
  const { fd, sizeBytes } = openTarball(file, options.limits);
  const compressedHash = createHash('sha256');
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const source = createReadStream('', { fd, highWaterMark: CHUNK_BYTES, end: sizeBytes - 1 });
  let hashedBytes = 0;
  source.on('data', (chunk) => {
    hashedBytes += chunk.length;
    compressedHash.update(chunk);
  });
  pipeline(source, gunzip, () => undefined);
  const garbage = createGarbage();
  let tarBytes = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      if (options.signal?.aborted) throw new GweError('CANCELLED', `stopped reading tarball '${file}'`);
      tarBytes += chunk.length;
      assertTarBytes(tarBytes, sizeBytes, options.limits);
      const room = sink(chunk);
      if (room !== undefined) await room;
      garbage.add(chunk.length);
      options.onProgress?.(gunzip.bytesWritten, sizeBytes);
    }
  } catch (error) {
    throw describeGunzipFault(error, file);
  } finally {
    source.destroy();
  }
  const trailingBytes = sizeBytes - gunzip.bytesWritten;
  if (trailingBytes > 0 && !isZeros(file, gunzip.bytesWritten, sizeBytes)) {
    const expected = 'nothing but zeros there; pack or copy it again';
    throw formatFault(`${trailingBytes} bytes behind the end of the gzip data`, expected);
  }
  // The end of the gzip data has ended the reading of the file.
  for (const piece of pieces(file, hashedBytes, sizeBytes)) compressedHash.update(piece);
  return {
    compressedSha256: compressedHash.digest('hex'),
    compressedBytes: sizeBytes,
    trailingBytes,
  };
}

/** Gunzip stops at the first zero, so that another member could hide behind many. */
function isZeros(file: string, from: number, to: number): boolean {
  for (const piece of pieces(file, from, to)) if (piece.some((byte) => byte !== 0)) return false;
  return true;
}

/** Each piece is only valid until the next. */
function* pieces(file: string, from: number, to: number): Generator<Buffer> {
  if (from >= to) return;
  const piece = Buffer.alloc(CHUNK_BYTES);
  const fd = openSync(file, 'r');
  try {
    for (let at = from; at < to; ) {
      const count = readSync(fd, piece, 0, Math.min(piece.length, to - at), at);
      if (count === 0) return;
      yield piece.subarray(0, count);
      at += count;
    }
  } finally {
    closeSync(fd);
  }
}

function openTarball(file: string, limits: ArtifactLimits): { fd: number; sizeBytes: number } {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot read tarball ${quote(file)}`);
  }
  const stat = fstatSync(fd);
  const fault = !stat.isFile()
    ? formatFault(`${quote(file)} is no regular file`, 'a .tar.gz file')
    : stat.size === 0
      ? formatFault('an empty file', 'a .tar.gz file')
      : stat.size > limits.compressedBytes
        ? limitFault('tarball', `${stat.size} bytes`, `${limits.compressedBytes}`)
        : undefined;
  if (fault === undefined) return { fd, sizeBytes: stat.size };
  closeSync(fd);
  throw fault;
}

/** Throws ARTIFACT_LIMIT for a tar stream of so many bytes, or more, in a tarball of `sizeBytes`. */
export function assertTarBytes(tarBytes: number, sizeBytes: number, limits: ArtifactLimits): void {
  const allowed = Math.min(limits.unpackedBytes, Math.max(limits.ratioFloorBytes, limits.ratio * sizeBytes));
  if (tarBytes <= allowed) return;
  throw allowed === limits.unpackedBytes
    ? limitFault('tarball', 'more bytes unpacked than allowed', `${allowed} bytes`)
    : limitFault(
        'tarball',
        `${sizeBytes} bytes that unpack to more than ${allowed}`,
        `${limits.ratio} times`,
      );
}

function describeGunzipFault(error: unknown, file: string): unknown {
  if (error instanceof GweError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'Z_BUF_ERROR') return formatFault('the gzip data is cut off', 'a whole .tar.gz file', error);
  if (typeof code === 'string' && code.startsWith('Z_')) {
    const reason = error instanceof Error ? error.message : code;
    const foreign = foreignFormat(file);
    return foreign === undefined
      ? formatFault(`damaged gzip data (${reason})`, 'a .tar.gz file; pack or copy it again', error)
      : formatFault(foreign, 'a .tar.gz file; pack with tar czf');
  }
  return wrapError(error, 'STORE_IO', `cannot read tarball ${quote(file)}`);
}

const FOREIGN_FORMATS: readonly (readonly [name: string, at: number, magic: string])[] = [
  ['an xz file', 0, '\xfd7zXZ\0'],
  ['a bzip2 file', 0, 'BZh'],
  ['a zstd file', 0, '\x28\xb5\x2f\xfd'],
  ['an lz4 file', 0, '\x04\x22\x4d\x18'],
  ['a zip file', 0, 'PK\x03\x04'],
  ['a tar archive without gzip', 257, 'ustar'],
];

/** What a file that is no gzip data is instead, in words; `undefined` for one that begins as gzip data. */
function foreignFormat(file: string): string | undefined {
  const head = Buffer.alloc(512);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  const found = FOREIGN_FORMATS.find(
    ([, at, magic]) => head.toString('latin1', at, at + magic.length) === magic,
  );
  if (head[0] === 0x1f && head[1] === 0x8b) return undefined;
  return found === undefined ? 'no gzip data' : `${found[0]}, no gzip data`;
}
