/** The note that holds the bundle is as long as its segment, so that the headers are the same for every bundle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PT_LOAD, PT_NOTE, readElf } from '../../../src/packaging/elf.mjs';
import { withEvenNote } from '../../../src/packaging/sea-note.mjs';

const NOTE_AT = 0x1000;
const SEGMENT_BYTES = 0x1000;

function note(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(name.length + 1, 0);
  header.writeUInt32LE(content.length, 4);
  const even = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  return Buffer.concat([header, even(Buffer.from(`${name}\0`)), even(content)]);
}

function programHeader(type: number, bytes: number): Buffer {
  const header = Buffer.alloc(56);
  header.writeUInt32LE(type, 0);
  for (const at of [8, 16, 24]) header.writeBigUInt64LE(BigInt(NOTE_AT), at);
  for (const at of [32, 40]) header.writeBigUInt64LE(BigInt(bytes), at);
  return header;
}

/** Two notes at the start of a segment, and `behind` them. */
function executable(notes: readonly Buffer[], behind = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(NOTE_AT + SEGMENT_BYTES);
  bytes.write('\x7fELF\x02\x01', 0, 'latin1');
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(2, 56);
  const all = Buffer.concat([...notes]);
  Buffer.concat([programHeader(PT_LOAD, SEGMENT_BYTES), programHeader(PT_NOTE, all.length)]).copy(bytes, 64);
  Buffer.concat([all, behind]).copy(bytes, NOTE_AT);
  return bytes;
}

const BUILD_ID = note('GNU', Buffer.alloc(20, 7));

test('two bundles of different length give the same headers, and each is where it was', () => {
  const [one, other] = ['a bundle', 'a bundle with a line more'].map((text) => {
    const before = executable([BUILD_ID, note('NODE_SEA_BLOB', Buffer.from(text))]);
    const after = withEvenNote(before);
    assert.equal(after.indexOf(text), before.indexOf(text));
    return after;
  });
  assert.ok(one !== undefined && other !== undefined);
  const start = one.indexOf('a bundle');
  assert.ok(one.subarray(0, start).equals(other.subarray(0, start)));
  const [, notes] = readElf(one).programs;
  assert.equal(notes?.filesz, SEGMENT_BYTES);
  assert.equal(one.readUInt32LE(start - 16 - 8), NOTE_AT + SEGMENT_BYTES - start);
});

test('a segment that holds something behind the note is refused', () => {
  const blob = note('NODE_SEA_BLOB', Buffer.from('a bundle'));
  assert.throws(
    () => withEvenNote(executable([BUILD_ID, blob], Buffer.from('x'))),
    /its segment holds something behind it/,
  );
  assert.throws(() => withEvenNote(executable([blob, BUILD_ID])), /no last note is called "NODE_SEA_BLOB/);
  assert.throws(() => withEvenNote(executable([BUILD_ID])), /cannot find the note of the bundle/);
});
