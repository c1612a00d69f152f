/** Two versions of an app -> the patch that makes the new one from the old one. */
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { GweError } from '../../base/errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { BodyCutter } from '../chunks/chunker.ts';
import {
  type ChunkFact,
  chunkDigest,
  chunkFacts,
  entryHeaders,
  type Manifest,
  renderManifest,
} from '../manifest/manifest.ts';
import { type ArtifactSignature, renderSignatures } from '../manifest/signature.ts';
import {
  encodeDirectory,
  type IndexPartFact,
  MOST_PAYLOAD_BYTES,
  type PartFact,
  partDigest,
} from './format.ts';
import { followOn, Matcher, type Stretch } from './matcher.ts';
import {
  type EntryPlace,
  entryPlaces,
  type OldText,
  planOldText,
  readOldText,
  textPlace,
} from './old-text.ts';
import { PartBuilder } from './part-builder.ts';
import { patchFault } from './patch-error.ts';
import { buildSeedIndex, indexBytes } from './seed-index.ts';
import { openPool, type PoolPlan, planPool, THREAD_MEMORY_BYTES, type WorkerPool } from './workers.ts';

/** A version of the app: its manifest, and the tar stream behind `.gwe/`. */
export interface PatchTarball {
  /** sha256 of the manifest, hex. */
  digest: string;
  manifest: Manifest;
  signatures: readonly ArtifactSignature[];
  body: ByteSource;
}

/** What making a patch will take, known in advance. */
export interface PatchPlan {
  /** Chunks of the new version that the old one does not have. */
  missing: readonly (ChunkFact & { index: number })[];
  missingBytes: number;
  /** Bytes of their gzip members: what is fetched without the patch. */
  missingCompressedBytes: number;
  /** The part of the old body that is compared with. */
  textBytes: number;
  pool: PoolPlan;
  memoryBytes: number;
  seconds: number;
}

export interface MakeOptions {
  signal?: AbortSignal;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

interface MadePatch {
  bytes: Buffer;
  parts: readonly PartFact[];
  /** Whether the index of the new version can be made from it as well. */
  hasIndex: boolean;
  /** Bytes of chunks that need not be fetched with it. */
  savedBytes: number;
}

/** A part is closed when its payload has this size: four times as much make 0.4 % less, and take more to apply. */
const FULL_PAYLOAD_BYTES = 256 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Parts that wait for brotli, which has threads of its own: as many as it uses, and no more memory. */
const MOST_AT_WORK = 4;
const MEBIBYTE = 1024 * 1024;
/** The runtime's own memory, and brotli's for four parts. */
const FIXED_MEMORY_BYTES = 300 * MEBIBYTE;
/** As measured on two cores of a server, for a rebuilt program: rounded up. */
const SECONDS_PER_TEXT_MEBIBYTE = 0.1;
const SECONDS_PER_MISSING_MEBIBYTE = 0.5;
const BROTLI_WINDOW_BITS = 19;

const EMPTY = Buffer.alloc(0);

const compress = promisify<Buffer, { params: Record<number, number> }, Buffer>(brotliCompress);

/** Reads the old body when its manifest has no chunks. Throws ARTIFACT_PATCH for a new one without. */
export function planPatch(old: PatchTarball, next: PatchTarball): PatchPlan {
  if (next.manifest.chunks === undefined)
    throw patchFault('a new version without chunks', 'one packed by this gwe (gwe --build-app or gwe sign)');
  const known = new Set(chunksOf(old).map(({ digest }) => digest));
  const missing = chunkFacts(next.manifest)
    .map((chunk, index) => ({ ...chunk, index }))
    .filter(({ digest }) => !known.has(digest));
  const pieces = planOldText(old.manifest, next.manifest, old.body.sizeBytes);
  const textBytes = pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0);
  const missingBytes = sumOf(missing, 'sizeBytes');
  const pool = planPool(textBytes + missingBytes);
  return {
    missing,
    missingBytes,
    missingCompressedBytes: sumOf(missing, 'compressedBytes'),
    textBytes,
    pool,
    memoryBytes: textBytes + indexBytes(textBytes) + FIXED_MEMORY_BYTES + pool.threads * THREAD_MEMORY_BYTES,
    seconds: Math.ceil(
      (textBytes * SECONDS_PER_TEXT_MEBIBYTE + missingBytes * SECONDS_PER_MISSING_MEBIBYTE) / MEBIBYTE,
    ),
  };
}

function sumOf(chunks: readonly ChunkFact[], key: 'sizeBytes' | 'compressedBytes'): number {
  return chunks.reduce((sum, chunk) => sum + chunk[key], 0);
}

/** The chunks of a version: an older gwe has not written them down. */
function chunksOf({ manifest, body }: PatchTarball): ChunkFact[] {
  if (manifest.chunks !== undefined) return chunkFacts(manifest);
  const facts: ChunkFact[] = [];
  const cutter = new BodyCutter(entryHeaders(manifest.entries));
  let offset = 0;
  for (let at = 0; at < body.sizeBytes; at += MEBIBYTE) {
    const piece = Buffer.allocUnsafe(Math.min(MEBIBYTE, body.sizeBytes - at));
    if (!body.read(at, piece)) throw patchFault('an old version that ends early', 'all of it');
    for (const chunk of cutter.take(piece)) {
      facts.push({ sizeBytes: chunk.length, compressedBytes: 0, digest: chunkDigest(chunk), offset });
      offset += chunk.length;
    }
  }
  return facts;
}

/** Throws ARTIFACT_PATCH when one of the bodies cannot be read, CANCELLED. */
export async function makePatch(
  old: PatchTarball,
  next: PatchTarball,
  plan: PatchPlan,
  options: MakeOptions = {},
): Promise<MadePatch> {
  const maker = new Maker(old, next, plan, options);
  await maker.run();
  const parts = maker.parts.map(({ fact }) => fact);
  const index = await makeIndexPart(old, next);
  const directory = encodeDirectory({
    oldDigest: old.digest,
    newDigest: next.digest,
    oldBytes: old.body.sizeBytes,
    ...(index === undefined ? {} : { index: index.fact }),
    parts,
  });
  const bytes = Buffer.concat([directory, index?.bytes ?? EMPTY, ...maker.parts.map((part) => part.bytes)]);
  const savedBytes = maker.parts.reduce((sum, part) => sum + part.savedBytes, 0);
  return { bytes, parts, hasIndex: index !== undefined, savedBytes };
}

/** The new manifest and its signatures, from the old manifest; `undefined` where one part has no room for what is new. */
async function makeIndexPart(
  old: PatchTarball,
  next: PatchTarball,
): Promise<{ fact: IndexPartFact; bytes: Buffer } | undefined> {
  const [from, manifest] = [renderManifest(old.manifest), renderManifest(next.manifest)];
  const signatures = renderSignatures(next.signatures);
  const text = Buffer.concat([manifest, signatures]);
  const builder = new PartBuilder();
  const known = { bytes: from, pieces: [{ textAt: 0, bodyAt: 0, sizeBytes: from.length }] };
  const matcher = new Matcher(from, await buildSeedIndex(from));
  for (const stretch of matcher.match(text, 0, text.length, 0)) builder.add(known, text, stretch);
  const payload = builder.finish();
  if (payload.length > MOST_PAYLOAD_BYTES) return undefined;
  const bytes = await compressPayload(payload);
  const fact = {
    manifestBytes: manifest.length,
    signatureBytes: signatures.length,
    payloadBytes: payload.length,
    sizeBytes: bytes.length,
    digest: partDigest(bytes),
  };
  return { fact, bytes };
}

interface MadePart {
  fact: PartFact;
  bytes: Buffer;
  savedBytes: number;
}

type MissingChunk = PatchPlan['missing'][number];

class Maker {
  /** Those that pay, in order. */
  readonly parts: MadePart[] = [];
  readonly #old: PatchTarball;
  readonly #next: PatchTarball;
  readonly #plan: PatchPlan;
  readonly #options: MakeOptions;
  readonly #oldChunks: Map<string, ChunkFact>;
  readonly #oldEntries: Map<string, EntryPlace>;
  readonly #newEntries: EntryPlace[];
  readonly #newChunks: readonly ChunkFact[];
  readonly #atWork: Promise<MadePart | undefined>[] = [];
  #builder = new PartBuilder();
  #done = 0;

  constructor(old: PatchTarball, next: PatchTarball, plan: PatchPlan, options: MakeOptions) {
    this.#old = old;
    this.#next = next;
    this.#plan = plan;
    this.#options = options;
    this.#oldChunks = new Map(chunkFacts(old.manifest).map((chunk) => [chunk.digest, chunk]));
    this.#oldEntries = new Map(entryPlaces(old.manifest).map((place) => [place.path, place]));
    this.#newEntries = entryPlaces(next.manifest);
    this.#newChunks = chunkFacts(next.manifest);
  }

  async run(): Promise<void> {
    const pieces = planOldText(this.#old.manifest, this.#next.manifest, this.#old.body.sizeBytes);
    const text = readOldText(this.#old.body, pieces);
    const pool = openPool(text.bytes, this.#plan.pool, this.#options.signal);
    try {
      await pool.buildIndex((bytes) => this.#progress(bytes));
      this.#done = text.bytes.length;
      await this.#match(text, pool);
    } finally {
      await pool.close();
    }
    await this.#close();
    while (this.#atWork.length > 0) await this.#collect();
  }

  async #match(text: OldText, pool: WorkerPool): Promise<void> {
    const begun: BegunWindow[] = [];
    let endAt = -1;
    for (const window of windowsOf(this.#plan.missing)) {
      begun.push(this.#begin(text, pool, window));
      if (begun.length < pool.width) continue;
      endAt = await this.#finish(text, begun.shift(), endAt);
    }
    while (begun.length > 0) endAt = await this.#finish(text, begun.shift(), endAt);
  }

  #begin(text: OldText, pool: WorkerPool, window: Window): BegunWindow {
    const bytes = Buffer.from(new SharedArrayBuffer(sumOf(window.chunks, 'sizeBytes')));
    if (!this.#next.body.read(window.chunks[0]?.offset ?? 0, bytes))
      throw patchFault('a new version that has changed while it was read', 'it as it was');
    const stretches = pool.match(bytes, this.#expected(text, window.chunks[0]));
    // Its failure is reported when its turn comes, or when another failure has ended everything.
    stretches.catch(() => undefined);
    return { window, bytes, stretches };
  }

  /** `endAt`: where the old text went on behind the window before. Returns where it probably goes on behind this one. */
  async #finish(text: OldText, begun: BegunWindow | undefined, endAt: number): Promise<number> {
    if (begun === undefined) return -1;
    const { window, bytes } = begun;
    const [first, ...others] = await begun.stretches;
    if (first === undefined) return -1;
    const start = window.from === 'behind' && endAt >= 0 ? followOn(text.bytes, bytes, first, endAt) : first;
    const cutter = new StretchCutter([start, ...others]);
    for (const chunk of window.chunks) {
      for (const stretch of cutter.take(chunk.sizeBytes)) this.#builder.add(text, bytes, stretch);
      this.#builder.chunks.push(chunk.index);
      this.#builder.savedBytes += chunk.compressedBytes;
      if (this.#builder.payloadBytes >= FULL_PAYLOAD_BYTES) await this.#close();
    }
    this.#done += bytes.length;
    this.#progress(0);
    await new Promise((resolve) => setImmediate(resolve));
    const last = others.at(-1) ?? start;
    return last.oldAt + last.copyBytes + last.extraBytes;
  }

  /** Where the old text probably has what the chunk begins with: behind the chunk before it, or in the same file. */
  #expected(text: OldText, chunk: MissingChunk | undefined): number {
    if (chunk === undefined) return -1;
    const before = this.#newChunks[chunk.index - 1];
    const same = before === undefined ? undefined : this.#oldChunks.get(before.digest);
    if (same !== undefined) return textPlace(text, same.offset + same.sizeBytes);
    const entry = this.#newEntries.find(({ start, end }) => chunk.offset >= start && chunk.offset < end);
    const predecessor = entry === undefined ? undefined : this.#oldEntries.get(entry.path);
    if (entry === undefined || predecessor === undefined) return -1;
    return textPlace(text, Math.min(predecessor.end - 1, predecessor.start + chunk.offset - entry.start));
  }

  async #close(): Promise<void> {
    const builder = this.#builder;
    this.#builder = new PartBuilder();
    if (builder.chunks.length === 0) return;
    if (this.#atWork.length === MOST_AT_WORK) await this.#collect();
    const part = compressPart(builder);
    // Whoever awaits it gets its failure; until then it must not count as unhandled.
    part.catch(() => undefined);
    this.#atWork.push(part);
  }

  async #collect(): Promise<void> {
    const part = await this.#atWork.shift();
    if (part !== undefined) this.parts.push(part);
    this.#progress(0);
  }

  #progress(bytes: number): void {
    const { signal, onProgress } = this.#options;
    if (signal?.aborted) throw new GweError('CANCELLED', 'stopped making the patch');
    onProgress?.(this.#done + bytes, this.#plan.textBytes + this.#plan.missingBytes);
  }
}

/** `undefined` for one that is no smaller than the chunks themselves. */
async function compressPart(builder: PartBuilder): Promise<MadePart | undefined> {
  const payload = builder.finish();
  if (payload.length > MOST_PAYLOAD_BYTES) return undefined;
  const bytes = await compressPayload(payload);
  const { chunks, savedBytes } = builder;
  if (bytes.length >= savedBytes) return undefined;
  const fact = { chunks, payloadBytes: payload.length, sizeBytes: bytes.length, digest: partDigest(bytes) };
  return { fact, bytes, savedBytes };
}

function compressPayload(payload: Buffer): Promise<Buffer> {
  return compress(payload, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: payload.length,
    },
  });
}

interface Window {
  /** Whether it begins where the one before it ends. */
  from: 'elsewhere' | 'behind';
  chunks: MissingChunk[];
}

/** A window that the pool has at work. */
interface BegunWindow {
  window: Window;
  bytes: Buffer;
  stretches: Promise<Stretch[]>;
}

/** Chunks in a row, as many as are worked on at once. */
function windowsOf(missing: readonly MissingChunk[]): Window[] {
  const windows: Window[] = [];
  let bytes = 0;
  let end = -1;
  for (const chunk of missing) {
    const last = windows.at(-1);
    const isNext = chunk.offset === end;
    if (last !== undefined && isNext && bytes + chunk.sizeBytes <= WINDOW_BYTES) last.chunks.push(chunk);
    else {
      windows.push({ from: isNext ? 'behind' : 'elsewhere', chunks: [chunk] });
      bytes = 0;
    }
    bytes += chunk.sizeBytes;
    end = chunk.offset + chunk.sizeBytes;
  }
  return windows;
}

/** Cuts stretches where chunks end. */
class StretchCutter {
  readonly #stretches: readonly Stretch[];
  #next = 0;
  #rest: Stretch | undefined;

  constructor(stretches: readonly Stretch[]) {
    this.#stretches = stretches;
  }

  /** The next bytes. */
  *take(sizeBytes: number): Generator<Stretch> {
    for (let left = sizeBytes; left > 0; ) {
      const stretch = this.#rest ?? this.#stretches[this.#next++];
      if (stretch === undefined) return;
      const copyBytes = Math.min(left, stretch.copyBytes);
      const extraBytes = Math.min(left - copyBytes, stretch.extraBytes);
      yield { ...stretch, copyBytes, extraBytes };
      left -= copyBytes + extraBytes;
      const rest = {
        oldAt: stretch.oldAt + copyBytes,
        newAt: stretch.newAt + copyBytes + extraBytes,
        copyBytes: stretch.copyBytes - copyBytes,
        extraBytes: stretch.extraBytes - extraBytes,
      };
      this.#rest = rest.copyBytes + rest.extraBytes > 0 ? rest : undefined;
    }
  }
}
