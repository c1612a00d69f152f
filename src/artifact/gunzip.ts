/** A `.tar.gz` file -> the bytes of the tar stream, chunk by chunk, with digests of both and every limit enforced. */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { GweError, wrapError } from '../base/errors.ts';
import { createGarbage } from '../base/memory.ts';
import { formatFault, limitFault, quote } from './faults.ts';
import type { ArtifactLimits } from './limits.ts';

export interface GunzipOptions {
  limits: ArtifactLimits;
  signal?: AbortSignal;
  /** Called now and then with the bytes of the file read so far, and their total. */
  onProgress?(doneBytes: number, totalBytes: number): void;
}

export interface GunzipResult {
  digest: string;
  compressedSha256: string;
  compressedBytes: number;
}

/** Small: the buffers that wait for the collector are most of what unpacking adds to memory (128 KiB: 22 MB more). */
const CHUNK_BYTES = 32 * 1024;

/**
 * Feeds `sink` with the uncompressed bytes of `file`. Several gzip members in a row are one stream (RFC 1952 §2.2);
 * anything else behind a member is refused, also the zeros that gunzip would pass over. What `sink` throws is rethrown;
 * the next chunk waits for a promise that it returns.
 */
export async function gunzipFile(
  file: string,
  options: GunzipOptions,
  sink: (chunk: Buffer) => Promise<void> | undefined,
): Promise<GunzipResult> {
  const { fd, sizeBytes } = openTarball(file, options.limits);
  const compressedHash = createHash('sha256');
  const tarHash = createHash('sha256');
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const source = createReadStream('', { fd, highWaterMark: CHUNK_BYTES, end: sizeBytes - 1 });
  source.on('data', (chunk) => compressedHash.update(chunk));
  pipeline(source, gunzip, () => undefined);
  const garbage = createGarbage();
  let tarBytes = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      if (options.signal?.aborted) throw new GweError('CANCELLED', `stopped reading tarball '${file}'`);
      tarBytes += chunk.length;
      assertTarBytes(tarBytes, sizeBytes, options.limits);
      tarHash.update(chunk);
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
  if (gunzip.bytesWritten !== sizeBytes) {
    const left = sizeBytes - gunzip.bytesWritten;
    throw formatFault(`${left} bytes behind the end of the gzip data`, 'nothing there');
  }
  return {
    digest: tarHash.digest('hex'),
    compressedSha256: compressedHash.digest('hex'),
    compressedBytes: sizeBytes,
  };
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
    return formatFault(`no gzip data, or damaged (${reason})`, 'a .tar.gz file', error);
  }
  return wrapError(error, 'STORE_IO', `cannot read tarball ${quote(file)}`);
}
