/**
 * The body of an indexed tarball in order, chunk by chunk, each from where it costs least: the bytes that are here,
 * the wire for the rest. Chunks are inflated on the thread pool, a few at a time, in memory that is made once: a
 * collector that comes late, because the machine is busy, then finds no more than one that comes early.
 */

import { type ChunkPlan, type FetchRun, runStretch } from '../../artifact/chunks/chunk-plan.ts';
import type { PlacedChunk } from '../../artifact/chunks/chunk-table.ts';
import type { Items } from '../../artifact/json-lists.ts';
import { chunkDigest } from '../../artifact/manifest/manifest.ts';
import { type ByteRing, createByteRing } from '../../artifact/tar/byte-ring.ts';
import { createInflater, type Inflater } from '../../artifact/tar/inflate-into.ts';
import { GweError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { releaseBuffer } from '../../base/memory.ts';
import type { ContentApi } from '../../protocol/content-api.ts';
import { fetchPart } from '../../protocol/content-part.ts';
import type { FetchCounts } from './item.ts';

export interface AssemblyOptions {
  api: ContentApi;
  id: string;
  /** Bytes of the tarball. */
  sizeBytes: number;
  chunks: Items<PlacedChunk>;
  plan: ChunkPlan;
  /** What of the first chunks came with the index. */
  early: Buffer;
  /** Fills `into` with what may be the chunk, from each place in turn. */
  candidates(index: number, into: Buffer): Iterable<Buffer>;
  /** The next one waits for a promise that it returns. */
  sink(bytes: Buffer): Promise<void> | undefined;
  /** Told of the bytes of chunks that seemed to be here and are not, before they are fetched; throws to refuse that. */
  permit?(bytes: number): void;
  signal: AbortSignal;
  log: Logger;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

/** Chunks that are being inflated or checked at once: with more, memory grows and nothing else. */
export const MOST_AHEAD = 4;
/** How many changed chunks in a row are fetched in one go. */
const MOST_CHANGED = 256;

/** Memory for a few chunks of the usual size, which for those that are fetched includes their members; or for one. */
const RING_BYTES = { fetched: 640 * 1024, reused: 384 * 1024 };

/** What came over the wire is not the chunk that the manifest lists. */
export class ChunkDamaged extends GweError {
  constructor(id: string, at: number, chunk: PlacedChunk) {
    super(
      'DOWNLOAD_DIGEST',
      `cannot accept '${id}': its ${chunk.compressedBytes} bytes from ${chunk.fileOffset} on are not chunk ${at} of its ` +
        `manifest, expected sha256 ${chunk.digest}...; upload it again`,
    );
  }
}

/** `counts` grows as it goes on, so that it is true after an error too. */
export async function assembleChunks(options: AssemblyOptions, counts: FetchCounts): Promise<void> {
  const assembler = new ChunkAssembler(options, counts);
  const { chunks, plan } = options;
  let at = 0;
  try {
    for (const run of [...plan.runs, { first: chunks.length, end: chunks.length }]) {
      await assembler.reuse(at, run.first);
      await assembler.fetch(run);
      at = run.end;
    }
  } finally {
    await assembler.close();
  }
}

/** One chunk on its way: what came over the wire, and what it holds with the byte of room that `Inflater` asks for. */
interface Slot {
  member: Buffer;
  output: Buffer;
}

class ChunkAssembler {
  readonly #options: AssemblyOptions;
  readonly #counts: FetchCounts;
  /** Where the first chunk starts in the tarball. */
  readonly #bodyAt: number;
  /** Two, since what is fetched after all is delivered before what seemed to be here behind it. */
  readonly #fetched: ByteRing;
  readonly #reused: ByteRing;
  readonly #inflaters: Inflater[] = [];
  readonly #atWork = new Set<Promise<unknown>>();

  constructor(options: AssemblyOptions, counts: FetchCounts) {
    this.#options = options;
    this.#bodyAt = options.chunks.at(0)?.fileOffset ?? 0;
    this.#counts = counts;
    let longest = 0;
    for (const chunk of options.chunks) longest = Math.max(longest, slotBytes(chunk));
    this.#fetched = createByteRing(Math.max(RING_BYTES.fetched, longest));
    this.#reused = createByteRing(Math.max(RING_BYTES.reused, longest));
  }

  /** Once no thread works on its memory any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#atWork);
    for (const inflater of this.#inflaters.splice(0)) inflater.close();
    this.#fetched.close();
    this.#reused.close();
  }

  /** Chunks that seem to be here; one that is not, is fetched after all. */
  async reuse(from: number, end: number): Promise<void> {
    const ahead: Promise<Buffer | undefined>[] = [];
    let next = from;
    const fill = (): void => {
      while (ahead.length < MOST_AHEAD && next < end) {
        const into = this.#reused.take(this.#chunk(next).sizeBytes + 1);
        if (into === undefined) return;
        ahead.push(quiet(this.#load(next++, into)));
      }
    };
    /** The oldest; what it is in is given back by `done`. */
    const take = async (): Promise<Buffer | undefined> => {
      fill();
      return ahead.shift();
    };
    const done = (): void => this.#reused.giveBack();
    for (let at = from; at < end; ) {
      let bytes = await take();
      if (bytes === undefined) {
        let behind = at + 1;
        while (behind < end && behind - at < MOST_CHANGED) {
          done();
          bytes = await take();
          if (bytes !== undefined) break;
          behind += 1;
        }
        if (bytes === undefined) done();
        await this.#fetchChanged({ first: at, end: behind });
        at = behind;
      }
      if (bytes === undefined) continue;
      this.#counts.reusedBytes += this.#bytesBehindHead(at);
      await this.#deliver(at, bytes);
      done();
      at += 1;
    }
  }

  async #fetchChanged(run: FetchRun): Promise<void> {
    this.#counts.changedChunks += run.end - run.first;
    const { start, end } = runStretch(this.#options.chunks, run, this.#haveBytes);
    this.#options.permit?.(end - start);
    await this.fetch(run);
  }

  /** Chunks in a row, over the wire. */
  async fetch(run: FetchRun): Promise<void> {
    if (run.first === run.end) return;
    const { start, end } = runStretch(this.#options.chunks, run, this.#haveBytes);
    const pieces = this.#pieces(this.#early(this.#chunk(run.first).fileOffset, start), start, end);
    const gather = new Gather(pieces);
    const ahead: { slot: Slot; isRight: Promise<boolean> }[] = [];
    let done = run.first;
    const deliverOldest = async (): Promise<void> => {
      const oldest = ahead.shift();
      if (oldest === undefined) return;
      const bytes = oldest.slot.output.subarray(0, -1);
      const isRight = (await oldest.isRight) && this.#isChunk(done, bytes);
      if (!isRight) await this.#fetchAgain(done, oldest.slot);
      await this.#deliver(done++, bytes);
      this.#fetched.giveBack();
    };
    try {
      for (let at = run.first; at < run.end; at++) {
        let slot = this.#slot(at);
        while (slot === undefined || ahead.length === MOST_AHEAD) {
          await deliverOldest();
          slot ??= this.#slot(at);
        }
        await gather.fill(slot.member);
        ahead.push({ slot, isRight: quiet(this.#inflate(slot.member, slot.output)) });
      }
      while (done < run.end) await deliverOldest();
    } finally {
      await pieces.return(undefined);
    }
  }

  /**
   * A chunk that came damaged, or was kept damaged with the index: once more, and then it is the tarball's own fault.
   */
  async #fetchAgain(at: number, { member, output }: Slot): Promise<void> {
    const chunk = this.#chunk(at);
    const { fileOffset, compressedBytes } = chunk;
    const pieces = this.#pieces(EMPTY, fileOffset, fileOffset + compressedBytes);
    try {
      await new Gather(pieces).fill(member);
      if ((await this.#inflate(member, output)) && this.#isChunk(at, output.subarray(0, -1))) return;
    } finally {
      await pieces.return(undefined);
    }
    throw new ChunkDamaged(this.#options.id, at, chunk);
  }

  async *#pieces(first: Buffer, start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    if (first.length > 0) yield first;
    if (start === end) return;
    const { api, id, sizeBytes, signal, log } = this.#options;
    yield* fetchPart(api, {
      id,
      start,
      end: end - 1,
      sizeBytes,
      signal,
      log,
      counts: this.#counts,
    });
  }

  /** `undefined` until older chunks have been delivered. */
  #slot(at: number): Slot | undefined {
    const chunk = this.#chunk(at);
    const memory = this.#fetched.take(slotBytes(chunk));
    if (memory === undefined) return undefined;
    const { compressedBytes } = chunk;
    return { member: memory.subarray(0, compressedBytes), output: memory.subarray(compressedBytes) };
  }

  /** So many bytes of the tarball are here from its start. */
  get #haveBytes(): number {
    return this.#bodyAt + this.#options.early.length;
  }

  /** Bytes of the tarball that came with the index. */
  #early(from: number, to: number): Buffer {
    return this.#options.early.subarray(from - this.#bodyAt, Math.max(from, to) - this.#bodyAt);
  }

  #chunk(at: number): PlacedChunk {
    const chunk = this.#options.chunks.at(at);
    if (chunk === undefined) throw new RangeError(`no chunk ${at}`);
    return chunk;
  }

  #isEarly(at: number): boolean {
    const { fileOffset, compressedBytes } = this.#chunk(at);
    return fileOffset + compressedBytes <= this.#haveBytes;
  }

  /** Bytes of a chunk that have not come with the index. */
  #bytesBehindHead(at: number): number {
    const { fileOffset, compressedBytes } = this.#chunk(at);
    const end = fileOffset + compressedBytes;
    return end - Math.min(end, Math.max(fileOffset, this.#haveBytes));
  }

  /** `into` has the byte of room that `Inflater` asks for; `undefined` for what is not the chunk. */
  async #load(at: number, into: Buffer): Promise<Buffer | undefined> {
    const { candidates } = this.#options;
    const { fileOffset, compressedBytes, digest } = this.#chunk(at);
    const bytes = into.subarray(0, -1);
    if (this.#isEarly(at)) {
      const isRight = await this.#inflate(this.#early(fileOffset, fileOffset + compressedBytes), into);
      return isRight && this.#isChunk(at, bytes) ? bytes : undefined;
    }
    for (const found of candidates(at, bytes)) if ((await digestOf(found)) === digest) return found;
    return undefined;
  }

  async #inflate(member: Buffer, into: Buffer): Promise<boolean> {
    const inflater = this.#inflaters.pop() ?? createInflater();
    const work = inflater.inflate(member, into);
    this.#atWork.add(work);
    const isWhole = await work;
    this.#atWork.delete(work);
    this.#inflaters.push(inflater);
    return isWhole;
  }

  #isChunk(at: number, bytes: Buffer): boolean {
    return chunkDigest(bytes) === this.#chunk(at).digest;
  }

  async #deliver(at: number, bytes: Buffer): Promise<void> {
    const { sink, signal, id, onProgress, sizeBytes } = this.#options;
    if (signal.aborted)
      throw new GweError('CANCELLED', `cannot download '${id}': cancelled; the part is kept`);
    await sink(bytes);
    const { fileOffset, compressedBytes } = this.#chunk(at);
    onProgress?.(fileOffset + compressedBytes, sizeBytes);
  }
}

function slotBytes({ compressedBytes, sizeBytes }: PlacedChunk): number {
  return compressedBytes + sizeBytes + 1;
}

const EMPTY = Buffer.alloc(0);

/** A promise that may fail before anybody waits for it. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** As `chunkDigest`, on the thread pool. */
async function digestOf(bytes: Buffer): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return Buffer.from(digest, 0, 16).toString('hex');
}

/** Cuts a sequence of pieces into stretches of given sizes. */
class Gather {
  readonly #pieces: AsyncIterator<Buffer>;
  #piece: Buffer = EMPTY;
  #unread: Buffer = EMPTY;

  constructor(pieces: AsyncIterator<Buffer>) {
    this.#pieces = pieces;
  }

  async fill(into: Buffer): Promise<void> {
    for (let done = 0; done < into.length; ) {
      if (this.#unread.length === 0) {
        const { value, done: isOver } = await this.#pieces.next();
        if (isOver === true) throw new RangeError('fewer bytes than the run has');
        this.#piece = value;
        this.#unread = value;
      }
      const used = this.#unread.copy(into, done, 0, into.length - done);
      done += used;
      this.#unread = this.#unread.subarray(used);
      // One that is all of its memory shares it with nobody.
      if (this.#unread.length === 0 && this.#piece.length === this.#piece.buffer.byteLength)
        releaseBuffer(this.#piece);
    }
  }
}
