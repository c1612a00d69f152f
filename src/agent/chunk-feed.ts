/**
 * The body of an indexed tarball in order, chunk by chunk, each from where it costs least: the bytes that are here, the
 * wire for the rest. Chunks are inflated and checked on the thread pool, a few at a time.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { type ChunkPlan, type FetchRun, runStretch } from '../artifact/chunk-plan.ts';
import type { PlacedChunk } from '../artifact/chunk-table.ts';
import type { Items } from '../artifact/json-lists.ts';
import { GweError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createGarbage, type Garbage, releaseBuffer } from '../base/memory.ts';
import type { ContentApi } from '../protocol/content.ts';
import { fetchPart } from '../protocol/content-part.ts';

export interface FeedOptions {
  api: ContentApi;
  id: string;
  /** Bytes of the tarball. */
  sizeBytes: number;
  chunks: Items<PlacedChunk>;
  plan: ChunkPlan;
  /** Of the first chunks what is here: it came with the index. */
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

export interface FeedCounts {
  requests: number;
  /** Bytes of the tarball that came over the wire. */
  fetchedBytes: number;
  /** Bytes of the tarball whose chunks were here. */
  reusedBytes: number;
  /** Chunks that seemed to be here and were not what they should be. */
  changedChunks: number;
  /** What a report should say of how it was fetched. */
  note?: string;
}

/** Chunks that are being inflated or checked at once: with more, memory grows and nothing else. */
export const MOST_AHEAD = 4;
/** Of chunks in a row that turn out to be changed, so many are fetched in one go. */
const MOST_CHANGED = 256;

const inflate = promisify<Buffer, { maxOutputLength: number; chunkSize: number }, Buffer>(gunzip);

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
export async function feedChunks(options: FeedOptions, counts: FeedCounts): Promise<void> {
  const feed = new Feed(options, counts);
  const { chunks, plan } = options;
  let at = 0;
  for (const run of [...plan.runs, { first: chunks.length, end: chunks.length }]) {
    await feed.here(at, run.first);
    await feed.fetch(run);
    at = run.end;
  }
}

class Feed {
  readonly #options: FeedOptions;
  readonly #counts: FeedCounts;
  /** One for the whole feed: a run of a few chunks would never reach what is worth a collection. */
  readonly #garbage = createGarbage('major');
  /** Where the first chunk starts in the tarball. */
  readonly #bodyAt: number;

  constructor(options: FeedOptions, counts: FeedCounts) {
    this.#options = options;
    this.#bodyAt = options.chunks.at(0)?.fileOffset ?? 0;
    this.#counts = counts;
  }

  /** Chunks that seem to be here; one that is not, is fetched after all. */
  async here(from: number, end: number): Promise<void> {
    const ahead: Promise<Buffer | undefined>[] = [];
    let next = from;
    const take = async (): Promise<Buffer | undefined> => {
      while (ahead.length < MOST_AHEAD && next < end) ahead.push(quiet(this.#load(next++)));
      return ahead.shift();
    };
    for (let at = from; at < end; ) {
      let bytes = await take();
      if (bytes === undefined) {
        let behind = at + 1;
        while (behind < end && behind - at < MOST_CHANGED) {
          bytes = await take();
          if (bytes !== undefined) break;
          behind += 1;
        }
        this.#counts.changedChunks += behind - at;
        const run = { first: at, end: behind };
        const { start, end: stop } = runStretch(this.#options.chunks, run, this.#haveBytes);
        this.#options.permit?.(stop - start);
        await this.fetch(run);
        at = behind;
      }
      if (bytes === undefined) continue;
      this.#counts.reusedBytes += this.#bytesBehindHead(at);
      await this.#pass(at, bytes);
      at += 1;
    }
  }

  /** Chunks in a row, over the wire. */
  async fetch(run: FetchRun): Promise<void> {
    if (run.first === run.end) return;
    const { start, end } = runStretch(this.#options.chunks, run, this.#haveBytes);
    const pieces = this.#pieces(this.#early(this.#chunk(run.first).fileOffset, start), start, end);
    const gather = new Gather(pieces, this.#garbage);
    const ahead: Promise<Buffer | undefined>[] = [];
    let done = run.first;
    const passOldest = async (): Promise<void> => {
      const bytes = (await ahead.shift()) ?? (await this.#fetchAgain(done));
      await this.#pass(done++, bytes);
    };
    try {
      for (let at = run.first; at < run.end; at++) {
        const member = await gather.take(this.#chunk(at).compressedBytes);
        ahead.push(quiet(this.#inflate(at, member).finally(() => releaseBuffer(member))));
        if (ahead.length === MOST_AHEAD) await passOldest();
      }
      while (done < run.end) await passOldest();
    } finally {
      await pieces.return(undefined);
    }
  }

  /** A chunk that came damaged, or was kept damaged with the index: once more, and then it is the tarball's own fault. */
  async #fetchAgain(at: number): Promise<Buffer> {
    const chunk = this.#chunk(at);
    const { fileOffset, compressedBytes } = chunk;
    const pieces = this.#pieces(EMPTY, fileOffset, fileOffset + compressedBytes);
    try {
      const bytes = await this.#inflate(at, await new Gather(pieces, this.#garbage).take(compressedBytes));
      if (bytes !== undefined) return bytes;
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

  async #load(at: number): Promise<Buffer | undefined> {
    const { candidates } = this.#options;
    const { fileOffset, compressedBytes, sizeBytes, digest } = this.#chunk(at);
    if (this.#isEarly(at)) return this.#inflate(at, this.#early(fileOffset, fileOffset + compressedBytes));
    const into = Buffer.allocUnsafe(sizeBytes);
    for (const bytes of candidates(at, into)) if ((await digestOf(bytes)) === digest) return bytes;
    releaseBuffer(into);
    return undefined;
  }

  /** `undefined` for what is not the chunk. */
  async #inflate(at: number, member: Buffer): Promise<Buffer | undefined> {
    const { sizeBytes, digest } = this.#chunk(at);
    // A little more than the output, or zlib would begin another buffer to see that there is no more.
    const options = { maxOutputLength: sizeBytes, chunkSize: sizeBytes + 64 };
    const bytes = await inflate(member, options).catch(() => EMPTY);
    return bytes.length === sizeBytes && (await digestOf(bytes)) === digest ? bytes : undefined;
  }

  async #pass(at: number, bytes: Buffer): Promise<void> {
    const { sink, signal, id, onProgress, sizeBytes } = this.#options;
    if (signal.aborted)
      throw new GweError('CANCELLED', `cannot download '${id}': cancelled; the part is kept`);
    await sink(bytes);
    const { fileOffset, compressedBytes } = this.#chunk(at);
    onProgress?.(fileOffset + compressedBytes, sizeBytes);
    this.#garbage.add(bytes.length);
    releaseBuffer(bytes);
  }
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

/** Cuts a sequence of pieces into buffers of given sizes. */
class Gather {
  readonly #pieces: AsyncIterator<Buffer>;
  readonly #garbage: Garbage;
  #piece: Buffer = EMPTY;
  #rest: Buffer = EMPTY;

  constructor(pieces: AsyncIterator<Buffer>, garbage: Garbage) {
    this.#pieces = pieces;
    this.#garbage = garbage;
  }

  async take(bytes: number): Promise<Buffer> {
    const whole = Buffer.allocUnsafe(bytes);
    for (let done = 0; done < bytes; ) {
      if (this.#rest.length === 0) {
        const { value, done: isOver } = await this.#pieces.next();
        if (isOver === true) throw new RangeError('fewer bytes than the run has');
        this.#piece = value;
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, bytes - done);
      done += part.copy(whole, done);
      this.#rest = this.#rest.subarray(part.length);
      // One that is all of its memory shares it with nobody.
      const { length, buffer } = this.#piece;
      if (this.#rest.length > 0) continue;
      this.#garbage.add(length);
      if (length === buffer.byteLength) releaseBuffer(this.#piece);
    }
    return whole;
  }
}
