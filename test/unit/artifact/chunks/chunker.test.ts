import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { BodyCutter } from '../../../../src/artifact/chunks/chunker.ts';
import { chunkDigest } from '../../../../src/artifact/manifest/manifest.ts';
import {
  END_OF_ARCHIVE_BYTES,
  type EntryHeader,
  encodeEntryHeader,
  entryHeaderBytes,
  paddingBytes,
} from '../../../../src/artifact/tar/writer.ts';

/** Bytes without a pattern, the same each time. */
function noise(sizeBytes: number, seed: number): Buffer {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

type Files = readonly (readonly [path: string, content: Buffer])[];

const headerOf = (path: string, sizeBytes: number): EntryHeader => ({
  path,
  type: 'file',
  mode: 0o644,
  sizeBytes,
  target: '',
});

function bodyOf(files: Files): { entries: EntryHeader[]; body: Buffer } {
  const entries = files.map(([path, content]) => headerOf(path, content.length));
  const parts = files.map(([path, content]) =>
    Buffer.concat([
      encodeEntryHeader(headerOf(path, content.length)),
      content,
      Buffer.alloc(paddingBytes(content.length)),
    ]),
  );
  return { entries, body: Buffer.concat([...parts, Buffer.alloc(END_OF_ARCHIVE_BYTES)]) };
}

function cut(files: Files, pieceBytes = 2 ** 30): Buffer[] {
  const { entries, body } = bodyOf(files);
  const cutter = new BodyCutter(entries);
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length; at += pieceBytes)
    chunks.push(...cutter.take(body.subarray(at, at + pieceBytes)));
  assert.ok(Buffer.concat(chunks).equals(body), 'the chunks are the body');
  return chunks;
}

const digests = (chunks: readonly Buffer[]): string[] => chunks.map(chunkDigest);
/** How many of `next` are not in `base`. */
const missing = (next: readonly Buffer[], base: readonly Buffer[]): number => {
  const had = new Set(digests(base));
  return digests(next).filter((digest) => !had.has(digest)).length;
};

const smallFiles = (count: number): Files =>
  Array.from({ length: count }, (_, at) => [`lib/f${String(at).padStart(4, '0')}.js`, noise(3000, at)]);

test('pieces of any size give the same chunks, and they have not changed since they were first shipped', () => {
  const files: Files = [...smallFiles(60), ['native.node', noise(1_000_001, 1)], ['z', Buffer.alloc(0)]];
  const whole = cut(files);
  for (const pieceBytes of [512, 100_003]) assert.deepEqual(digests(cut(files, pieceBytes)), digests(whole));
  const sizes = whole.map(({ length }) => length);
  assert.ok(Math.max(...sizes) <= 256 * 1024);
  assert.equal(
    chunkDigest(Buffer.from(sizes.join(' '))),
    'f9b79f83388cd4a02238dede0d503182',
    sizes.join(' '),
  );
});

test('a byte more in a large file changes the chunk that it is in and those of its header', () => {
  const content = noise(4_000_000, 7);
  const before = cut([['native.node', content]]);
  const longer = Buffer.concat([
    content.subarray(0, 2_000_000),
    Buffer.from('!'),
    content.subarray(2_000_000),
  ]);
  assert.ok(before.length > 25, `${before.length} chunks`);
  assert.ok(missing(cut([['native.node', longer]]), before) <= 3);
});

test('a file more among small ones changes the chunk that it is in', () => {
  const files = smallFiles(500);
  const before = cut(files);
  assert.ok(before.length > 10, `${before.length} chunks`);
  const more: Files = [...files.slice(0, 250), ['lib/f0249x.js', noise(2000, 3)], ...files.slice(250)];
  assert.ok(missing(cut(more), before) <= 2);
});

test('a large file with another name or mode has the same chunks', () => {
  const content = noise(700_000, 9);
  const before = cut([['a/native.node', content]]);
  assert.equal(missing(cut([['b/native.node', content]]), before), 1, 'the one of the header');
});

test('content without a place to cut, and names of any length, are cut where a chunk gets too large', () => {
  const sizes = cut([['zeros', Buffer.alloc(3_000_000)]]).map(({ length }) => length);
  assert.deepEqual(new Set(sizes.slice(1, -2)), new Set([256 * 1024]));
  const target = 'x'.repeat(3_000_000);
  const link: EntryHeader = { path: 'l', type: 'symlink', mode: 0o777, sizeBytes: 0, target };
  const body = Buffer.concat([encodeEntryHeader(link), Buffer.alloc(END_OF_ARCHIVE_BYTES)]);
  const chunks = [...new BodyCutter([link]).take(body)];
  assert.ok(chunks.every(({ length }) => length <= 256 * 1024) && Buffer.concat(chunks).equals(body));
});

test('a body longer than its entries is refused', () => {
  const { entries, body } = bodyOf([['a', Buffer.from('x')]]);
  const cutter = new BodyCutter(entries);
  assert.throws(() => [...cutter.take(Buffer.concat([body, Buffer.from('x')]))], RangeError);
});

test('the length of a header is that of its encoding, also where a name does not fit', () => {
  const names = [
    'a',
    'n'.repeat(99),
    'n'.repeat(100),
    'n'.repeat(101),
    `${'d/'.repeat(70)}x`,
    'ü'.repeat(60),
  ];
  for (const path of [...names, '\ud800', 'p'.repeat(511), 'p'.repeat(512), 'p'.repeat(600)])
    for (const target of ['', 't'.repeat(100), 't'.repeat(101), 'ü'.repeat(400)])
      for (const type of ['file', 'directory', 'symlink'] as const) {
        const entry: EntryHeader = { path, type, mode: 0o755, sizeBytes: 0, target };
        assert.equal(entryHeaderBytes(entry), encodeEntryHeader(entry).length, JSON.stringify(entry));
      }
});
