/** Stretches of the new text -> the payload of a part, as format.ts has it. */
import type { Stretch } from './matcher.ts';
import { type OldText, pieceAt } from './old-text.ts';
import { VarintWriter } from './varint.ts';

export class PartBuilder {
  readonly chunks: number[] = [];
  /** Bytes of the tarball that need not be fetched. */
  savedBytes = 0;
  readonly #controls = new VarintWriter();
  readonly #gaps = new VarintWriter();
  readonly #values = new GrowingBytes();
  readonly #extras = new GrowingBytes();
  /** A stretch is written when it is known how it goes on. */
  #copyBytes = 0;
  #extraBytes = 0;
  #jump = 0;
  #oldAt = 0;
  #gap = 0;

  get payloadBytes(): number {
    return this.#controls.length + this.#gaps.length + this.#values.length + this.#extras.length;
  }

  /** A stretch of `text`, or a part of one. */
  add(old: OldText, text: Buffer, stretch: Stretch): void {
    const { oldAt, newAt, copyBytes, extraBytes } = stretch;
    for (let done = 0; done < copyBytes; ) {
      const piece = pieceAt(old, oldAt + done);
      if (piece === undefined) throw new RangeError('a copy from nowhere');
      const inPiece = oldAt + done - piece.textAt;
      const count = Math.min(copyBytes - done, piece.sizeBytes - inPiece);
      this.#copy(
        piece.bodyAt + inPiece,
        old.bytes.subarray(oldAt + done, oldAt + done + count),
        text,
        newAt + done,
      );
      done += count;
    }
    const extraAt = newAt + copyBytes;
    this.#extras.put(text.subarray(extraAt, extraAt + extraBytes));
    this.#extraBytes += extraBytes;
  }

  /** Nothing can be added behind it. */
  finish(): Buffer {
    this.#flush();
    const lengths = new VarintWriter();
    lengths.put(this.#controls.length);
    lengths.put(this.#gaps.length);
    lengths.put(this.#values.length);
    const streams = [this.#controls.bytes(), this.#gaps.bytes(), this.#values.bytes(), this.#extras.bytes()];
    return Buffer.concat([lengths.bytes(), ...streams]);
  }

  #copy(bodyAt: number, old: Buffer, text: Buffer, newAt: number): void {
    if (this.#extraBytes > 0 || bodyAt !== this.#oldAt) {
      this.#flush();
      this.#jump = bodyAt - this.#oldAt;
    }
    for (let i = 0; i < old.length; i++) {
      const difference = ((text[newAt + i] ?? 0) - (old[i] ?? 0)) & 255;
      if (difference === 0) this.#gap += 1;
      else {
        this.#gaps.put(this.#gap);
        this.#values.putByte(difference);
        this.#gap = 0;
      }
    }
    this.#copyBytes += old.length;
    this.#oldAt = bodyAt + old.length;
  }

  #flush(): void {
    if (this.#copyBytes + this.#extraBytes > 0) {
      this.#controls.put(this.#copyBytes);
      this.#controls.put(this.#extraBytes);
      this.#controls.putSigned(this.#jump);
    }
    this.#copyBytes = 0;
    this.#extraBytes = 0;
    this.#jump = 0;
  }
}

/** Bytes that grow. */
class GrowingBytes {
  #bytes: Buffer = Buffer.allocUnsafe(1024);
  #used = 0;

  get length(): number {
    return this.#used;
  }

  putByte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#used++] = byte;
  }

  put(bytes: Buffer): void {
    this.#reserve(bytes.length);
    bytes.copy(this.#bytes, this.#used);
    this.#used += bytes.length;
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }

  #reserve(count: number): void {
    if (this.#used + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#used + count));
    this.#bytes.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
  }
}
