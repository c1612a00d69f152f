/**
 * Inflates a `.tar.gz` that comes in pieces, in two buffers that are made once: while a thread fills one, the other is
 * used. Several gzip members in a row are one stream (RFC 1952 §2.2).
 */
import { constants } from 'node:zlib';
import { releaseBuffer } from '../../base/memory.ts';
import { formatFault } from '../faults.ts';
import { createByteRing } from './byte-ring.ts';
import { openHandle, type RawHandle } from './inflate-into.ts';

export interface GunzipStream {
  /** Takes a piece over, which nobody may use any more; the next one is to be written when that is done. */
  write(piece: Buffer): Promise<void>;
  /** Resolves when all has been inflated and used, to the bytes behind the gzip data. Throws unless it is whole. */
  end(): Promise<number>;
  /** Once no thread works on its memory any more. */
  close(): Promise<void>;
}

const OUTPUT_BYTES = 256 * 1024;
const INPUT_BYTES = 256 * 1024;
/** So much of it is inflated at a time. */
const STRETCH_BYTES = 64 * 1024;

/** `sink` is given the bytes in order, good until the promise that it may return. `undefined` where the runtime lends no handle. */
export function createGunzipStream(
  sink: (bytes: Buffer) => Promise<void> | undefined,
  handle: RawHandle | undefined = openHandle(),
): GunzipStream | undefined {
  return handle === undefined ? undefined : new HandleStream(handle, sink);
}

class HandleStream implements GunzipStream {
  readonly #handle: RawHandle;
  readonly #sink: (bytes: Buffer) => Promise<void> | undefined;
  readonly #outputs = [Buffer.allocUnsafeSlow(OUTPUT_BYTES), Buffer.allocUnsafeSlow(OUTPUT_BYTES)] as const;
  readonly #inputs = createByteRing(INPUT_BYTES);
  readonly #waiting: Buffer[] = [];
  /** Told when there is room for more input. */
  #onRoom: () => void = () => undefined;
  #which: 0 | 1 = 0;
  /** Inflated, and not used yet. */
  #made: Buffer = EMPTY;
  /** Where the gzip data is over. */
  #trailingBytes: number | undefined;
  #working: Promise<void> | undefined;
  #isWorking = false;
  #fault: unknown;

  constructor(handle: RawHandle, sink: (bytes: Buffer) => Promise<void> | undefined) {
    this.#handle = handle;
    this.#sink = sink;
  }

  async write(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; at += STRETCH_BYTES) {
      const stretch = piece.subarray(at, at + STRETCH_BYTES);
      let region = this.#inputs.take(stretch.length);
      while (region === undefined && this.#fault === undefined) {
        await this.#roomForMore();
        region = this.#inputs.take(stretch.length);
      }
      if (region === undefined || this.#fault !== undefined) throw this.#fault;
      stretch.copy(region);
      this.#waiting.push(region);
      if (!this.#isWorking) this.#working = this.#work();
    }
    // One that is all of its memory shares it with nobody.
    if (piece.length === piece.buffer.byteLength) releaseBuffer(piece);
  }

  async end(): Promise<number> {
    await this.#settle();
    if (this.#trailingBytes === undefined) await this.#inflate(EMPTY, constants.Z_FINISH);
    await this.#use();
    return this.#trailingBytes ?? 0;
  }

  async close(): Promise<void> {
    this.#waiting.length = 0;
    await this.#working;
    this.#handle.gunzip.close();
    this.#inputs.close();
    for (const output of this.#outputs) releaseBuffer(output);
  }

  async #settle(): Promise<void> {
    await this.#working;
    if (this.#fault !== undefined) throw this.#fault;
  }

  #roomForMore(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  /** Until nothing waits. */
  async #work(): Promise<void> {
    this.#isWorking = true;
    try {
      for (let piece = this.#waiting.shift(); piece !== undefined; piece = this.#waiting.shift()) {
        if (this.#trailingBytes === undefined) await this.#inflate(piece, constants.Z_NO_FLUSH);
        else this.#addTrailing(piece);
        this.#inputs.giveBack();
        this.#onRoom();
      }
    } catch (error) {
      this.#fault = error;
    }
    this.#isWorking = false;
    this.#onRoom();
  }

  /** All of `piece`; what it made last is used when more is being made. */
  async #inflate(piece: Buffer, flush: number): Promise<void> {
    for (let from = 0; ; ) {
      const output = this.#outputs[this.#which];
      const job = drive(this.#handle, { flush, input: piece.subarray(from), output });
      // The thread works on its memory until then, whatever becomes of what it made last.
      const [used, ended] = await Promise.allSettled([this.#use(), job]);
      if (used.status === 'rejected') throw used.reason;
      if (ended.status === 'rejected') throw ended.reason;
      const { freeBytes, leftBytes } = ended.value;
      this.#made = output.subarray(0, output.length - freeBytes);
      this.#which = this.#which === 0 ? 1 : 0;
      from = piece.length - leftBytes;
      // What it does not take although there is room is behind its end.
      if (leftBytes > 0 && freeBytes > 0) this.#addTrailing(piece.subarray(from));
      if (freeBytes > 0) return;
    }
  }

  async #use(): Promise<void> {
    const made = this.#made;
    this.#made = EMPTY;
    if (made.length > 0) await this.#sink(made);
  }

  /** Tapes and dd fill up what they write with zeros. */
  #addTrailing(piece: Buffer): void {
    this.#trailingBytes = (this.#trailingBytes ?? 0) + piece.length;
    if (piece.every((byte) => byte === 0)) return;
    const expected = 'nothing but zeros there; pack or copy it again';
    throw formatFault('bytes behind the end of the gzip data', expected);
  }
}

const EMPTY = Buffer.alloc(0);

interface Job {
  flush: number;
  input: Buffer;
  output: Buffer;
}

function drive(
  { gunzip, results }: RawHandle,
  { flush, input, output }: Job,
): Promise<{ freeBytes: number; leftBytes: number }> {
  return new Promise((resolve, reject) => {
    gunzip.cb = () => {
      gunzip.held = undefined;
      resolve({ freeBytes: results[0] ?? 0, leftBytes: results[1] ?? 0 });
    };
    gunzip.onerror = () => {
      gunzip.held = undefined;
      reject(formatFault('damaged gzip data', 'a .tar.gz file; pack or copy it again'));
    };
    gunzip.held = [input, output];
    gunzip.write(flush, input, 0, input.length, output, 0, output.length);
  });
}
