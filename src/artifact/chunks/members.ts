import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { GweError, wrapError } from '../../base/errors.ts';
import { manifestFault, quote } from '../faults.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import type { ArtifactIndex } from '../manifest/index-guard.ts';
import { type ChunkFact, chunkDigest, chunkFacts, LARGEST_CHUNK_BYTES } from '../manifest/manifest.ts';

/**
 * The gzip members of an indexed tarball: one with the manifest, one with the signatures, then one for each chunk of
 * the body. Together they are one tar stream (RFC 1952 §2.2).
 */

/** Byte 9 of a gzip header names the system it was made on; this is "unknown" (RFC 1952 §2.3.1). */
export const GZIP_OS_BYTE = 9;
export const GZIP_OS_UNKNOWN = 255;
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;

/** The level of deflate: makes up for a sixth of what cutting costs. 9 is 0.05 % better and slower. */
export const PACK_LEVEL = 8;

/** Jobs for zlib's threads: enough to keep them busy, few enough that their memory does not matter. */
const MOST_AT_WORK = 8;

/** Manifest and signatures, gzip's share included: no index is larger. */
const LARGEST_INDEX_BYTES = DEFAULT_LIMITS.manifestBytes + DEFAULT_LIMITS.metaEntryBytes + 64 * 1024;

const gzip = promisify(zlib.gzip) as (bytes: Buffer, options: zlib.ZlibOptions) => Promise<Buffer>;

/** One member that holds `bytes`: the same on every machine, whatever runs beside it. */
export async function compressMember(bytes: Buffer): Promise<Buffer> {
  const member = await gzip(bytes, {
    level: PACK_LEVEL,
    memLevel: 9,
    chunkSize: sensibleChunk(bytes.length),
  });
  member[GZIP_OS_BYTE] = GZIP_OS_UNKNOWN;
  return member;
}

/** What `member` holds, or `undefined` if that is damaged, not `sizeBytes` long, or not all of `member`. */
export function inflateMember(member: Buffer, sizeBytes: number): Promise<Buffer | undefined> {
  const options = { maxOutputLength: sizeBytes, chunkSize: sensibleChunk(sizeBytes), info: true };
  return new Promise((resolve) => {
    zlib.gunzip(member, options, (error, result) => {
      const { buffer, engine } = (result ?? {}) as unknown as Partial<InflateInfo>;
      const isWhole =
        error === null && buffer?.length === sizeBytes && engine?.bytesWritten === member.length;
      resolve(isWhole ? buffer : undefined);
    });
  });
}

/** What zlib's functions give with `info`. */
interface InflateInfo {
  buffer: Buffer;
  engine: { bytesWritten: number };
}

/** zlib gathers its output in buffers of this size; at least 64. */
function sensibleChunk(sizeBytes: number): number {
  return Math.min(LARGEST_CHUNK_BYTES, Math.max(1024, sizeBytes));
}

/** `work` on all `items`, several at a time; the results in their order. */
export async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const atWork: Promise<Result>[] = [];
  try {
    for (const item of items) {
      atWork.push(work(item));
      const oldest = atWork.length < MOST_AT_WORK ? undefined : atWork.shift();
      if (oldest !== undefined) yield await oldest;
    }
    while (atWork.length > 0) yield await (atWork.shift() as Promise<Result>);
  } finally {
    // Nothing is left behind, neither a working thread nor an unhandled error.
    await Promise.allSettled(atWork);
  }
}

/** The members in front of the chunks, as they are in the file. */
interface IndexMembers {
  manifest: Buffer;
  signatures: Buffer;
}

/**
 * Checks every word of the chunk table of `file`, whose content is known to be that of `index`, and gives the members
 * in front. Throws ARTIFACT_MANIFEST that names the chunk, STORE_IO or CANCELLED.
 */
export async function checkChunkTable(
  file: string,
  index: ArtifactIndex,
  signal?: AbortSignal,
): Promise<IndexMembers> {
  const facts = chunkFacts(index.manifest);
  const fd = openTarball(file);
  try {
    const bodyBytes = facts.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
    const start = fstatSync(fd).size - bodyBytes;
    const members = splitIndex(start > 0 && start <= LARGEST_INDEX_BYTES ? readAt(fd, 0, start) : undefined);
    let at = 0;
    for await (const isRight of inOrder(readChunks(fd, start, facts, signal), checkChunk)) {
      if (!isRight) throw wrongChunk(at, facts[at]);
      at++;
    }
    return members;
  } catch (error) {
    throw error instanceof GweError
      ? error
      : wrapError(error, 'STORE_IO', `cannot read tarball ${quote(file)}`);
  } finally {
    closeSync(fd);
  }
}

function openTarball(file: string): number {
  try {
    return openSync(file, 'r');
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot read tarball ${quote(file)}`);
  }
}

function* readChunks(
  fd: number,
  start: number,
  facts: readonly ChunkFact[],
  signal: AbortSignal | undefined,
): Generator<{ member: Buffer | undefined; fact: ChunkFact }> {
  let at = start;
  for (const fact of facts) {
    if (signal?.aborted) throw new GweError('CANCELLED', 'stopped reading a tarball');
    yield { member: readAt(fd, at, fact.compressedBytes), fact };
    at += fact.compressedBytes;
  }
}

async function checkChunk({
  member,
  fact,
}: {
  member: Buffer | undefined;
  fact: ChunkFact;
}): Promise<boolean> {
  const bytes = member && (await inflateMember(member, fact.sizeBytes));
  return bytes !== undefined && chunkDigest(bytes) === fact.digest;
}

function readAt(fd: number, offset: number, length: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const count = readSync(fd, bytes, done, length - done, offset + done);
    if (count === 0) return undefined;
    done += count;
  }
  return bytes;
}

/** Two members and nothing else. */
function splitIndex(bytes: Buffer | undefined): IndexMembers {
  const first = bytes && memberBytes(bytes);
  const second = bytes && first && memberBytes(bytes.subarray(first));
  if (bytes === undefined || first === undefined || second === undefined || first + second !== bytes.length) {
    throw manifestFault('chunks that do not begin where the signatures end', 'them right behind');
  }
  return { manifest: bytes.subarray(0, first), signatures: bytes.subarray(first) };
}

/** How long the member is that `bytes` begin with; nothing for one with a name or the like in its header. */
function memberBytes(bytes: Buffer): number | undefined {
  if (bytes.length < GZIP_HEADER_BYTES || bytes.readUInt32BE(0) !== 0x1f8b0800) return undefined;
  try {
    const options = { info: true, maxOutputLength: LARGEST_INDEX_BYTES };
    const { engine } = zlib.inflateRawSync(
      bytes.subarray(GZIP_HEADER_BYTES),
      options,
    ) as unknown as InflateInfo;
    const length = GZIP_HEADER_BYTES + engine.bytesWritten + GZIP_TRAILER_BYTES;
    return length <= bytes.length ? length : undefined;
  } catch {
    return undefined;
  }
}

function wrongChunk(at: number, fact: ChunkFact | undefined): GweError {
  const { sizeBytes = 0, compressedBytes = 0, digest = '' } = fact ?? {};
  return manifestFault(
    `other bytes in chunk ${at}`,
    `${sizeBytes} bytes in ${compressedBytes}, sha256 ${digest}...`,
  );
}
