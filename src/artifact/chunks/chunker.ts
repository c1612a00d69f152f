/**
 * Cuts the body of a tarball, which is its tar stream behind `.gwe/`, into chunks at places that its content decides: a
 * change moves no cut but those next to it. The same body gives the same chunks, with or without a table in its
 * manifest.
 */
import { END_OF_ARCHIVE_BYTES, type EntryHeader, entryHeaderBytes, paddingBytes } from '../tar/writer.ts';

/** Files of this size and above are cut separately, at both ends of their content. */
const LARGE_FILE_BYTES = 64 * 1024;

/**
 * Within a large file. The rolling hash rarely cuts before the target size and often after it, so that sizes vary
 * less.
 */
const FILE_CUT = {
  leastBytes: 48 * 1024,
  targetBytes: 112 * 1024,
  mostBytes: 256 * 1024,
  /** One place in 512 KiB, and one in 16. */
  seldomMask: -(2 ** 13),
  oftenMask: -(2 ** 18),
};

/** Everything else is cut between entries; beyond the least size, every `meanBytes` or so. */
const GROUP_CUT = { leastBytes: 48 * 1024, mostBytes: 256 * 1024, meanBytes: 96 * 1024 };

/** 256 numbers without a pattern, which must never change: others would cut elsewhere. */
function gearTable(): Int32Array {
  const table = new Int32Array(256);
  let state = 0x67776521;
  for (let at = 0; at < table.length; at++) {
    state = (state + 0x9e3779b9) | 0;
    table[at] = mix(state);
  }
  return table;
}

/** Every bit of the result depends on every bit of `value`. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return mixed ^ (mixed >>> 15);
}

function hashOf(path: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  return mix(hash) >>> 0;
}

/**
 * The chunks of a body, each a buffer of its own of at most 256 KiB. `entries` are those behind `.gwe/`, in order; what
 * is pushed is their stream with the end blocks, in pieces of any size, as long as the entries make it.
 */
export class BodyCutter {
  readonly #stretches: Generator<Stretch>;
  readonly #gear = gearTable();
  #current: Stretch | undefined;
  #doneBytes = 0;
  #hash = 0;
  /** The chunk that is being gathered. */
  readonly #gathered: Buffer = Buffer.allocUnsafe(FILE_CUT.mostBytes);
  #gatheredBytes = 0;

  constructor(entries: Iterable<EntryHeader>) {
    this.#stretches = stretchesOf(entries);
    this.#advance();
  }

  /** The chunks that end within `piece`; the last one ends with the body. */
  *take(piece: Buffer): Generator<Buffer> {
    for (let at = 0; at < piece.length; ) {
      const current = this.#current;
      if (current === undefined) throw new RangeError('a body longer than its entries');
      if (this.#doneBytes === 0 && this.#cutsBefore(current)) yield* this.#cut();
      const part = piece.subarray(at, at + current.bytes - this.#doneBytes);
      if (current.kind === 'large') yield* this.#takeLarge(part);
      else this.#gather(part);
      at += part.length;
      this.#doneBytes += part.length;
      if (this.#doneBytes === current.bytes) this.#advance();
    }
    if (this.#current === undefined) yield* this.#cut();
  }

  #advance(): void {
    const wasLarge = this.#current?.kind === 'large';
    const { value, done } = this.#stretches.next();
    this.#current = done === true ? undefined : { ...value, isBehindLarge: wasLarge };
    this.#doneBytes = 0;
    this.#hash = 0;
  }

  #cutsBefore(stretch: Stretch): boolean {
    if (stretch.kind === 'large' || stretch.isBehindLarge === true) return true;
    const { leastBytes, mostBytes, meanBytes } = GROUP_CUT;
    if (this.#gatheredBytes + stretch.bytes > mostBytes) return true;
    if (this.#gatheredBytes < leastBytes) return false;
    // By the order of magnitude: a file that grows a little is cut as before.
    const share = 2 ** Math.round(Math.log2(stretch.bytes)) / meanBytes;
    return hashOf(stretch.path) < share * 2 ** 32;
  }

  *#takeLarge(part: Buffer): Generator<Buffer> {
    for (let from = 0; from < part.length; ) {
      const { isCut, bytes } = this.#findCut(part.subarray(from));
      this.#gather(part.subarray(from, from + bytes));
      from += bytes;
      if (isCut) yield* this.#cut();
    }
  }

  /** How much of `part` belongs to the chunk that is being gathered, and whether that ends it. */
  #findCut(part: Buffer): { isCut: boolean; bytes: number } {
    const gear = this.#gear;
    const had = this.#gatheredBytes;
    const end = Math.min(part.length, FILE_CUT.mostBytes - had);
    const target = Math.min(end, FILE_CUT.targetBytes - had);
    let at = Math.min(end, Math.max(0, FILE_CUT.leastBytes - WINDOW_BYTES - had));
    let hash = this.#hash;
    for (; at < target; at++) {
      hash = ((hash << 1) + (gear[part[at] as number] as number)) | 0;
      if ((hash & FILE_CUT.seldomMask) === 0 && had + at >= FILE_CUT.leastBytes) {
        this.#hash = 0;
        return { isCut: true, bytes: at + 1 };
      }
    }
    for (; at < end; at++) {
      hash = ((hash << 1) + (gear[part[at] as number] as number)) | 0;
      if ((hash & FILE_CUT.oftenMask) === 0) {
        this.#hash = 0;
        return { isCut: true, bytes: at + 1 };
      }
    }
    this.#hash = hash;
    return { isCut: had + end === FILE_CUT.mostBytes, bytes: end };
  }

  #gather(part: Buffer): void {
    part.copy(this.#gathered, this.#gatheredBytes);
    this.#gatheredBytes += part.length;
  }

  *#cut(): Generator<Buffer> {
    if (this.#gatheredBytes === 0) return;
    yield Buffer.from(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#gatheredBytes = 0;
  }
}

/** Bytes that the rolling hash, of 32 bits, depends on. */
const WINDOW_BYTES = 32;

/** Never cut within (`group`), or only within (`large`: content of a large file). None is empty. */
interface Stretch {
  kind: 'group' | 'large';
  path: string;
  bytes: number;
  isBehindLarge?: boolean;
}

function* stretchesOf(entries: Iterable<EntryHeader>): Generator<Stretch> {
  /** Padding of the large file before: it belongs to what follows. */
  let paddingBefore = 0;
  for (const entry of entries) {
    const { path, sizeBytes } = entry;
    const header = paddingBefore + entryHeaderBytes(entry);
    const padding = paddingBytes(sizeBytes);
    paddingBefore = 0;
    if (sizeBytes >= LARGE_FILE_BYTES || header >= LARGE_FILE_BYTES) {
      yield { kind: header < LARGE_FILE_BYTES ? 'group' : 'large', path, bytes: header };
      if (sizeBytes > 0) yield { kind: 'large', path, bytes: sizeBytes };
      paddingBefore = padding;
    } else yield { kind: 'group', path, bytes: header + sizeBytes + padding };
  }
  yield { kind: 'group', path: '', bytes: paddingBefore + END_OF_ARCHIVE_BYTES };
}
