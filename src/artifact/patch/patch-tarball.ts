/** A tarball as one end of a patch: its index, and its body in a scratch file. */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { wrapError } from '../../base/errors.ts';
import { quote } from '../faults.ts';
import { bodyBytesOf } from '../manifest/manifest.ts';
import { gunzipFile } from '../tar/gunzip.ts';
import { inspectArtifact, type ReadOptions } from '../unpack/extract.ts';
import type { PatchTarball } from './make.ts';
import { patchFault } from './patch-error.ts';

interface OpenTarball extends PatchTarball {
  /** Bytes of the tarball. */
  sizeBytes: number;
  close(): void;
}

/** `scratch`: a directory with room for the body. Throws ARTIFACT_PATCH for a hand-packed tarball, and what reading does. */
export async function openTarball(file: string, scratch: string, options: ReadOptions): Promise<OpenTarball> {
  const { index, compressedBytes } = await inspectArtifact(file, options);
  if (index === undefined) {
    throw patchFault(
      `${quote(basename(file))}, which has no manifest`,
      'an indexed tarball: build it with gwe --build-app, or have gwe sign make it one',
    );
  }
  const fd = fs.openSync(join(fs.mkdtempSync(join(scratch, 'tarball-')), 'stream.tar'), 'w+', 0o600);
  try {
    const streamBytes = await writeStream(file, fd, options);
    const { manifest, digest, signatures } = index;
    const bodyBytes = bodyBytesOf(manifest);
    const bodyAt = streamBytes - bodyBytes;
    const body = {
      sizeBytes: bodyBytes,
      read: (at: number, into: Buffer) => readAll(fd, bodyAt + at, into),
    };
    return { manifest, digest, signatures, body, sizeBytes: compressedBytes, close: () => fs.closeSync(fd) };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Returns its bytes. */
async function writeStream(file: string, fd: number, options: ReadOptions): Promise<number> {
  let at = 0;
  await gunzipFile(file, options, (piece) => {
    try {
      for (let done = 0; done < piece.length; ) done += fs.writeSync(fd, piece, done, undefined, at + done);
    } catch (error) {
      throw wrapError(error, 'STORE_IO', `cannot write the stream of ${quote(basename(file))}`);
    }
    at += piece.length;
  });
  return at;
}

function readAll(fd: number, at: number, into: Buffer): boolean {
  for (let done = 0; done < into.length; ) {
    const count = fs.readSync(fd, into, done, into.length - done, at + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}
