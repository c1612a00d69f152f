/**
 * A patch: what rebuilds chunks of a new version from the body of an old one, which is its tar stream behind `.gwe/`.
 * It needs no signature, because each chunk is checked against the digest in the manifest of the new version.
 *
 *     bytes      what
 *     8          "gwepatch"
 *     1          format: 2
 *     3          zeros
 *     4          D, bytes of the directory, little-endian
 *     D          directory
 *     16         the first 16 bytes of the sha256 of all that is before them
 *     ...        the index part, if there is one
 *     ...        the parts, one behind the other to the end of the file
 *
 * The directory; "number" is a varint (varint.ts), positions have 53 bits:
 *
 *     32         sha256 of the manifest of the old version
 *     32         sha256 of the manifest of the new version
 *     number     bytes of the old body
 *     number     bytes of the index part, 0 without one; if there is one:
 *       number     bytes of the manifest that it makes
 *       number     bytes of the signatures that it makes behind it
 *       number     bytes of its payload
 *       16         the first 16 bytes of the sha256 of the part
 *     number     count of runs of chunks that the patch rebuilds; for each, in order of the new body:
 *       number     chunks of the new version left out before it (0 only in front of the first)
 *       number     chunks in it, from 1
 *     number     count of parts; for each:
 *       number     chunks that it rebuilds, from 1: the next ones of the runs
 *       number     bytes of its payload
 *       number     bytes of the part
 *       16         the first 16 bytes of the sha256 of the part
 *
 * A part is its payload, compressed by brotli with a window of at most 1 MiB (RFC 7932). It needs no other part:
 *
 *     number     C, bytes of the controls
 *     number     G, bytes of the gaps
 *     number     V, count of the values
 *     C          controls, for each stretch of the output: number of bytes to copy from the old body, number of bytes
 * to
 *                take from the extras behind them, and signed number of bytes that the copy begins behind the end of
 *                the previous one in the old body (the first: behind its start)
 *     G          for each value a number: bytes copied as they are since the previous value, over all copies of the
 * part
 *     V          values: each is added (modulo 256) to the copied byte behind its gap
 *     ...        extras, to the end of the payload
 *
 * The output of a part is exactly the bytes of its chunks. The index part is made like the others, but from the bytes
 * of
 * the old manifest, and gives those of the new one and of its signatures: with it a gateway fetches no index. Format
 * 1 had
 * no index part.
 */
import { createHash } from 'node:crypto';
import { patchFault } from './patch-error.ts';
import { VarintReader, VarintWriter } from './varint.ts';

const MAGIC = Buffer.from('gwepatch\x02\0\0\0', 'latin1');
export const PREFIX_BYTES: number = MAGIC.length + 4;
const DIGEST_BYTES = 16;

/** Enough for a tarball of 2^17 chunks; a gateway holds it in memory while it uses the patch. */
const MOST_DIRECTORY_BYTES = 2 ** 20;
/** Bytes of a payload, which is held in memory; a part is never larger than this and its slack. */
export const MOST_PAYLOAD_BYTES: number = 2 ** 21;
/** What brotli adds to bytes that it cannot make smaller. */
const PART_SLACK_BYTES = 1024;
export const MOST_CHUNKS: number = 2 ** 17;
/** The largest new manifest or signatures; readers have tighter limits of their own. */
const MOST_INDEX_BYTES = 2 ** 28;

/** The name of the patch in a content area, and as a file: the gateway makes it from the two manifests. */
export function patchName(
  next: { name: string; version: string },
  oldDigest: string,
  newDigest: string,
): string {
  return `${next.name}.v${next.version}.${oldDigest.slice(0, 8)}-${newDigest.slice(0, 8)}.patch`;
}

/** A part as the directory tells of it. */
export interface PartFact {
  /** Indices of the chunks that it rebuilds, ascending. */
  chunks: readonly number[];
  payloadBytes: number;
  sizeBytes: number;
  /** First 128 bits of its sha256, hex. */
  digest: string;
}

/** The index part as the directory tells of it. */
export interface IndexPartFact {
  /** Bytes that it makes: of the manifest, and of the signatures behind it. */
  manifestBytes: number;
  signatureBytes: number;
  payloadBytes: number;
  sizeBytes: number;
  /** First 128 bits of its sha256, hex. */
  digest: string;
}

interface PatchDirectory {
  /** sha256 of the manifests, hex. */
  oldDigest: string;
  newDigest: string;
  /** Bytes of the old body. */
  oldBytes: number;
  index?: IndexPartFact;
  /** In the order in which they stand in the file. */
  parts: readonly PartFact[];
}

/** A part with the place where it begins in the file. */
export interface PlacedPart extends PartFact {
  offset: number;
}

interface PlacedDirectory extends PatchDirectory {
  index?: IndexPartFact & { offset: number };
  parts: readonly PlacedPart[];
}

/** All that is in front of the parts. */
export function encodeDirectory(directory: PatchDirectory): Buffer {
  const numbers = new VarintWriter();
  const pieces: Buffer[] = [Buffer.from(directory.oldDigest + directory.newDigest, 'hex')];
  numbers.put(directory.oldBytes);
  pieces.push(Buffer.from(numbers.bytes()), encodeIndexPart(directory.index));
  const runs = runsOf(directory.parts.flatMap(({ chunks }) => chunks));
  const lists = new VarintWriter();
  lists.put(runs.length);
  for (const { skipped, count } of runs) {
    lists.put(skipped);
    lists.put(count);
  }
  lists.put(directory.parts.length);
  pieces.push(lists.bytes());
  for (const part of directory.parts) {
    const facts = new VarintWriter();
    for (const fact of [part.chunks.length, part.payloadBytes, part.sizeBytes]) facts.put(fact);
    pieces.push(facts.bytes(), Buffer.from(part.digest, 'hex'));
  }
  const body = Buffer.concat(pieces);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  const all = Buffer.concat([MAGIC, length, body]);
  return Buffer.concat([all, digestBytes(all)]);
}

function encodeIndexPart(index: IndexPartFact | undefined): Buffer {
  const numbers = new VarintWriter();
  numbers.put(index?.sizeBytes ?? 0);
  if (index === undefined) return numbers.bytes();
  for (const fact of [index.manifestBytes, index.signatureBytes, index.payloadBytes]) numbers.put(fact);
  return Buffer.concat([numbers.bytes(), Buffer.from(index.digest, 'hex')]);
}

function runsOf(chunks: readonly number[]): { skipped: number; count: number }[] {
  const runs: { skipped: number; count: number }[] = [];
  let next = 0;
  for (const chunk of chunks) {
    const last = runs.at(-1);
    if (last !== undefined && chunk === next) last.count += 1;
    else runs.push({ skipped: chunk - next, count: 1 });
    next = chunk + 1;
  }
  return runs;
}

/** Bytes in front of the parts, from the first PREFIX_BYTES of a file. Throws ARTIFACT_PATCH. */
export function directoryBytes(prefix: Buffer): number {
  if (prefix.length < PREFIX_BYTES || !prefix.subarray(0, MAGIC.length).equals(MAGIC)) {
    const found = `a file that begins with ${JSON.stringify(prefix.toString('latin1', 0, 12))}`;
    throw patchFault(found, 'a patch of format 2; make it with the gwe that reads it, or update that one');
  }
  const bytes = prefix.readUInt32LE(MAGIC.length);
  if (bytes > MOST_DIRECTORY_BYTES)
    throw patchFault(`a directory of ${bytes} bytes`, `at most ${MOST_DIRECTORY_BYTES}`);
  return PREFIX_BYTES + bytes + DIGEST_BYTES;
}

/**
 * `bytes`: the first `directoryBytes` of a file of `fileBytes`. `newChunks`: how many chunks the new version has
 * (MOST_CHUNKS where that is not known yet). The parts are placed as they stand in the file. Throws ARTIFACT_PATCH.
 */
export function decodeDirectory(bytes: Buffer, fileBytes: number, newChunks: number): PlacedDirectory {
  const length = directoryBytes(bytes);
  const head = bytes.subarray(0, length - DIGEST_BYTES);
  if (bytes.length < length || !digestBytes(head).equals(bytes.subarray(length - DIGEST_BYTES, length)))
    throw patchFault('a directory whose digest is wrong', 'the one that was written');
  const reader = new VarintReader(head.subarray(PREFIX_BYTES));
  const oldDigest = reader.takeBytes(32).toString('hex');
  const newDigest = reader.takeBytes(32).toString('hex');
  const oldBytes = reader.take();
  const index = takeIndexPart(reader, length);
  const chunks = takeRuns(reader, Math.min(newChunks, MOST_CHUNKS));
  const parts = takeParts(reader, chunks, length + (index?.sizeBytes ?? 0));
  if (!reader.isAtEnd) throw patchFault('bytes behind the directory', 'none');
  const last = parts.at(-1) ?? index ?? { offset: length, sizeBytes: 0 };
  const end = last.offset + last.sizeBytes;
  if (end !== fileBytes) throw patchFault(`${fileBytes} bytes`, `${end}`);
  return { oldDigest, newDigest, oldBytes, ...(index === undefined ? {} : { index }), parts };
}

function takeIndexPart(reader: VarintReader, offset: number): PlacedDirectory['index'] {
  const sizeBytes = reader.take(MOST_PAYLOAD_BYTES + PART_SLACK_BYTES);
  if (sizeBytes === 0) return undefined;
  const manifestBytes = reader.take(MOST_INDEX_BYTES);
  const signatureBytes = reader.take(MOST_INDEX_BYTES);
  const payloadBytes = reader.take(MOST_PAYLOAD_BYTES);
  const digest = reader.takeBytes(DIGEST_BYTES).toString('hex');
  return { manifestBytes, signatureBytes, payloadBytes, sizeBytes, digest, offset };
}

/** The indices of all chunks in the runs. */
function takeRuns(reader: VarintReader, newChunks: number): number[] {
  const chunks: number[] = [];
  const runs = reader.take(newChunks);
  let next = 0;
  for (let run = 0; run < runs; run++) {
    next += reader.take(newChunks - next);
    const count = reader.take(newChunks - next);
    if (count === 0) throw patchFault('a run of no chunks', 'one chunk at least');
    for (let i = 0; i < count; i++) chunks.push(next++);
  }
  return chunks;
}

function takeParts(reader: VarintReader, chunks: readonly number[], begin: number): PlacedPart[] {
  const parts: PlacedPart[] = [];
  const count = reader.take(chunks.length);
  let offset = begin;
  let next = 0;
  for (let i = 0; i < count; i++) {
    const taken = reader.take(chunks.length - next);
    if (taken === 0) throw patchFault('a part of no chunks', 'one chunk at least');
    const payloadBytes = reader.take(MOST_PAYLOAD_BYTES);
    const sizeBytes = reader.take(MOST_PAYLOAD_BYTES + PART_SLACK_BYTES);
    const digest = reader.takeBytes(DIGEST_BYTES).toString('hex');
    parts.push({ chunks: chunks.slice(next, next + taken), payloadBytes, sizeBytes, digest, offset });
    offset += sizeBytes;
    next += taken;
  }
  if (next !== chunks.length) throw patchFault(`parts of ${next} chunks`, `${chunks.length}`);
  return parts;
}

/** Bytes from the start of a file that tell which versions it is between. */
export const ENDS_BYTES: number = PREFIX_BYTES + 64;

/** Digests of the manifests that a patch is between, from its first ENDS_BYTES; `undefined` for what is no patch. */
export function patchEnds(head: Buffer): { oldDigest: string; newDigest: string } | undefined {
  if (head.length < ENDS_BYTES || !head.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const digests = head.toString('hex', PREFIX_BYTES, ENDS_BYTES);
  return { oldDigest: digests.slice(0, 64), newDigest: digests.slice(64) };
}

/** The digest that identifies a part, hex. */
export function partDigest(bytes: Uint8Array): string {
  return digestBytes(bytes).toString('hex');
}

function digestBytes(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, DIGEST_BYTES);
}
