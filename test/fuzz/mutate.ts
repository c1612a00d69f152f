/** Inputs out of inputs: the changes that fuzzers make, from a seeded source, so that a run can be repeated. */

export type Random = (below: number) => number;

/** xorshift32: whole numbers from 0 to below - 1. */
export function createRandom(seed: number): Random {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(1, below);
  };
}

const INTERESTING = [
  0, 1, 9, 10, 13, 0x20, 0x22, 0x25, 0x2f, 0x30, 0x37, 0x39, 0x5b, 0x5c, 0x7f, 0x80, 0xc0, 0xff,
];

/** One to eight changes of `input`; `corpus` lends parts of itself, `words` what the format is made of. */
export function mutate(
  input: Buffer,
  corpus: readonly Buffer[],
  words: readonly string[],
  random: Random,
  limitBytes: number,
): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 << random(4); left > 0; left--) bytes = change(bytes, corpus, words, random);
  return bytes.length > limitBytes ? bytes.subarray(0, limitBytes) : bytes;
}

function change(bytes: Buffer, corpus: readonly Buffer[], words: readonly string[], random: Random): Buffer {
  const at = random(bytes.length + 1);
  const length = Math.min(bytes.length - at, 1 << random(10));
  const put = (middle: Uint8Array, cut = 0): Buffer =>
    Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at + cut)]);
  switch (random(9)) {
    case 0:
      return put(Buffer.from([random(256)]), 1);
    case 1:
      return put(Buffer.from([INTERESTING[random(INTERESTING.length)] ?? 0]), random(2));
    case 2:
      return put(Buffer.alloc(0), length);
    case 3:
      return put(Buffer.from(bytes.subarray(at, at + length)));
    case 4:
      return put(Buffer.from(words[random(words.length)] ?? '', 'latin1'), random(2) * random(16));
    case 5: {
      const other = corpus[random(corpus.length)] ?? bytes;
      const from = random(other.length);
      return put(other.subarray(from, from + (1 << random(11))), random(2) * length);
    }
    case 6:
      return put(Buffer.from([(bytes[at] ?? 0) ^ (1 << random(8))]), 1);
    case 7:
      return put(Buffer.from(String([0, -1, 2 ** 31, 2 ** 53, 1e21, 8 ** 11][random(6)])), random(8));
    default:
      return put(Buffer.alloc(1 << random(8), bytes[at] ?? 0));
  }
}
