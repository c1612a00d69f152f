/** The last good copy of a file that people edit: when it counts, and when it must not. */
import assert from 'node:assert/strict';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { isTorn, keepEdited, readEdited, removeEdited, writeEdited } from '../../../src/base/edited-file.ts';

const LIMIT_BYTES = 1000;
const FORMAT = { limitBytes: LIMIT_BYTES, mode: 0o600, isSound: (text: string) => text.startsWith('[ok]') };
const TEXT = '[ok]\nname = über\n';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gwe-edited-'));
  path = join(directory, 'file');
  writeEdited(path, TEXT, FORMAT);
});
afterEach(() => rmSync(directory, { recursive: true }));

const read = (): string | undefined => readEdited(path, LIMIT_BYTES);
const inode = (): number => statSync(path).ino;

test('every beginning of a text is torn, whatever byte it ends at; the text itself and what is edited is not', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), fc.nat(), fc.string(), (text, at, other) => {
      const bytes = Buffer.from(text);
      const begun = bytes.subarray(0, at % bytes.length).toString('utf8');
      assert.ok(isTorn(begun, text), JSON.stringify({ text, begun }));
      assert.ok(isTorn('\0'.repeat(bytes.length), text));
      if (!text.includes('\0') && !text.endsWith('\ufffd')) assert.ok(!isTorn(text, text));
      if (!`${text}${other}`.includes('\0') && other !== '') assert.ok(!isTorn(`${text}${other}`, text));
    }),
  );
});

for (const [what, damage] of [
  ['empty', () => writeFileSync(path, '')],
  ['NULs', () => writeFileSync(path, '\0'.repeat(20))],
  ['half', () => writeFileSync(path, Buffer.from(TEXT).subarray(0, 13))],
  ['a directory', () => [rmSync(path), mkdirSync(path), writeFileSync(join(path, 'inside'), '')]],
] as const) {
  test(`in the place of one that is ${what} its copy counts, and is put back with its mode`, () => {
    damage();
    assert.equal(read(), TEXT);
    assert.match(keepEdited(path, FORMAT) ?? '', /file.*its last good copy is back/);
    assert.equal(readFileSync(path, 'utf8'), TEXT);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(globSync(join(directory, '*', 'inside')).length, what === 'a directory' ? 1 : 0);
    assert.equal(keepEdited(path, FORMAT), undefined);
  });
}

test('an edit counts, longer or shorter, and becomes the copy where it is such a file at all', () => {
  for (const text of ['[ok]\nname = other\n', '[ok]\n', `${TEXT}more = 1\n`]) {
    writeFileSync(path, text);
    if (text === '[ok]\n') rmSync(`${path}.copy`);
    assert.equal(read(), text);
    assert.equal(keepEdited(path, FORMAT), undefined);
    writeFileSync(path, '');
    assert.equal(read(), text);
  }
  writeFileSync(path, 'random bytes');
  assert.equal(read(), 'random bytes');
  keepEdited(path, FORMAT);
  writeFileSync(path, '');
  assert.equal(read(), `${TEXT}more = 1\n`, 'the copy before has stayed');
});

test('a file that is gone does not come back, and one that was removed leaves no copy', () => {
  rmSync(path);
  assert.equal(read(), undefined);
  assert.equal(keepEdited(path, FORMAT), undefined);
  assert.equal(existsSync(path), false);
  writeEdited(path, TEXT, FORMAT);
  removeEdited(path);
  assert.deepEqual(globSync(join(directory, '*')), []);
});

test('a damaged copy counts as none, and a sound file is not written again', () => {
  writeFileSync(`${path}.copy`, `${readFileSync(`${path}.copy`, 'utf8')}x`);
  writeFileSync(path, '');
  assert.equal(read(), '');
  writeEdited(path, TEXT, FORMAT);
  const [file, copy] = [inode(), statSync(`${path}.copy`).ino];
  keepEdited(path, FORMAT);
  assert.deepEqual([inode(), statSync(`${path}.copy`).ino], [file, copy]);
});

test('of a text that replaces another no older copy is left, even where the new one cannot be made', () => {
  writeFileSync(path, '');
  mkdirSync(`${path}.copy.unreadable`);
  writeEdited(path, '[ok]\nname = new\n', FORMAT);
  writeFileSync(path, '');
  assert.equal(read(), '[ok]\nname = new\n');
});
