import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { collectGarbage } from '../../base/memory.ts';
import { entryFault, formatFault, limitFault, quote } from '../faults.ts';
import { type Items, splitLists, TextItems } from '../json-lists.ts';
import type { ArtifactLimits } from '../limits.ts';
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../name.ts';
import { normaliseName } from '../tar/entries.ts';
import { END_OF_ARCHIVE_BYTES, type EntryHeader, entryHeaderBytes, paddingBytes } from '../tar/writer.ts';
import { assertUtf8, decodeCanonical, parseCanonical, renderCanonical } from './canonical-json.ts';
import { MANIFEST_PATH, META_DIRECTORY, SIGNATURES_PATH } from './meta-files.ts';

/**
 * `.gwe/manifest.json`, the first entry of an indexed tarball: everything that is in the tarball, byte for byte, and
 * what it is for. It is what gets signed, and its sha256 is the identity of the artifact.
 */

/** Reserved in every artifact; does not count as a top-level directory. */

/**
 * Raised with every key that a reader must not ignore: a restriction that an old gwe does not know would not hold
 * there. Keys are never added without it, except those that a reader may do without (KNOWN_LATER).
 */
export const MANIFEST_FORMAT = 1;

/** CPUs that gwe is made for, as `architectures` names them. */
export const ARCHITECTURES = ['x64', 'arm64', 'armv7l'] as const;

/** A version of gwe. */
export const VERSION_NUMBER = /^\d{1,6}(\.\d{1,6}){0,3}$/;

const MODE_TEXT = /^0[0-7]{3}$/;
const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits'));
const mode = v.pipe(v.string(), v.regex(MODE_TEXT, 'expected an octal mode like 0755'));

const EntrySchema = v.variant('type', [
  v.strictObject({ type: v.literal('file'), path: v.string(), mode, size: wholeNumber, sha256 }),
  v.strictObject({ type: v.literal('directory'), path: v.string(), mode }),
  v.strictObject({ type: v.literal('symlink'), path: v.string(), target: v.string() }),
]);
export type ManifestEntry = v.InferOutput<typeof EntrySchema>;

/** Checking leaves garbage of several times the size of a manifest, and an update decodes several of them. */
const WORTH_COLLECTING_BYTES = 64 * 1024;

/** No chunk is larger: it is what a reader holds in memory to check it. */
export const LARGEST_CHUNK_BYTES: number = 2 ** 20;

/** What a gzip member may need more than what is in it. */
const MEMBER_SLACK_BYTES = 64 * 1024;
/** Two for each 64 KiB of the largest tarball that gwe unpacks. */
const MOST_CHUNKS = 2 ** 17;
const SMALLEST_MEMBER_BYTES = 18;

const ChunkSchema = v.strictTuple([
  v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(LARGEST_CHUNK_BYTES)),
  v.pipe(v.number(), v.safeInteger(), v.minValue(SMALLEST_MEMBER_BYTES)),
  v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'expected 32 hex digits')),
]);
/** Bytes, bytes of the gzip member that holds them, `chunkDigest`. */
export type ManifestChunk = v.InferOutput<typeof ChunkSchema>;

/** A manifest without its lists. */
const FactsSchema = v.strictObject({
  format: v.literal(MANIFEST_FORMAT),
  name: v.pipe(v.string(), v.regex(APP_NAME_PATTERN)),
  version: v.pipe(v.string(), v.regex(APP_VERSION_PATTERN)),
  /** CPUs it runs on; absent: all. */
  architectures: v.optional(v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(16))),
  /** The oldest gwe that can install it. */
  minimum_gwe: v.optional(v.pipe(v.string(), v.regex(VERSION_NUMBER))),
  /** Grows with every release of the app: a lower one is not installed over a higher one. */
  release: v.optional(wholeNumber),
  /** The releases that this one may be installed over although they are higher. */
  downgrade_from: v.optional(v.pipe(v.array(wholeNumber), v.minLength(1), v.maxLength(1000))),
  /** Unix seconds after which it is not installed any more. */
  expires: v.optional(wholeNumber),
  entries: v.pipe(v.array(v.unknown()), v.length(0)),
  chunks: v.optional(v.pipe(v.array(v.unknown()), v.length(0))),
});
type Facts = Omit<v.InferOutput<typeof FactsSchema>, 'entries' | 'chunks'>;

export interface Manifest extends Facts {
  /** Every entry of the tarball behind `.gwe/`, in order. */
  entries: Items<ManifestEntry>;
  /**
   * Where the body, which is the tar stream behind `.gwe/`, is cut, for partial fetches: each chunk is a gzip member of
   * its own, and the last ends where the file does. A reader may do without.
   */
  chunks?: Items<ManifestChunk>;
}

/** What a manifest says besides its entries. */
export type ArtifactFacts = Omit<Facts, 'format'>;

/** The bytes of a manifest, the same on every machine. */
export function renderManifest(manifest: Manifest): Buffer {
  const { entries, chunks, ...facts } = manifest;
  const lists = { entries: [...entries], ...(chunks === undefined ? {} : { chunks: [...chunks] }) };
  return Buffer.from(renderCanonical({ ...facts, ...lists }));
}

/**
 * Throws ARTIFACT_FORMAT or ARTIFACT_ENTRY for bytes that are no manifest of a format that this gwe knows. The result
 * reads its lists from `bytes`, which must stay as they are.
 */
export function decodeManifest(bytes: Buffer, limits: ArtifactLimits): Manifest {
  assertUtf8(bytes, MANIFEST_PATH);
  const { rest, lists } = splitLists(bytes, { entries: limits.entries, chunks: MOST_CHUNKS });
  const value = decodeCanonical(rest, MANIFEST_PATH);
  const found = formatOf(value);
  if (found !== MANIFEST_FORMAT) {
    const shown = typeof found === 'number' ? `a manifest of format ${found}` : 'a manifest without a format';
    throw formatFault(shown, `format ${MANIFEST_FORMAT}; a newer gwe may be needed`);
  }
  const { entries: _entries, chunks: _chunks, ...facts } = check(FactsSchema, value);
  const entries = openList(bytes, lists.get('entries') ?? NO_ITEMS, 'entries', EntrySchema);
  for (const entry of entries) checkPath(entry, limits);
  const table = lists.get('chunks');
  const chunks = table === undefined ? {} : { chunks: openList(bytes, table, 'chunks', ChunkSchema) };
  const manifest = { ...facts, entries, ...chunks };
  checkChunks(manifest, limits);
  if (bytes.length >= WORTH_COLLECTING_BYTES) collectGarbage();
  return manifest;
}

const NO_ITEMS = Uint32Array.of(0);

/** The items of the list `name`, each of which has been checked when this returns. */
function openList<T>(
  bytes: Buffer,
  starts: Uint32Array,
  name: string,
  schema: v.GenericSchema<unknown, T>,
): Items<T> {
  const decode = (text: string, index: number): T =>
    check(schema, parseCanonical(text, MANIFEST_PATH), `${name}.${index}`);
  for (const _item of new TextItems(bytes, starts, decode));
  return new TextItems(bytes, starts, (text): T => JSON.parse(text));
}

function check<T>(schema: v.GenericSchema<unknown, T>, value: unknown, where?: string): T {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = [where, v.getDotPath(issue)].filter((part) => part != null).join('.') || 'it';
  throw formatFault(`a manifest whose ${quote(path)} is wrong (${issue.message})`, 'a manifest of gwe');
}

function formatOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
}

function checkPath({ path }: ManifestEntry, limits: ArtifactLimits): void {
  if (path === '' || normaliseName(path, limits) !== path) {
    throw entryFault(
      path,
      'a name in the manifest that is not in its shortest form',
      'a plain relative path',
    );
  }
  assertNotReserved(path);
}

/** That the chunks make up the body, and that a tarball of them is one that gwe reads. */
function checkChunks(manifest: Manifest, limits: ArtifactLimits): void {
  const { chunks } = manifest;
  if (chunks === undefined) return;
  let [allBytes, allCompressedBytes, at] = [0, 0, 0];
  for (const [sizeBytes, compressedBytes] of chunks) {
    if (compressedBytes > sizeBytes + MEMBER_SLACK_BYTES) {
      const found = `a manifest whose chunk ${at} has ${compressedBytes} bytes for ${sizeBytes}`;
      throw formatFault(found, `at most ${MEMBER_SLACK_BYTES} more`);
    }
    allBytes += sizeBytes;
    allCompressedBytes += compressedBytes;
    at++;
  }
  const bodyBytes = bodyBytesOf(manifest);
  if (allBytes !== bodyBytes)
    throw formatFault(`a manifest with chunks of ${allBytes} bytes`, `${bodyBytes}`);
  if (allCompressedBytes > limits.compressedBytes)
    throw limitFault(
      'tarball',
      `chunks of ${allCompressedBytes} compressed bytes`,
      `${limits.compressedBytes}`,
    );
}

/** Bytes of the tar stream behind `.gwe/`: all other entries, and the end blocks. */
export function bodyBytesOf({ entries }: Pick<Manifest, 'entries'>): number {
  let bytes = END_OF_ARCHIVE_BYTES;
  for (const entry of entries) {
    const header = toEntryHeader(entry);
    bytes += entryHeaderBytes(header) + header.sizeBytes + paddingBytes(header.sizeBytes);
  }
  return bytes;
}

/** A stretch of the body that can be fetched and checked on its own. */
export interface ChunkFact {
  sizeBytes: number;
  /** Bytes of its gzip member. */
  compressedBytes: number;
  /** `chunkDigest` of its bytes. */
  digest: string;
  /** In the body. */
  offset: number;
}

/** The chunks of the body in order; none if the manifest has no table. Their members end where the file does. */
export function chunkFacts({ chunks = [] }: Pick<Manifest, 'chunks'>): ChunkFact[] {
  let offset = 0;
  return Array.from(chunks, ([sizeBytes, compressedBytes, digest]) => {
    const fact = { sizeBytes, compressedBytes, digest, offset };
    offset += sizeBytes;
    return fact;
  });
}

/**
 * What a chunk is known by: the first 128 bits of its sha256, hex. Enough to find it; that the tree is the right one is
 * for the sha256 of its files to say.
 */
export function chunkDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}

/** `.gwe/` at the root, or in the one top-level directory that may become the root, is gwe's own. */
export function assertNotReserved(path: string): void {
  if (!path.split('/', 2).includes(META_DIRECTORY)) return;
  const expected = `${MANIFEST_PATH} as the first entry and ${SIGNATURES_PATH} as the second, written by gwe, or none`;
  throw entryFault(path, `the reserved directory ${META_DIRECTORY}/`, `${expected}; pack without it`);
}

/** The headers that `entries` have in the tar stream, in order. */
export function* entryHeaders(entries: Iterable<ManifestEntry>): Generator<EntryHeader> {
  for (const entry of entries) yield toEntryHeader(entry);
}

/** The header that the entry has in the tar stream. */
export function toEntryHeader(entry: ManifestEntry): EntryHeader {
  const { path, type } = entry;
  switch (entry.type) {
    case 'file':
      return { path, type, mode: Number.parseInt(entry.mode, 8), sizeBytes: entry.size, target: '' };
    case 'directory':
      return { path, type, mode: Number.parseInt(entry.mode, 8), sizeBytes: 0, target: '' };
    case 'symlink':
      return { path, type, mode: 0o777, sizeBytes: 0, target: entry.target };
  }
}

/** The header of one of the two entries in `.gwe/`. */
export function metaEntryHeader(path: string, sizeBytes: number): EntryHeader {
  return { path, type: 'file', mode: 0o644, sizeBytes, target: '' };
}
