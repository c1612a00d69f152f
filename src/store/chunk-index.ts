import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, readFileBounded, writeFileDurable } from '../base/fs.ts';

/**
 * Where the chunks of everything installed are: a file that says which version directory holds which chunk, and at what
 * byte of its stream. It is never trusted: whatever is read through it is checked against its digest. If missing, damaged or stale, it is rebuilt.
 */

/** An entry of a tree that came without a manifest, as it was when its chunks were cut. */
const EntrySchema = v.variant('type', [
  v.object({
    type: v.literal('file'),
    path: v.string(),
    mode: v.string(),
    size: v.number(),
    sha256: v.string(),
  }),
  v.object({ type: v.literal('directory'), path: v.string(), mode: v.string() }),
  v.object({ type: v.literal('symlink'), path: v.string(), target: v.string() }),
]);

const SectionSchema = v.object({
  app: v.string(),
  /** The name of the version's directory. */
  directory: v.string(),
  chunks: v.number(),
  entries: v.optional(v.array(EntrySchema)),
});

/** The chunks of one version. */
export interface IndexSection extends v.InferOutput<typeof SectionSchema> {
  /** RECORD_BYTES for each chunk. */
  records: Buffer;
}

export interface ChunkRecord {
  digest: string;
  sizeBytes: number;
  /** In the stream of the version. */
  offset: number;
}

const MAGIC = Buffer.from('gwe-chunks-1\n');
const DIGEST_BYTES = 16;
const RECORD_BYTES = DIGEST_BYTES + 4 + 6;
const SUM_BYTES = 32;
const MOST_BYTES = 64 * 1024 * 1024;

/** The sections that the file holds; none where it is missing or damaged. */
export function readChunkIndex(path: string): IndexSection[] {
  try {
    const bytes = readFileBounded(path, MOST_BYTES);
    return bytes === undefined ? [] : decode(bytes);
  } catch {
    return [];
  }
}

/** Replaces the file. What does not fit is left out: its chunks are fetched again, that is all. */
export function writeChunkIndex(path: string, sections: readonly IndexSection[]): void {
  const kept: IndexSection[] = [];
  let room = MOST_BYTES / 2;
  for (const section of sections) {
    room -= section.records.length + 200 * (section.entries?.length ?? 0);
    if (room > 0) kept.push(section);
  }
  ensureDirectory(dirname(path));
  writeFileDurable(path, encode(kept), 0o600);
}

export function encodeRecords(records: readonly ChunkRecord[]): Buffer {
  const bytes = Buffer.alloc(records.length * RECORD_BYTES);
  for (const [index, { digest, sizeBytes, offset }] of records.entries()) {
    const at = index * RECORD_BYTES;
    bytes.write(digest, at, DIGEST_BYTES, 'hex');
    bytes.writeUInt32BE(sizeBytes, at + DIGEST_BYTES);
    bytes.writeUIntBE(offset, at + DIGEST_BYTES + 4, 6);
  }
  return bytes;
}

export function* decodeRecords(records: Buffer): Generator<ChunkRecord> {
  for (let at = 0; at + RECORD_BYTES <= records.length; at += RECORD_BYTES) {
    yield {
      digest: records.toString('hex', at, at + DIGEST_BYTES),
      sizeBytes: records.readUInt32BE(at + DIGEST_BYTES),
      offset: records.readUIntBE(at + DIGEST_BYTES + 4, 6),
    };
  }
}

/** Magic, length of the JSON, JSON, records of each section in order, sha256 of all that. */
function encode(sections: readonly IndexSection[]): Buffer {
  const facts = sections.map(({ records: _records, ...section }) => section);
  const json = Buffer.from(JSON.stringify(facts));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  const body = Buffer.concat([MAGIC, length, json, ...sections.map(({ records }) => records)]);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

function decode(bytes: Buffer): IndexSection[] {
  const body = bytes.subarray(0, Math.max(0, bytes.length - SUM_BYTES));
  const isWhole = createHash('sha256').update(body).digest().equals(bytes.subarray(body.length));
  if (!isWhole || !body.subarray(0, MAGIC.length).equals(MAGIC)) return [];
  const start = MAGIC.length + 4;
  const jsonBytes = body.readUInt32BE(MAGIC.length);
  const text = body.toString('utf8', start, start + jsonBytes);
  let at = start + jsonBytes;
  return v.parse(v.array(SectionSchema), JSON.parse(text)).map((section) => {
    const records = body.subarray(at, at + section.chunks * RECORD_BYTES);
    at += records.length;
    return { ...section, records };
  });
}
