/** What others may have put where a download is written, and what its removal costs. */
import assert from 'node:assert/strict';
import fs, {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  notePath,
  openPartialFile,
  partialBytes,
  removePartialFile,
} from '../../../src/protocol/partial-file.ts';

const SOURCE = { id: 'http://a/pkg.tar.gz', sizeBytes: 10, updated: 0 };

function scratch(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-partial-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const important = join(directory, 'important');
  writeFileSync(important, 'do not touch');
  return { path: join(directory, '.pkg.partial'), important };
}

function download(path: string, text: string): void {
  const file = openPartialFile(path, SOURCE);
  file.append(Buffer.from(text));
  file.sync();
  file.close();
}

const PLANTED: readonly [what: string, plant: (target: string, path: string) => void][] = [
  ['a link', symlinkSync],
  ['another name of a file', linkSync],
];

for (const [what, plant] of PLANTED) {
  test(`${what} where a download is to be written is removed, and what it leads to stays as it is`, (t) => {
    const { path, important } = scratch(t);
    plant(important, path);
    // The note says that the bytes are there already.
    writeFileSync(notePath(path), JSON.stringify(SOURCE));
    download(path, 'fresh');
    assert.equal(readFileSync(important, 'utf8'), 'do not touch');
    assert.ok(lstatSync(path).isFile());
    assert.equal(readFileSync(path, 'utf8'), 'fresh');
  });
}

test('a note that is a link counts for none', (t) => {
  const { path, important } = scratch(t);
  download(path, 'old');
  writeFileSync(important, readFileSync(notePath(path)));
  rmSync(notePath(path));
  symlinkSync(important, notePath(path));
  assert.equal(partialBytes(path, SOURCE), 0);
});

test('an own file is gone on from where the download stopped', (t) => {
  const { path } = scratch(t);
  download(path, 'hello');
  assert.equal(partialBytes(path, SOURCE), 5);
  download(path, 'world');
  assert.equal(readFileSync(path, 'utf8'), 'helloworld');
});

test('removing a download takes one sync, none where nothing is there, and whatever lies in its place goes', (t) => {
  const { path } = scratch(t);
  const synced = t.mock.method(fs, 'fsyncSync');
  syncBuiltinESMExports();
  t.after(() => {
    synced.mock.restore();
    syncBuiltinESMExports();
  });
  const syncsOf = (work: () => void): number => {
    const before = synced.mock.callCount();
    work();
    return synced.mock.callCount() - before;
  };
  download(path, 'hello');
  assert.equal(
    syncsOf(() => removePartialFile(path)),
    1,
  );
  assert.ok(!existsSync(path) && !existsSync(notePath(path)));
  assert.equal(
    syncsOf(() => removePartialFile(path)),
    0,
  );
  mkdirSync(path);
  writeFileSync(notePath(path), '{}');
  removePartialFile(path);
  assert.ok(!existsSync(path) && !existsSync(notePath(path)));
});
