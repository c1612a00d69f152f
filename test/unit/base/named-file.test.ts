import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeNamedFile } from '../../../src/base/named-file.ts';

const root = mkdtempSync(join(tmpdir(), 'gwe-named-file-'));
const at = (name: string): string => join(root, name);
after(() => rmSync(root, { recursive: true }));

test('a file that a person names is made, and replaced', () => {
  writeNamedFile(at('new'), 'one');
  writeNamedFile(at('new'), 'two');
  assert.equal(readFileSync(at('new'), 'utf8'), 'two');
});

test('a symbolic link is replaced, and what it leads to stays', () => {
  writeFileSync(at('target'), 'kept');
  symlinkSync(at('target'), at('link'));
  writeNamedFile(at('link'), 'text');
  assert.deepEqual([readFileSync(at('link'), 'utf8'), readFileSync(at('target'), 'utf8')], ['text', 'kept']);
});

test("a directory there is somebody's data and stays where it is", () => {
  mkdirSync(at('data'));
  writeFileSync(at('data/file'), 'kept');
  assert.throws(() => writeNamedFile(at('data'), 'text'), { code: 'STORE_IO', message: /found a directory/ });
  assert.deepEqual(readdirSync(root).includes('data.unreadable'), false);
  assert.equal(readFileSync(at('data/file'), 'utf8'), 'kept');
});

test('a fifo, which another program reads, stays', () => {
  execFileSync('mkfifo', [at('fifo')]);
  assert.throws(() => writeNamedFile(at('fifo'), 'text'), { message: /found no regular file/ });
});
