import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLayout, type Layout } from '../../../src/store/layout.ts';
import { listVersions, prune } from '../../../src/store/versions.ts';

/** Version directories in this order of creation; `current` points at the last. */
function store(t: TestContext, ...names: string[]): Layout {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-prune-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  for (const name of names) mkdirSync(join(layout.appsDirectory, 'app', name), { recursive: true });
  symlinkSync(names.at(-1) ?? '', join(layout.appsDirectory, 'app/current'));
  return layout;
}

const ACTIVE = '9-00000009';

test('the versions used longest ago go first, whatever their directories tell of time', (t) => {
  const layout = store(t, '3-00000003', '1-00000001', '2-rc-00000002', ACTIVE);
  assert.deepEqual(prune(layout, 'app', [ACTIVE], 3, ['1', '2-rc', '3', '9']), ['1-00000001']);
  assert.deepEqual(prune(layout, 'app', [ACTIVE], 2, ['1', '3', '2-rc', '9']), ['3-00000003']);
});

test('a version that no update is known of goes before one that is', (t) => {
  const layout = store(t, '1-00000001', '2-00000002', ACTIVE);
  assert.deepEqual(prune(layout, 'app', [], 2, ['1', '9']), ['2-00000002']);
});

test('what is active or to be kept stays, also when that is more than shall be left', (t) => {
  const layout = store(t, '1-00000001', '2-00000002', ACTIVE);
  assert.deepEqual(prune(layout, 'app', ['1-00000001'], 1, []), ['2-00000002']);
  assert.deepEqual(listVersions(layout, 'app'), ['1-00000001', ACTIVE]);
});
