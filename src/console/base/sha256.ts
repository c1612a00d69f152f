/**
 * SHA-256 of bytes that come in pieces. The browser's own function takes all bytes at once, which does not work for
 * files of gigabytes.
 */

const BLOCK_BYTES = 64;

interface Sha256 {
  add(piece: Uint8Array): void;
  /** The digest of all that was added, in hexadecimal. Nothing can be added after it. */
  end(): string;
}

export function createSha256(): Sha256 {
  const primes = firstPrimes(64);
  const constants = primes.map((prime) => fraction(Math.cbrt(prime)));
  const state = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const work: Work = { state, constants, schedule: new Int32Array(64) };
  const block = new Uint8Array(BLOCK_BYTES);
  let [filled, allBytes] = [0, 0];
  const add = (piece: Uint8Array): void => {
    allBytes += piece.length;
    let at = 0;
    while (at < piece.length) {
      if (filled === 0 && piece.length - at >= BLOCK_BYTES) {
        mix(work, piece.subarray(at, at + BLOCK_BYTES));
        at += BLOCK_BYTES;
        continue;
      }
      const part = piece.subarray(at, at + BLOCK_BYTES - filled);
      block.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < BLOCK_BYTES) continue;
      mix(work, block);
      filled = 0;
    }
  };
  return {
    add,
    end() {
      const bytes = allBytes;
      const padding = new Uint8Array(((119 - (bytes % BLOCK_BYTES)) % BLOCK_BYTES) + 9);
      padding[0] = 0x80;
      new DataView(padding.buffer).setBigUint64(padding.length - 8, BigInt(bytes) * 8n);
      add(padding);
      return [...state].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
    },
  };
}

/** Its first 32 bits. */
const fraction = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;

const turn = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

interface Work {
  readonly state: Int32Array;
  readonly constants: readonly number[];
  readonly schedule: Int32Array;
}

function mix({ state, constants, schedule: w }: Work, block: Uint8Array): void {
  const view = new DataView(block.buffer, block.byteOffset, BLOCK_BYTES);
  for (let at = 0; at < 16; at++) w[at] = view.getInt32(4 * at);
  for (let at = 16; at < 64; at++) {
    const [near, far] = [w[at - 2] ?? 0, w[at - 15] ?? 0];
    const low = turn(far, 7) ^ turn(far, 18) ^ (far >>> 3);
    const high = turn(near, 17) ^ turn(near, 19) ^ (near >>> 10);
    w[at] = ((w[at - 16] ?? 0) + low + (w[at - 7] ?? 0) + high) | 0;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let at = 0; at < 64; at++) {
    const high = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const one = (h + high + ((e & f) ^ (~e & g)) + (constants[at] ?? 0) + (w[at] ?? 0)) | 0;
    const low = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  for (const [at, word] of [a, b, c, d, e, f, g, h].entries()) state[at] = ((state[at] ?? 0) + word) | 0;
}

function firstPrimes(count: number): number[] {
  const found: number[] = [];
  for (let one = 2; found.length < count; one++)
    if (found.every((prime) => one % prime !== 0)) found.push(one);
  return found;
}
