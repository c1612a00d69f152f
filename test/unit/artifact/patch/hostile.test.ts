import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brotliCompressSync, constants } from 'node:zlib';
import { openPart, PartReader } from '../../../../src/artifact/patch/apply.ts';
import {
  decodeDirectory,
  directoryBytes,
  encodeDirectory,
  type PartFact,
  partDigest,
} from '../../../../src/artifact/patch/format.ts';
import { VarintReader, VarintWriter } from '../../../../src/artifact/patch/varint.ts';
import { bufferSource } from '../../../helpers/patch-tarball.ts';

const OLD = bufferSource(Buffer.from('0123456789'));
const DIGEST = 'ab'.repeat(32);

interface Parts {
  controls: readonly (readonly [copy: number, extra: number, jump: number])[];
  gaps?: readonly number[];
  values?: readonly number[];
  extras?: string;
}

function payload({ controls, gaps = [], values = [], extras = '' }: Parts): Buffer {
  const [all, control, gap] = [new VarintWriter(), new VarintWriter(), new VarintWriter()];
  for (const [copy, extra, jump] of controls) {
    control.put(copy);
    control.put(extra);
    control.putSigned(jump);
  }
  for (const each of gaps) gap.put(each);
  for (const length of [control.length, gap.length, values.length]) all.put(length);
  return Buffer.concat([all.bytes(), control.bytes(), gap.bytes(), Buffer.from(values), Buffer.from(extras)]);
}

function made(parts: Parts, sizeBytes: number): string {
  const reader = new PartReader(payload(parts));
  const into = Buffer.alloc(sizeBytes);
  reader.read(into, OLD);
  reader.end();
  return into.toString('latin1');
}

describe('a part', () => {
  test('is copies with additions, and extras between them', () => {
    const controls = [
      [4, 2, 3],
      [3, 0, -7],
    ] as const;
    assert.equal(made({ controls, gaps: [1, 3], values: [1, 255], extras: 'xy' }, 9), '3556xy002');
  });

  test('that makes less or more than its chunks, or nothing, is refused', () => {
    assert.throws(() => made({ controls: [[4, 0, 0]] }, 5), /makes less than its chunks/);
    assert.throws(() => made({ controls: [[6, 0, 0]] }, 5), /makes more than its chunks/);
    assert.throws(() => made({ controls: [[5, 0, 0]], extras: 'z' }, 5), /makes more than its chunks/);
    assert.throws(() => made({ controls: [[5, 0, 0]], gaps: [9], values: [1] }, 5), /makes more/);
    assert.throws(() => made({ controls: [[0, 0, 3]] }, 5), /empty stretch/);
    assert.throws(() => made({ controls: [[0, 3, 0]], extras: 'ab' }, 3), /the number 3, expected at most 2/);
    assert.throws(() => made({ controls: [[5, 0, 0]], gaps: [], values: [1] }, 5), /cut off/);
  });

  test('that copies from outside of the old body gives nothing from there, and goes on', () => {
    for (const jump of [-1, 8, 2 ** 50]) {
      const reader = new PartReader(
        payload({
          controls: [
            [3, 0, jump],
            [2, 0, -3 - jump],
          ],
        }),
      );
      const into = Buffer.alloc(3);
      assert.equal(reader.read(into, OLD), false);
      assert.deepEqual([...into], [0, 0, 0]);
      const rest = Buffer.alloc(2);
      assert.equal(reader.read(rest, OLD), true);
      assert.equal(rest.toString(), '01');
      reader.end();
    }
  });

  test('counts only with the digest and the size that the directory tells of', () => {
    const plain = payload({ controls: [[5, 0, 0]] });
    const press = (bits: number): Buffer =>
      brotliCompressSync(Buffer.concat([plain]), { params: { [constants.BROTLI_PARAM_LGWIN]: bits } });
    const factOf = (bytes: Buffer, payloadBytes = plain.length): PartFact => ({
      chunks: [0],
      payloadBytes,
      sizeBytes: bytes.length,
      digest: partDigest(bytes),
    });
    const good = press(20);
    openPart(good, factOf(good)).read(Buffer.alloc(5), OLD);
    assert.throws(() => openPart(good.subarray(1), factOf(good)), /another digest/);
    assert.throws(() => openPart(good, { ...factOf(good), digest: '0'.repeat(32) }), /another digest/);
    assert.throws(() => openPart(good, factOf(good, plain.length + 1)), /a payload of/);
    assert.throws(() => openPart(good, factOf(good, plain.length - 2)), /brotli cannot read/);
    const wide = press(24);
    assert.throws(() => openPart(wide, factOf(wide)), /a brotli window of 24 bits, expected at most 20/);
    const none = Buffer.from('no brotli');
    assert.throws(() => openPart(none, factOf(none)), /brotli/);
  });
});

describe('a directory', () => {
  const part = { chunks: [1, 2, 5], payloadBytes: 10, sizeBytes: 7, digest: 'cd'.repeat(16) };
  const index = {
    manifestBytes: 900,
    signatureBytes: 80,
    payloadBytes: 50,
    sizeBytes: 30,
    digest: 'ef'.repeat(16),
  };
  const facts = { oldDigest: DIGEST, newDigest: DIGEST, oldBytes: 10, index, parts: [part] };
  const bytes = encodeDirectory(facts);
  const PARTS = 30 + 7;

  test('comes back as it was written, with the places of the parts', () => {
    assert.equal(directoryBytes(bytes), bytes.length);
    const placed = {
      ...facts,
      index: { ...index, offset: bytes.length },
      parts: [{ ...part, offset: bytes.length + 30 }],
    };
    assert.deepEqual(decodeDirectory(bytes, bytes.length + PARTS, 6), placed);
    const { index: _none, ...without } = facts;
    const less = encodeDirectory(without);
    assert.deepEqual(decodeDirectory(less, less.length + 7, 6), {
      ...without,
      parts: [{ ...part, offset: less.length }],
    });
  });

  test('is refused when a byte of it is another, when bytes are missing, and when it lists chunks that are not there', () => {
    for (let at = 0; at < bytes.length; at++) {
      const other = Buffer.from(bytes);
      other[at] = (other[at] ?? 0) ^ 1;
      assert.throws(() => decodeDirectory(other, bytes.length + PARTS, 6), /cannot read patch/, `byte ${at}`);
      assert.throws(
        () => decodeDirectory(bytes.subarray(0, at), bytes.length + PARTS, 6),
        /cannot read patch/,
      );
    }
    assert.throws(() => decodeDirectory(bytes, bytes.length + PARTS - 1, 6), /bytes, expected/);
    assert.throws(() => decodeDirectory(bytes, bytes.length + PARTS, 5), /expected at most/);
  });
});

test('numbers of up to 53 bits come back, and none that are longer or cut off', () => {
  const numbers = [0, 1, 127, 128, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER];
  const writer = new VarintWriter();
  for (const number of numbers) writer.put(number);
  for (const number of [0, -1, 1, -(2 ** 40), 2 ** 40]) writer.putSigned(number);
  const reader = new VarintReader(writer.bytes());
  assert.deepEqual(
    numbers.map(() => reader.take()),
    numbers,
  );
  assert.deepEqual(
    [0, 0, 0, 0, 0].map(() => reader.takeSigned()),
    [0, -1, 1, -(2 ** 40), 2 ** 40],
  );
  assert.ok(reader.isAtEnd);
  assert.throws(() => new VarintReader(Buffer.alloc(9, 0x80)).take(), /more than 8 bytes/);
  assert.throws(() => new VarintReader(Buffer.from([0x80])).take(), /cut off/);
});
