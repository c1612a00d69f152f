import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { matchArtifactName } from '../../../src/artifact/name.ts';
import { openPartialFile } from '../../../src/protocol/partial-file.ts';
import { itemFiles, listDownloads } from '../../../src/store/downloads.ts';
import { createLayout, type Layout } from '../../../src/store/layout.ts';

function emptyStore(t: TestContext): Layout {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-downloads-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  mkdirSync(layout.downloadsDirectory, { recursive: true });
  return layout;
}

/** Ten bytes of each file that an item can have, with their notes. */
function leaveAll(layout: Layout, id: string): void {
  const { whole, index, patch } = itemFiles(layout, id);
  for (const path of [whole, index, patch]) {
    const file = openPartialFile(path, { id, sizeBytes: 100, updated: 1 });
    file.append(Buffer.alloc(10));
    file.sync();
    file.close();
  }
}

test('everything that was fetched of an item is listed as one download of it', (t) => {
  const layout = emptyStore(t);
  leaveAll(layout, 'app.v1.tar.gz');
  leaveAll(layout, 'other.v1.tar.gz');
  const found = listDownloads(layout);
  assert.deepEqual(found.map(({ contentId }) => contentId).sort(), ['app.v1.tar.gz', 'other.v1.tar.gz']);
  for (const { inodes, sizeBytes } of found)
    assert.ok(inodes === 6 && sizeBytes > 30, `${inodes} ${sizeBytes}`);
});

test('removing the files of an item leaves nothing of it and everything of the others', (t) => {
  const layout = emptyStore(t);
  leaveAll(layout, 'app.v1.tar.gz');
  leaveAll(layout, 'app.v1.tar.gz.tar.gz');
  itemFiles(layout, 'app.v1.tar.gz').remove();
  const kept = itemFiles(layout, 'app.v1.tar.gz.tar.gz').list().sort();
  assert.deepEqual(
    readdirSync(layout.downloadsDirectory)
      .map((name) => join(layout.downloadsDirectory, name))
      .sort(),
    kept,
  );
  assert.equal(kept.length, 6);
});

test('what an item has is removed also where only a note or only a patch is left of it', (t) => {
  const layout = emptyStore(t);
  for (const name of ['a.v1.tar.gz.patch', 'b.v1.tar.gz.index.info', 'c.v1.tar.gz.info'])
    writeFileSync(join(layout.downloadsDirectory, name), 'x');
  const found = listDownloads(layout);
  assert.deepEqual(found.map(({ contentId }) => contentId).sort(), [
    'a.v1.tar.gz',
    'b.v1.tar.gz',
    'c.v1.tar.gz',
  ]);
  for (const { files } of found) files.remove();
  assert.deepEqual(readdirSync(layout.downloadsDirectory), []);
});

test('the download that was written last comes first, by any of its files', (t) => {
  const layout = emptyStore(t);
  const at = (name: string, seconds: number): void => {
    writeFileSync(join(layout.downloadsDirectory, name), 'x');
    utimesSync(join(layout.downloadsDirectory, name), seconds, seconds);
  };
  at('a.v1.tar.gz', 100);
  at('b.v1.tar.gz', 200);
  at('a.v1.tar.gz.patch', 300);
  assert.deepEqual(
    listDownloads(layout).map(({ contentId, writtenMs }) => [contentId, writtenMs]),
    [
      ['a.v1.tar.gz', 300_000],
      ['b.v1.tar.gz', 200_000],
    ],
  );
});

test('an item that is kept keeps all its files, whatever its name ends in', (t) => {
  const layout = emptyStore(t);
  for (const kept of ['x', 'x.index', 'x.patch', 'x.info', 'x.index.info', 'x.info.patch']) {
    leaveAll(layout, kept);
    for (const { files } of listDownloads(layout, [kept])) files.remove();
    const { whole, index, patch } = itemFiles(layout, kept);
    for (const path of [whole, index, patch]) assert.ok(existsSync(path), `${path} of '${kept}'`);
    assert.equal(itemFiles(layout, kept).list().length, 6, kept);
    itemFiles(layout, kept).remove();
    assert.deepEqual(readdirSync(layout.downloadsDirectory), []);
  }
});

test('no two content ids share a file, and each file is listed under the id that it is of', (t) => {
  const layout = emptyStore(t);
  const version = fc.stringMatching(/^[a-z0-9]([a-z.]|\.(info|index|patch|tar\.gz)){0,4}$/);
  const id = version
    .map((text) => `a.v${text}.tar.gz`)
    .filter((text) => matchArtifactName(text) !== undefined);
  fc.assert(
    fc.property(fc.uniqueArray(id, { minLength: 1, maxLength: 4 }), (ids) => {
      for (const one of ids) {
        const { whole, index, patch } = itemFiles(layout, one);
        for (const path of [whole, index, patch])
          for (const file of [path, `${path}.info`]) writeFileSync(file, 'x', { flag: 'wx' });
      }
      const found = listDownloads(layout);
      assert.deepEqual(found.map(({ contentId }) => contentId).sort(), [...ids].sort());
      for (const { inodes, files } of found) {
        assert.equal(inodes, 6);
        files.remove();
      }
      assert.deepEqual(readdirSync(layout.downloadsDirectory), []);
    }),
    { numRuns: 40 },
  );
});
