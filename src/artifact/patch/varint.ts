/** Numbers of 7 bits a byte, the lowest first: a set top bit says that more follow. Up to 2^53 - 1, in 8 bytes at most. */
import { patchFault } from './patch-error.ts';

const MOST_BYTES = 8;

export class VarintWriter {
  #bytes: Buffer = Buffer.allocUnsafe(256);
  #used = 0;

  get length(): number {
    return this.#used;
  }

  /** A whole number from 0 to 2^53 - 1. */
  put(value: number): void {
    if (this.#used + MOST_BYTES > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.#bytes.length);
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#used++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#used++] = rest;
  }

  /** A whole number between -2^52 and 2^52: 0, -1, 1, -2, ... are written as 0, 1, 2, 3, ... */
  putSigned(value: number): void {
    this.put(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** Valid until the next number is written. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }
}

export class VarintReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Throws ARTIFACT_PATCH where there is no such number, or a larger one than `most`. */
  take(most: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MOST_BYTES; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw patchFault('a number that is cut off', 'all of it');
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > most) throw patchFault(`the number ${value}`, `at most ${most}`);
        return value;
      }
      scale *= 128;
    }
    throw patchFault('a number of more than 8 bytes', 'a smaller one');
  }

  takeSigned(): number {
    const value = this.take();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  /** The next bytes as they are. */
  takeBytes(count: number): Buffer {
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    if (bytes.length !== count) throw patchFault(`${bytes.length} bytes`, `${count}`);
    this.#at += count;
    return bytes;
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }
}
