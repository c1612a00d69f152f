/**
 * One part of a patch and the old body -> the bytes of its chunks, in order. Holds the payload of the part, no more.
 */
import { brotliDecompressSync } from 'node:zlib';
import { releaseBuffer } from '../../base/memory.ts';
import type { ByteSource } from '../byte-source.ts';
import { type PartFact, partDigest } from './format.ts';
import { patchFault } from './patch-error.ts';
import { VarintReader } from './varint.ts';

/** A stream that requires more would make the decoder allocate it. */
const MOST_WINDOW_BITS = 20;

/**
 * The payload of a part that was fetched. Throws ARTIFACT_PATCH when the bytes are not those that the directory tells
 * of, or not what a part may be.
 */
export function openPart(bytes: Buffer, fact: Omit<PartFact, 'chunks'>): PartReader {
  if (bytes.length !== fact.sizeBytes || partDigest(bytes) !== fact.digest)
    throw patchFault(`a part of ${bytes.length} bytes with another digest`, 'the one in the directory');
  return new PartReader(decompress(bytes, fact.payloadBytes));
}

/** The output of a part, from its begin to its end. */
export class PartReader {
  readonly #payload: Buffer;
  readonly #controls: VarintReader;
  readonly #gaps: VarintReader;
  readonly #values: Buffer;
  readonly #extras: Buffer;
  #copyLeft = 0;
  #extraLeft = 0;
  #oldAt = 0;
  /** Copied bytes up to the next one with a value. */
  #gapLeft = 0;
  #nextValue = 0;
  #nextExtra = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
    const reader = new VarintReader(payload);
    const controlBytes = reader.take(payload.length);
    const gapBytes = reader.take(payload.length);
    const values = reader.take(payload.length);
    this.#controls = new VarintReader(reader.takeBytes(controlBytes));
    this.#gaps = new VarintReader(reader.takeBytes(gapBytes));
    this.#values = reader.takeBytes(values);
    this.#extras = reader.rest();
    this.#takeGap();
  }

  /**
   * Fills `into` with the next bytes. False when the old body does not have all that goes into them: they are wrong
   * then, and those behind them may be right. Throws ARTIFACT_PATCH where the part has no more, or is no part.
   */
  read(into: Buffer, old: ByteSource): boolean {
    let isWhole = true;
    for (let done = 0; done < into.length; ) {
      if (this.#copyLeft === 0 && this.#extraLeft === 0) this.#takeStretch();
      const isCopy = this.#copyLeft > 0;
      const count = Math.min(into.length - done, isCopy ? this.#copyLeft : this.#extraLeft);
      const piece = into.subarray(done, done + count);
      if (!isCopy) this.#takeExtras(piece);
      else if (!this.#copy(piece, old)) isWhole = false;
      done += count;
    }
    return isWhole;
  }

  /** Gives its memory back: nothing can be read any more. */
  close(): void {
    releaseBuffer(this.#payload);
  }

  /** Throws ARTIFACT_PATCH unless all of the part has been read. */
  end(): void {
    const left = this.#extras.length - this.#nextExtra + this.#values.length - this.#nextValue;
    if (left + this.#copyLeft + this.#extraLeft > 0 || !this.#controls.isAtEnd || !this.#gaps.isAtEnd)
      throw patchFault('a part that makes more than its chunks', 'no more');
  }

  #takeStretch(): void {
    if (this.#controls.isAtEnd) throw patchFault('a part that makes less than its chunks', 'all of them');
    this.#copyLeft = this.#controls.take();
    this.#extraLeft = this.#controls.take(this.#extras.length - this.#nextExtra);
    this.#oldAt += this.#controls.takeSigned();
    if (this.#copyLeft === 0 && this.#extraLeft === 0) throw patchFault('an empty stretch', 'some bytes');
    if (!Number.isSafeInteger(this.#oldAt))
      throw patchFault('a place beyond all numbers', 'one in the old body');
  }

  #copy(piece: Buffer, old: ByteSource): boolean {
    const isInside = this.#oldAt >= 0 && this.#oldAt + piece.length <= old.sizeBytes;
    const isRead = isInside && old.read(this.#oldAt, piece);
    if (!isRead) piece.fill(0);
    this.#oldAt += piece.length;
    this.#copyLeft -= piece.length;
    let at = 0;
    while (piece.length - at > this.#gapLeft) {
      at += this.#gapLeft;
      piece[at] = (piece[at] ?? 0) + (this.#values[this.#nextValue] ?? 0);
      this.#nextValue += 1;
      at += 1;
      this.#takeGap();
    }
    this.#gapLeft -= piece.length - at;
    return isRead;
  }

  #takeGap(): void {
    this.#gapLeft = this.#nextValue < this.#values.length ? this.#gaps.take() : Number.POSITIVE_INFINITY;
  }

  #takeExtras(piece: Buffer): void {
    this.#extras.copy(piece, 0, this.#nextExtra, this.#nextExtra + piece.length);
    this.#nextExtra += piece.length;
    this.#extraLeft -= piece.length;
  }
}

function decompress(bytes: Buffer, payloadBytes: number): Buffer {
  const bits = windowBits(bytes);
  if (bits > MOST_WINDOW_BITS)
    throw patchFault(`a brotli window of ${bits} bits`, `at most ${MOST_WINDOW_BITS}`);
  // A little more than the output, or zlib would begin another buffer to see that there is no more.
  const options = { maxOutputLength: payloadBytes + 1, chunkSize: payloadBytes + 64 };
  let payload: Buffer;
  try {
    payload = brotliDecompressSync(bytes, options);
  } catch {
    throw patchFault('a part that brotli cannot read', `${payloadBytes} bytes in it`);
  }
  if (payload.length !== payloadBytes)
    throw patchFault(`a payload of ${payload.length} bytes`, `${payloadBytes}`);
  return payload;
}

/** WBITS of RFC 7932 §9.1, which is in the first byte; 99 for what is reserved. */
function windowBits(bytes: Buffer): number {
  const first = bytes[0] ?? 0;
  if ((first & 1) === 0) return 16;
  const high = (first >> 1) & 7;
  if (high !== 0) return 17 + high;
  const low = (first >> 4) & 7;
  if (low === 0) return 17;
  return low === 1 ? 99 : 8 + low;
}
