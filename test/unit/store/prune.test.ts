import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLayout, type Layout } from '../../../src/store/layout.ts';
import { changeAppVersions } from '../../../src/store/version-list.ts';
import { listVersions, removeVersions, sweep, unneededVersions } from '../../../src/store/versions.ts';

/** Version directories in this order of creation; `current` points at the last. */
function store(t: TestContext, ...names: string[]): Layout {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-prune-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  for (const name of names) {
    mkdirSync(join(layout.appsDirectory, 'app', name), { recursive: true });
    writeFileSync(join(layout.appsDirectory, 'app', name, 'install.sh'), '');
  }
  symlinkSync(names.at(-1) ?? '', join(layout.appsDirectory, 'app/current'));
  return layout;
}

const ACTIVE = '9-00000009';

/** What is removed when at most `most` versions shall be left. */
function unneeded(layout: Layout, keep: string[], most: number, order: string[]): string[] {
  return removeVersions(layout, 'app', unneededVersions(layout, 'app', keep, { most, order })).removed;
}

test('the versions used longest ago go first, whatever their directories tell of time', (t) => {
  const layout = store(t, '3-00000003', '1-00000001', '2-rc-00000002', ACTIVE);
  assert.deepEqual(unneeded(layout, [ACTIVE], 3, ['1', '2-rc', '3', '9']), ['1-00000001']);
  assert.deepEqual(unneeded(layout, [ACTIVE], 2, ['1', '3', '2-rc', '9']), ['3-00000003']);
});

test('a version that no update is known of goes before one that is', (t) => {
  const layout = store(t, '1-00000001', '2-00000002', ACTIVE);
  assert.deepEqual(unneeded(layout, [], 2, ['1', '9']), ['2-00000002']);
});

test('what is active or to be kept stays, also when that is more than shall be left', (t) => {
  const layout = store(t, '1-00000001', '2-00000002', ACTIVE);
  assert.deepEqual(unneeded(layout, ['1-00000001'], 1, []), ['2-00000002']);
  assert.deepEqual(listVersions(layout, 'app'), ['1-00000001', ACTIVE]);
});

test('what gwe did not make is left alone, whatever its name looks like', (t) => {
  const layout = store(t, '1-00000001', ACTIVE);
  const app = join(layout.appsDirectory, 'app');
  const foreign = ['backup-20251129', 'data', 'notes.txt', 'shared', '.hidden'];
  mkdirSync(join(app, 'backup-20251129'));
  writeFileSync(join(app, 'backup-20251129/dump.sql'), 'years');
  for (const name of ['data', '.hidden']) mkdirSync(join(app, name));
  writeFileSync(join(app, 'notes.txt'), '');
  symlinkSync('data', join(app, 'shared'));
  assert.deepEqual(unneeded(layout, [], 1, []), ['1-00000001']);
  sweep(layout, undefined);
  assert.deepEqual(readdirSync(app).sort(), [...foreign, ACTIVE, 'current'].sort());
});

test('what was there before a list was kept is known by what it holds; later, by the list alone', (t) => {
  const layout = store(t, '1-00000001', ACTIVE);
  changeAppVersions(layout, 'app', (now) => now);
  const copy = join(layout.appsDirectory, 'app/copy-00000002');
  mkdirSync(copy);
  writeFileSync(join(copy, 'install.sh'), '');
  assert.deepEqual(listVersions(layout, 'app'), ['1-00000001', ACTIVE]);
});

for (const [damage, text] of [
  ['empty', ''],
  ['NULs', '\0'.repeat(100)],
  ['half of it', '{"version":1,"apps":{"app":{"ma'],
] as const)
  test(`a list of versions that is damaged (${damage}) is made again from the disk`, (t) => {
    const layout = store(t, '1-00000001', ACTIVE);
    changeAppVersions(layout, 'app', (now) => now);
    writeFileSync(layout.versionList, text);
    assert.deepEqual(listVersions(layout, 'app'), ['1-00000001', ACTIVE]);
    assert.deepEqual(unneeded(layout, [], 1, []), ['1-00000001']);
  });
