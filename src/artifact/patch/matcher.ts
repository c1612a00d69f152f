/**
 * Which bytes of the new text are nearly those of the old one: bsdiff's idea (C. Percival, 2003), with a hash index
 * where it has a suffix array. A match is followed as long as more than half of its bytes are right; those that are not
 * become additions. Linear in the length of the new text.
 */
import { bucketOf, hashAt, roll, SEED_BYTES, type SeedIndex, WAYS } from './seed-index.ts';

/** A stretch of the new text: `copyBytes` like those at `oldAt` (some to be added to), then `extraBytes` of its own. */
export interface Stretch {
  oldAt: number;
  newAt: number;
  copyBytes: number;
  extraBytes: number;
}

/** How many more equal bytes another place in the old text must have than the present one. */
const GAIN_BYTES = 8;
/** Longest comparison of a candidate: what lies behind is followed in any case. */
const COMPARED_BYTES = 512;
/** Equal bytes after which no other place is looked for before the next difference. */
const SETTLED_BYTES = 32;

/** What is compared: all of the old text, and the new one up to `to`. */
interface Texts {
  old: Uint8Array;
  text: Uint8Array;
  to: number;
}

export class Matcher {
  readonly #old: Uint8Array;
  readonly #index: SeedIndex;

  constructor(old: Uint8Array, index: SeedIndex) {
    this.#old = old;
    this.#index = index;
  }

  /**
   * Covers `text` from `from` to `to` without gap. `expectedAt`: where in the old text it probably begins, -1 for
   * nowhere.
   */
  match(text: Uint8Array, from: number, to: number, expectedAt: number): Stretch[] {
    const old = this.#old;
    const texts: Texts = { old, text, to };
    const found: Stretch[] = [];
    let lastNew = from;
    let lastOld = Math.max(0, expectedAt);
    let scan = from;
    let hash = 0;
    let hashedAt = -2;
    while (scan < to) {
      const shift = lastOld - lastNew;
      const equal = equalBytes(texts, scan + shift, scan, SETTLED_BYTES);
      if (equal === SETTLED_BYTES) {
        scan += equal;
        while (scan < to && text[scan] === old[scan + shift]) scan += 1;
        continue;
      }
      if (scan + SEED_BYTES > to) break;
      hash =
        hashedAt === scan - 1
          ? roll(hash, text[scan - 1] ?? 0, text[scan + SEED_BYTES - 1] ?? 0)
          : hashAt(text, scan);
      hashedAt = scan;
      const at = this.#find(texts, hash, scan, scan + shift);
      if (at === -1) {
        scan += 1;
        continue;
      }
      const split = splitAt(texts, { lastNew, lastOld, scan, at });
      const begin = scan - split.backBytes;
      found.push({
        oldAt: lastOld,
        newAt: lastNew,
        copyBytes: split.forwardBytes,
        extraBytes: begin - lastNew - split.forwardBytes,
      });
      lastNew = begin;
      lastOld = at - split.backBytes;
    }
    const forwardBytes = forwardExtent(texts, lastOld, lastNew, to);
    found.push({
      oldAt: lastOld,
      newAt: lastNew,
      copyBytes: forwardBytes,
      extraBytes: to - lastNew - forwardBytes,
    });
    return found.filter(({ copyBytes, extraBytes }) => copyBytes + extraBytes > 0);
  }

  /** The place in the old text that is worth leaving the `present` one for; -1 if there is none. */
  #find(texts: Texts, hash: number, scan: number, present: number): number {
    const { places } = this.#index;
    const first = WAYS * bucketOf(hash, this.#index.shift);
    if (places[first] === 0) return -1;
    const { old, text } = texts;
    let best = -1;
    let bestBytes = SEED_BYTES - 1;
    let bestDistance = 0;
    for (let i = first; i < first + WAYS; i += 1) {
      const at = (places[i] ?? 0) - 1;
      if (at === present || at === -1) continue;
      const equal = equalBytes(texts, at, scan, COMPARED_BYTES);
      const distance = Math.abs(at - present);
      if (equal < bestBytes || (equal === bestBytes && (best === -1 || distance >= bestDistance))) continue;
      best = at;
      bestBytes = equal;
      bestDistance = distance;
    }
    if (best === -1) return -1;
    let presentBytes = 0;
    for (let i = 0; i < bestBytes; i += 1) if (old[present + i] === text[scan + i]) presentBytes += 1;
    return bestBytes > presentBytes + GAIN_BYTES ? best : -1;
  }
}

/**
 * The first stretch of a text of which it is known by now where the text before it ended in the old one (`expectedAt`):
 * from there on, if more of it is right there. The stretches behind it stay as they are.
 */
export function followOn(old: Uint8Array, text: Uint8Array, first: Stretch, expectedAt: number): Stretch {
  if (expectedAt === first.oldAt) return first;
  const sizeBytes = first.copyBytes + first.extraBytes;
  const to = first.newAt + sizeBytes;
  const copyBytes = forwardExtent({ old, text }, expectedAt, first.newAt, to);
  const other = { ...first, oldAt: expectedAt, copyBytes, extraBytes: sizeBytes - copyBytes };
  return rightBytes(old, text, other) > rightBytes(old, text, first) ? other : first;
}

function rightBytes(old: Uint8Array, text: Uint8Array, { oldAt, newAt, copyBytes }: Stretch): number {
  let right = 0;
  for (let i = 0; i < copyBytes; i += 1) if (old[oldAt + i] === text[newAt + i]) right += 1;
  return right;
}

/** How many bytes are equal from there on, `most` at most. */
function equalBytes({ old, text, to }: Texts, oldAt: number, at: number, most: number): number {
  const limit = Math.min(most, to - at, old.length - oldAt);
  let equal = 0;
  while (equal < limit && old[oldAt + equal] === text[at + equal]) equal += 1;
  return equal;
}

/** How far a copy goes on with more right than wrong. */
function forwardExtent({ old, text }: Omit<Texts, 'to'>, oldAt: number, newAt: number, to: number): number {
  const limit = Math.min(to - newAt, old.length - oldAt);
  let score = 0;
  let best = 0;
  let length = 0;
  for (let i = 0; i < limit; i += 1) {
    score += old[oldAt + i] === text[newAt + i] ? 1 : -1;
    if (score <= best) continue;
    best = score;
    length = i + 1;
  }
  return length;
}

interface Change {
  lastNew: number;
  lastOld: number;
  /** Where the next match was found, in the new text and in the old one. */
  scan: number;
  at: number;
}

/** How far the copy before a new match goes on, and how far the new match reaches back. */
function splitAt(
  texts: Texts,
  { lastNew, lastOld, scan, at }: Change,
): { forwardBytes: number; backBytes: number } {
  const { old, text } = texts;
  let forwardBytes = forwardExtent(texts, lastOld, lastNew, scan);
  let backBytes = 0;
  let score = 0;
  let best = 0;
  const limit = Math.min(scan - lastNew, at);
  for (let i = 1; i <= limit; i += 1) {
    score += old[at - i] === text[scan - i] ? 1 : -1;
    if (score <= best) continue;
    best = score;
    backBytes = i;
  }
  const overlap = lastNew + forwardBytes - (scan - backBytes);
  if (overlap <= 0) return { forwardBytes, backBytes };
  // Both claim these bytes: each gets those that it matches better.
  let gain = 0;
  let most = 0;
  let given = 0;
  for (let i = 0; i < overlap; i += 1) {
    const byte = text[scan - backBytes + i];
    if (byte === old[lastOld + forwardBytes - overlap + i]) gain += 1;
    if (byte === old[at - backBytes + i]) gain -= 1;
    if (gain <= most) continue;
    most = gain;
    given = i + 1;
  }
  forwardBytes += given - overlap;
  backBytes -= given;
  return { forwardBytes, backBytes };
}
