import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { GweError, wrapError } from '../base/errors.ts';

/** Digests of files, read in bounded memory. */

export interface Digest {
  algorithm: 'sha256' | 'sha1';
  /** Lower case. */
  hex: string;
}

const BUFFER_BYTES = 256 * 1024;

/**
 * Throws DOWNLOAD_DIGEST if the bytes of `file` do not have `digest`, STORE_IO if they cannot be read. Gives way to
 * other work between two buffers and stops with CANCELLED.
 */
export async function verifyFileDigest(file: string, digest: Digest, signal?: AbortSignal): Promise<void> {
  const found = await digestFile(file, digest.algorithm, signal);
  if (found === digest.hex.toLowerCase()) return;
  throw new GweError(
    'DOWNLOAD_DIGEST',
    `cannot accept '${file}': its ${digest.algorithm} is ${found}, expected ${digest.hex.toLowerCase()}`,
  );
}

async function digestFile(
  file: string,
  algorithm: Digest['algorithm'],
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let fd: number | undefined;
  try {
    fd = fs.openSync(file, 'r');
    for (let count = fs.readSync(fd, buffer); count > 0; count = fs.readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, count));
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) throw new GweError('CANCELLED', `cannot check '${file}': cancelled`);
    }
    return hash.digest('hex');
  } catch (error) {
    throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', `cannot read '${file}'`);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
