/** The index of a tarball from its first bytes alone: two gzip members that hold the manifest and the signatures. */
import { gunzipSync, inflateRawSync } from 'node:zlib';
import { releaseBuffer } from '../../base/memory.ts';
import { limitFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import { type ArtifactIndex, IndexGuard } from '../manifest/index-guard.ts';
import { metaEntryHeader } from '../manifest/manifest.ts';
import { MANIFEST_PATH, SIGNATURES_PATH } from '../manifest/meta-files.ts';
import { assertTarBytes } from '../tar/gunzip.ts';
import { BLOCK_BYTES, decodeHeader } from '../tar/header.ts';
import { TarReader } from '../tar/reader.ts';
import { encodeEntryHeader, paddingBytes } from '../tar/writer.ts';
import { ChunkTable } from './chunk-table.ts';

/** `none`: nothing to fetch parts by, and why. `part`: so many bytes from the start are likely to be enough. */
export type IndexBytes =
  | { kind: 'none'; reason: string; index?: ArtifactIndex }
  | { kind: 'part'; wantedBytes: number }
  | {
      kind: 'chunks';
      index: ArtifactIndex;
      /** The tar stream of both entries, in pieces. The manifest is read from them: they must stay as they are. */
      stream: readonly Buffer[];
      /** Bytes of the tarball in front of the first chunk. */
      indexBytes: number;
      chunks: ChunkTable;
    };

/** Enough for the header of the first entry, however well the bytes behind it compress. */
const PROBE_BYTES = 1024;
/**
 * What gzip may add to what it cannot make smaller. Blocks that hold nothing can make a member as long as one likes.
 */
const INDEX_SLACK_BYTES = 64 * 1024;
/** With a little room left zlib sees the end; without it, it begins another piece to look for more. */
const CHUNK_SLACK_BYTES = 64;
const MEMBER_HEADER_BYTES = 10;
const MEMBER_TRAILER_BYTES = 8;

/**
 * Reads what `head`, the first bytes of a tarball of `sizeBytes`, says of the rest. Throws ARTIFACT_* for an index that
 * is there and may not be used; damaged bytes are no index.
 */
export function readIndexBytes(head: Buffer, sizeBytes: number, limits: ArtifactLimits): IndexBytes {
  const manifestBytes = firstEntryBytes(head, limits);
  if (manifestBytes === undefined) return { kind: 'none', reason: 'it has no index' };
  const mostBytes = Math.min(sizeBytes, manifestBytes + limits.metaEntryBytes + INDEX_SLACK_BYTES);
  const first = inflateMember(head, manifestBytes);
  if (first === 'part') return more(head, manifestBytes, mostBytes);
  if (first === undefined || first.output.length !== manifestBytes)
    return { kind: 'none', reason: 'its manifest does not have a member of its own' };
  const rest = head.subarray(first.memberBytes);
  const second = inflateMember(rest, limits.metaEntryBytes + 2 * BLOCK_BYTES);
  if (second === 'part') return more(head, first.memberBytes, mostBytes);
  if (second === undefined)
    return { kind: 'none', reason: 'its signatures do not have a member of their own' };
  const stream = [first.output, second.output];
  return placeIndex(stream, sizeBytes, first.memberBytes + second.memberBytes, limits);
}

/**
 * The same from the bytes of both entries, wherever they come from, for a tarball of `sizeBytes`: what its chunks leave
 * in front of them is its index. Throws ARTIFACT_*.
 */
export function indexOfEntries(
  manifest: Buffer,
  signatures: Buffer,
  sizeBytes: number,
  limits: ArtifactLimits,
): IndexBytes {
  const stream = [...entryBytes(MANIFEST_PATH, manifest), ...entryBytes(SIGNATURES_PATH, signatures)];
  return placeIndex(stream, sizeBytes, undefined, limits);
}

function entryBytes(path: string, content: Buffer): Buffer[] {
  const header = encodeEntryHeader(metaEntryHeader(path, content.length));
  return [header, content, Buffer.alloc(paddingBytes(content.length))];
}

function placeIndex(
  stream: readonly Buffer[],
  sizeBytes: number,
  knownBytes: number | undefined,
  limits: ArtifactLimits,
): IndexBytes {
  const index = decodeIndex(stream, limits);
  if (index === undefined) return { kind: 'none', reason: `it has no ${SIGNATURES_PATH}` };
  const { chunks: listed = [] } = index.manifest;
  let memberBytes = 0;
  for (const [, compressedBytes] of listed) memberBytes += compressedBytes;
  const indexBytes = knownBytes ?? sizeBytes - memberBytes;
  const chunks = new ChunkTable(listed, indexBytes);
  const last = chunks.at(-1);
  if (last === undefined) return { kind: 'none', reason: 'its manifest has no chunks', index };
  if (indexBytes <= 0 || last.fileOffset + last.compressedBytes !== sizeBytes)
    return { kind: 'none', reason: 'its chunks do not make up the file', index };
  const streamBytes = stream.reduce((sum, piece) => sum + piece.length, 0);
  assertTarBytes(streamBytes + last.offset + last.sizeBytes, sizeBytes, limits);
  return { kind: 'chunks', index, stream, indexBytes, chunks };
}

/** Bytes of the first entry with header and padding; `undefined` unless it is the manifest. */
function firstEntryBytes(head: Buffer, limits: ArtifactLimits): number | undefined {
  const start = isMember(head) ? inflateStart(head.subarray(0, PROBE_BYTES)) : undefined;
  return start === undefined ? undefined : manifestEntryBytes(start, limits);
}

function manifestEntryBytes(stream: Buffer, limits: ArtifactLimits): number | undefined {
  if (stream.length < BLOCK_BYTES || !stream.toString('latin1', 0, 100).startsWith(`${MANIFEST_PATH}\0`))
    return undefined;
  const { sizeBytes } = decodeHeader(stream.subarray(0, BLOCK_BYTES), 0, {});
  if (sizeBytes > limits.manifestBytes)
    throw limitFault(`entry ${quote(MANIFEST_PATH)}`, `${sizeBytes} bytes`, `${limits.manifestBytes}`);
  return BLOCK_BYTES + sizeBytes + paddingBytes(sizeBytes);
}

/** What `head` would have to be for `outputBytes` of the first member, by how well it has compressed so far. */
function more(head: Buffer, outputBytes: number, mostBytes: number): IndexBytes {
  const start = inflateStart(head);
  const so = start?.length ?? 0;
  if (start !== undefined) releaseBuffer(start);
  const share = so > 0 && so < outputBytes ? outputBytes / so : 1;
  const wanted = Math.ceil(head.length * share * 1.03) + 512;
  return head.length >= mostBytes
    ? { kind: 'none', reason: 'its index does not end' }
    : { kind: 'part', wantedBytes: Math.min(mostBytes, wanted) };
}

interface Member {
  output: Buffer;
  memberBytes: number;
}

/** Fields that gwe never writes (a name, a time) make a good member, but not one of ours. */
function isMember(bytes: Buffer): boolean {
  return bytes.length >= MEMBER_HEADER_BYTES && bytes.readUInt32BE(0) === 0x1f8b0800;
}

/**
 * The gzip member at the start of `bytes`, checked to its end; `part` if more bytes are needed, `undefined` for what is
 * none, or holds more than `mostBytes`.
 */
function inflateMember(bytes: Buffer, mostBytes: number): Member | 'part' | undefined {
  if (bytes.length < MEMBER_HEADER_BYTES) return 'part';
  if (!isMember(bytes)) return undefined;
  // In one piece: a manifest of thousands of entries is large, and pieces would have to be put together.
  const options = { maxOutputLength: mostBytes, chunkSize: mostBytes + CHUNK_SLACK_BYTES };
  try {
    const raw: unknown = inflateRawSync(bytes.subarray(MEMBER_HEADER_BYTES), { ...options, ...PARTIAL });
    const memberBytes = MEMBER_HEADER_BYTES + consumedBytes(raw) + MEMBER_TRAILER_BYTES;
    if (hasBuffer(raw)) releaseBuffer(raw.buffer);
    if (memberBytes > bytes.length) return 'part';
    return { output: gunzipSync(bytes.subarray(0, memberBytes), options), memberBytes };
  } catch {
    return undefined;
  }
}

/** The available content of a truncated member. */
function inflateStart(bytes: Buffer): Buffer | undefined {
  try {
    const raw: unknown = inflateRawSync(bytes.subarray(MEMBER_HEADER_BYTES), PARTIAL);
    return hasBuffer(raw) ? raw.buffer : undefined;
  } catch {
    return undefined;
  }
}

/** `info`, which the types leave out, says where the data ends. */
const PARTIAL = { info: true, finishFlush: 2 } as const;

function hasBuffer(raw: unknown): raw is { buffer: Buffer; engine: { bytesWritten: number } } {
  return typeof raw === 'object' && raw !== null && 'engine' in raw && 'buffer' in raw;
}

function consumedBytes(raw: unknown): number {
  if (!hasBuffer(raw)) throw new Error('this runtime does not tell where compressed data ends');
  return raw.engine.bytesWritten;
}

/** By the same rules as in a full download; `undefined` if more than the two entries is there. */
function decodeIndex(stream: readonly Buffer[], limits: ArtifactLimits): ArtifactIndex | undefined {
  const guard = new IndexGuard({ limits, keepsIndex: true });
  const reader = new TarReader(
    {
      entry: (entry) => guard.entry(entry),
      data: (chunk) => guard.data(chunk),
      fileEnd: () => guard.fileEnd(),
    },
    limits,
  );
  for (const piece of stream) {
    reader.write(piece);
    guard.stream(piece);
  }
  return reader.entries === 2 ? guard.index : undefined;
}
