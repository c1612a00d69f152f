/**
 * Where the short strings of the old text are: every position that is a multiple of the stride, in buckets by a rolling
 * hash. One typed array; a suffix array of the same text takes longer to sort, and a cache miss for each of the 27
 * steps of a look-up. What is lost are matches near the length of a seed.
 */

/** Bytes that must be equal before two places are compared. */
export const SEED_BYTES = 12;

const MULTIPLIER = 0x2c9277b5;
const MIX = 0x9e3779b1;
const OUTGOING: number = powerOf(MULTIPLIER, SEED_BYTES);
/** Places kept for one hash: 16 bytes, so that looking one up costs a single cache miss. */
export const WAYS = 4;
const MIN_BITS = 6;
const MAX_BITS = 26;
const PIECE_BYTES = 4 * 1024 * 1024;

export interface SeedIndex {
  /** Buckets of WAYS entries: a position and 1, or 0 for none. */
  places: Uint32Array;
  shift: number;
}

/** Every how many bytes a position is kept: more memory finds more. `lengthBytes` of the old text. */
function strideFor(lengthBytes: number): number {
  if (lengthBytes <= 32 * 1024 * 1024) return 1;
  return lengthBytes <= 128 * 1024 * 1024 ? 2 : 4;
}

/** Bytes of memory that the index of a text of this length takes. */
export function indexBytes(lengthBytes: number): number {
  return 4 * WAYS * 2 ** bitsFor(Math.ceil(lengthBytes / strideFor(lengthBytes)));
}

/** An index that nothing is in yet, for a text of this length. `isShared`: in memory that threads can share. */
export function emptySeedIndex(lengthBytes: number, isShared = false): SeedIndex {
  const bits = bitsFor(Math.ceil(lengthBytes / strideFor(lengthBytes)));
  const count = WAYS * 2 ** bits;
  const places = isShared ? new Uint32Array(new SharedArrayBuffer(4 * count)) : new Uint32Array(count);
  return { places, shift: 32 - bits };
}

/** Throws what `onProgress` throws; it is called after every few megabytes, and other work goes on meanwhile. */
export async function buildSeedIndex(
  text: Uint8Array,
  onProgress: (doneBytes: number) => void = () => undefined,
): Promise<SeedIndex> {
  const index = emptySeedIndex(text.length);
  for (const doneBytes of fillSeedIndex(index, text, WHOLE)) {
    onProgress(doneBytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return index;
}

/** The n-th of so many shares of the buckets: several threads fill one index, and it is the same as by one. */
export interface Share {
  number: number;
  of: number;
}

const WHOLE: Share = { number: 0, of: 1 };

/** Yields how many bytes of the text have been gone through. */
export function* fillSeedIndex(index: SeedIndex, text: Uint8Array, share: Share): Generator<number> {
  const end = text.length - SEED_BYTES + 1;
  for (let from = 0; from < end; from += PIECE_BYTES) {
    addSeeds(index, text, share, { from, to: Math.min(end, from + PIECE_BYTES) });
    yield from;
  }
}

/** `from` is a multiple of the stride. */
function addSeeds(
  { places, shift }: SeedIndex,
  text: Uint8Array,
  share: Share,
  { from, to }: { from: number; to: number },
): void {
  const stride = strideFor(text.length);
  const buckets = places.length / WAYS;
  const least = Math.floor((buckets * share.number) / share.of);
  const end = Math.floor((buckets * (share.number + 1)) / share.of);
  let hash = hashAt(text, from);
  let untilNext = 0;
  for (let at = from; at < to; at++) {
    if (untilNext === 0) {
      const bucket = bucketOf(hash, shift);
      if (bucket >= least && bucket < end) addSeed(places, bucket, hash, at);
      untilNext = stride;
    }
    untilNext -= 1;
    hash = roll(hash, text[at] ?? 0, text[at + SEED_BYTES] ?? 0);
  }
}

function addSeed(places: Uint32Array, bucket: number, hash: number, at: number): void {
  const first = WAYS * bucket;
  let way = 0;
  while (way < WAYS && places[first + way] !== 0) way += 1;
  // A crowded bucket keeps some of each part of the text.
  if (way === WAYS) way = (hash ^ (at >>> 4)) & (WAYS - 1);
  places[first + way] = at + 1;
}

/** Hash of the SEED_BYTES bytes at `at`; what lies beyond the end counts as 0. */
export function hashAt(text: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = 0; i < SEED_BYTES; i += 1) hash = (Math.imul(hash, MULTIPLIER) + (text[at + i] ?? 0)) | 0;
  return hash;
}

/** The hash one byte further on. */
export function roll(hash: number, outgoing: number, incoming: number): number {
  return (Math.imul(hash, MULTIPLIER) + incoming - Math.imul(outgoing, OUTGOING)) | 0;
}

export function bucketOf(hash: number, shift: number): number {
  return Math.imul(hash ^ (hash >>> 15), MIX) >>> shift;
}

function bitsFor(count: number): number {
  return Math.min(MAX_BITS, Math.max(MIN_BITS, Math.ceil(Math.log2((count + 1) / WAYS) + 0.4)));
}

function powerOf(base: number, exponent: number): number {
  let power = 1;
  for (let i = 0; i < exponent; i += 1) power = Math.imul(power, base);
  return power;
}
