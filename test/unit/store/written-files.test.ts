import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import { copyWritten, listWritten } from '../../../src/store/written-files.ts';

/** A version with a file or two of its own, and the time by the clock of its disk when it was installed. */
function version(t: TestContext): { directory: string; data: string; sinceMs: number } {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-written-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const [directory, data] = [join(scratch, 'version'), join(scratch, 'data')];
  mkdirSync(join(directory, '.gwe'), { recursive: true });
  mkdirSync(data);
  writeFileSync(join(directory, 'install.sh'), '#!/bin/sh\n');
  writeFileSync(join(directory, 'config'), 'as packed');
  // The clock of a file system goes in steps: the next file must not fall into the same one.
  let sinceMs = statSync(join(directory, 'config')).ctimeMs;
  for (const before = sinceMs; sinceMs === before; ) {
    symlinkSync('version', join(scratch, 'current'));
    sinceMs = lstatSync(join(scratch, 'current')).mtimeMs;
    rmSync(join(scratch, 'current'));
  }
  return { directory, data, sinceMs };
}

/** Writes until the file is younger than `sinceMs`. */
function write(path: string, text: string, sinceMs: number): void {
  do writeFileSync(path, text);
  while (statSync(path).ctimeMs <= sinceMs);
}

test('what was written since is found, also over a packed file and with a time that was set; the rest is not', (t) => {
  const { directory, sinceMs } = version(t);
  write(join(directory, 'key'), 'k', sinceMs);
  utimesSync(join(directory, 'key'), 1, 1);
  assert.deepEqual(listWritten(directory, sinceMs), [{ path: 'key', sizeBytes: 1 }]);
  write(join(directory, 'config'), 'changed', sinceMs);
  assert.deepEqual(
    listWritten(directory, sinceMs).map(({ path }) => path),
    ['config', 'key'],
  );
});

test('caches, scripts of the version and its manifest are no data', (t) => {
  const { directory, sinceMs } = version(t);
  mkdirSync(join(directory, '__pycache__'));
  for (const path of ['__pycache__/a.pyc', '.gwe/manifest.json', 'install.sh', 'supervisor.conf'])
    write(join(directory, path), 'x', sinceMs);
  assert.deepEqual(listWritten(directory, sinceMs), []);
});

test('a file from before the version was there was written while the clock was wrong', (t) => {
  const { directory } = version(t);
  writeFileSync(join(directory, 'key'), 'k');
  const found = listWritten(directory, Number.POSITIVE_INFINITY);
  assert.deepEqual(found, []);
  const future = Date.now() + 24 * 3600 * 1000;
  // Nobody can set the time of change: seen from a day later, all of it is from before.
  assert.deepEqual(
    listWritten(directory, Number.POSITIVE_INFINITY, future).map(({ path }) => path),
    ['config', 'key'],
  );
});

test('copies keep owner, mode and time, and links stay links', (t) => {
  const { directory, data, sinceMs } = version(t);
  mkdirSync(join(directory, 'a/b'), { recursive: true });
  chmodSync(join(directory, 'a'), 0o700);
  write(join(directory, 'a/b/key'), 'secret', sinceMs);
  chmodSync(join(directory, 'a/b/key'), 0o600);
  chownSync(join(directory, 'a/b/key'), 65534, 65534);
  utimesSync(join(directory, 'a/b/key'), 1000, 2000);
  symlinkSync('b/key', join(directory, 'a/link'));
  writeFileSync(join(data, 'own'), 'kept');
  copyWritten(listWritten(directory, sinceMs), directory, data);
  copyWritten(listWritten(directory, sinceMs), directory, data);
  const copy = statSync(join(data, 'a/b/key'));
  assert.deepEqual([copy.mode & 0o7777, copy.uid, copy.mtimeMs], [0o600, 65534, 2_000_000]);
  assert.equal(statSync(join(data, 'a')).mode & 0o7777, 0o700);
  assert.equal(readlinkSync(join(data, 'a/link')), 'b/key');
  assert.deepEqual(readdirSync(data), ['a', 'own']);
  assert.equal(readFileSync(join(data, 'own'), 'utf8'), 'kept');
});

test('a link that a program has put into its data directory is not followed, nor its target given away', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-written-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const name of ['version/logs', 'data', 'elsewhere']) mkdirSync(join(root, name), { recursive: true });
  chmodSync(join(root, 'elsewhere'), 0o700);
  chmodSync(join(root, 'version/logs'), 0o777);
  writeFileSync(join(root, 'version/logs/a'), 'x');
  symlinkSync('../elsewhere', join(root, 'data/logs'));
  const files = [{ path: 'logs/a', sizeBytes: 1 }];
  assert.throws(
    () => copyWritten(files, join(root, 'version'), join(root, 'data')),
    (error) => error instanceof GweError && error.code === 'STORE_IO' && /logs\/a/.test(error.message),
  );
  assert.equal(statSync(join(root, 'elsewhere')).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(join(root, 'elsewhere')), []);
});

test('a file that is a link in the data directory is replaced, and a directory that has become one is not read', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-written-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const name of ['version', 'data', 'elsewhere']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'version/a'), 'x');
  writeFileSync(join(root, 'elsewhere/secret'), 's');
  symlinkSync('../elsewhere/secret', join(root, 'data/a'));
  copyWritten([{ path: 'a', sizeBytes: 1 }], join(root, 'version'), join(root, 'data'));
  assert.equal(readFileSync(join(root, 'data/a'), 'utf8'), 'x');
  assert.equal(readFileSync(join(root, 'elsewhere/secret'), 'utf8'), 's');
  symlinkSync('../elsewhere', join(root, 'version/logs'));
  assert.throws(() =>
    copyWritten([{ path: 'logs/secret', sizeBytes: 1 }], join(root, 'version'), join(root, 'data')),
  );
  assert.equal(existsSync(join(root, 'data/logs/secret')), false);
});
