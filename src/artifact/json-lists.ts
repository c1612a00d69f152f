/**
 * Long lists in a canonical JSON object, left where they are: an object for each of thousands of entries would take ten
 * times the memory of the text, and most readers want one after the other.
 */
import { formatFault, quote } from './faults.ts';

/** What readers need of a list. An array is one; another may create each item when it is needed. */
export interface Items<T> extends Iterable<T> {
  readonly length: number;
  /** As that of an array: `undefined` outside, and from the end if negative. */
  at(index: number): T | undefined;
}

interface SplitText {
  /** The object with these lists empty. */
  rest: Buffer;
  /** For each list that is there, where its items begin and, last, the byte behind its end. */
  lists: ReadonlyMap<string, Uint32Array>;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Takes the lists named by `most`, with at most so many items, out of the object that `bytes` are. It only looks for
 * where things end: `bytes` are canonical JSON if `rest` and each item are, and where they are not, what cannot be split
 * stays in `rest`. Throws ARTIFACT_FORMAT for a list that is too long.
 */
export function splitLists(bytes: Buffer, most: Readonly<Record<string, number>>): SplitText {
  const lists = new Map<string, Uint32Array>();
  const kept: Buffer[] = [];
  let keptTo = 0;
  for (let at = 1; bytes[at] === QUOTE; at++) {
    const value = endOfString(bytes, at) + 1;
    if (bytes[value - 1] !== COLON) break;
    const key = bytes.toString('utf8', at + 1, value - 2);
    const mostItems = bytes[value] === OPEN_LIST ? most[key] : undefined;
    const starts = mostItems === undefined ? undefined : itemStarts(bytes, value, key, mostItems);
    at = starts?.at(-1) ?? endOfValue(bytes, value);
    if (starts !== undefined) {
      lists.set(key, starts);
      kept.push(bytes.subarray(keptTo, value + 1));
      keptTo = at - 1;
    }
    if (bytes[at] !== COMMA) break;
  }
  return { rest: Buffer.concat([...kept, bytes.subarray(keptTo)]), lists };
}

/** `undefined` for a list without an end. */
function itemStarts(bytes: Buffer, list: number, key: string, mostItems: number): Uint32Array | undefined {
  if (bytes[list + 1] === CLOSE_LIST) return Uint32Array.of(list + 2);
  let starts = new Uint32Array(64);
  for (let [at, count] = [list + 1, 0]; ; at++) {
    if (count === mostItems)
      throw formatFault(`a manifest whose ${quote(key)} is wrong (too long)`, `at most ${mostItems} items`);
    if (count + 1 === starts.length) starts = copyOf(starts, 2 * starts.length);
    starts[count++] = at;
    at = endOfValue(bytes, at);
    if (bytes[at] === COMMA) continue;
    starts[count] = at + 1;
    return bytes[at] === CLOSE_LIST ? copyOf(starts.subarray(0, count + 1), count + 1) : undefined;
  }
}

function copyOf(numbers: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const copy = new Uint32Array(length);
  copy.set(numbers);
  return copy;
}

/** The byte behind the value that begins at `start`. */
function endOfValue(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    const isEnd = byte === CLOSE_LIST || byte === CLOSE_OBJECT;
    if (depth === 0 && (isEnd || byte === COMMA)) return at;
    if (byte === QUOTE) at = endOfString(bytes, at) - 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++;
    else if (isEnd) depth--;
  }
  return bytes.length;
}

/** The byte behind the string that begins at `start`. */
function endOfString(bytes: Buffer, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** The items of a list in `bytes`, decoded again from their text each time. */
export class TextItems<T> implements Items<T> {
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;
  readonly #decode: (text: string, index: number) => T;

  /** `starts` as `splitLists` gives them. */
  constructor(bytes: Buffer, starts: Uint32Array, decode: (text: string, index: number) => T) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#decode = decode;
  }

  get length(): number {
    return this.#starts.length - 1;
  }

  at(index: number): T | undefined {
    const which = index < 0 ? this.length + index : index;
    return which >= 0 && which < this.length ? this.#decode(this.#text(which), which) : undefined;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.length; index++) yield this.#decode(this.#text(index), index);
  }

  #text(index: number): string {
    return this.#bytes.toString('utf8', this.#starts[index], (this.#starts[index + 1] ?? 0) - 1);
  }
}
