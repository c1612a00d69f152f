/** The chunks of a tarball in typed arrays: forty bytes for each, where objects would take hundreds. */
import type { Items } from '../json-lists.ts';
import type { ChunkFact, ManifestChunk } from '../manifest/manifest.ts';

/** A chunk, and where its gzip member starts in the tarball. */
export interface PlacedChunk extends ChunkFact {
  fileOffset: number;
}

const DIGEST_BYTES = 16;

export class ChunkTable implements Items<PlacedChunk> {
  readonly length: number;
  /** Where each begins, and last where the last one ends: in the body, and in the tarball. */
  readonly #offsets: Float64Array;
  readonly #fileOffsets: Float64Array;
  readonly #digests: Buffer;
  /** The chunks by digest; of those that are alike the first comes first. */
  #order: Uint32Array | undefined;

  /** `indexBytes`: what is in front of the first member. */
  constructor(chunks: Items<ManifestChunk>, indexBytes: number) {
    this.length = chunks.length;
    this.#offsets = new Float64Array(chunks.length + 1);
    this.#fileOffsets = new Float64Array(chunks.length + 1);
    this.#digests = Buffer.alloc(chunks.length * DIGEST_BYTES);
    let [at, offset, fileOffset] = [0, 0, indexBytes];
    this.#fileOffsets[0] = fileOffset;
    for (const [sizeBytes, compressedBytes, digest] of chunks) {
      this.#digests.write(digest, at * DIGEST_BYTES, DIGEST_BYTES, 'hex');
      at++;
      offset += sizeBytes;
      fileOffset += compressedBytes;
      this.#offsets[at] = offset;
      this.#fileOffsets[at] = fileOffset;
    }
  }

  at(index: number): PlacedChunk | undefined {
    const which = index < 0 ? this.length + index : index;
    if (which < 0 || which >= this.length) return undefined;
    const [offset = 0, end = 0] = this.#offsets.subarray(which, which + 2);
    const [fileOffset = 0, fileEnd = 0] = this.#fileOffsets.subarray(which, which + 2);
    const digest = this.#digests.toString('hex', which * DIGEST_BYTES, (which + 1) * DIGEST_BYTES);
    return { offset, sizeBytes: end - offset, fileOffset, compressedBytes: fileEnd - fileOffset, digest };
  }

  *[Symbol.iterator](): Generator<PlacedChunk> {
    for (let index = 0; index < this.length; index++) {
      const chunk = this.at(index);
      if (chunk !== undefined) yield chunk;
    }
  }

  /** The first chunk with this digest (hex); `undefined` if there is none. */
  first(digest: string): number | undefined {
    const wanted = Buffer.from(digest, 'hex');
    if (wanted.length !== DIGEST_BYTES) return undefined;
    this.#order ??= this.#sort();
    const order = this.#order;
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(order[middle] ?? 0, wanted, 0) < 0) low = middle + 1;
      else high = middle;
    }
    const found = order[low];
    return found !== undefined && this.#compare(found, wanted, 0) === 0 ? found : undefined;
  }

  #sort(): Uint32Array {
    const digests = this.#digests;
    return Uint32Array.from({ length: this.length }, (_, index) => index).sort(
      (a, b) => this.#compare(a, digests, b * DIGEST_BYTES) || a - b,
    );
  }

  /** The digest of chunk `index` against the one that begins at `at` of `bytes`. */
  #compare(index: number, bytes: Buffer, at: number): number {
    const own = index * DIGEST_BYTES;
    return this.#digests.compare(bytes, at, at + DIGEST_BYTES, own, own + DIGEST_BYTES);
  }
}
