import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkData } from '../../../src/doctor/data.ts';
import { createLayout } from '../../../src/store/layout.ts';
import { asRoot } from '../../helpers/as-root.ts';
import { unmount } from '../../helpers/mounts.ts';

const test = asRoot(import.meta.filename);

test('data in memory is warned of, by name, and data on a disk is not', (t) => {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-doctor-')));
  const volatile = join(layout.dataDirectory, 'lost');
  for (const app of ['kept', 'lost']) mkdirSync(join(layout.dataDirectory, app), { recursive: true });
  t.after(() => rmSync(layout.root, { recursive: true }));
  assert.equal(checkData(layout).status, 'ok');
  execFileSync('mount', ['-t', 'tmpfs', 'gwe-test', volatile]);
  try {
    const { status, finding } = checkData(layout);
    assert.equal(status, 'warn');
    assert.ok(finding.includes(`'${volatile}'`) && !finding.includes('kept'), finding);
  } finally {
    unmount(volatile);
  }
});

test('a data directory that an update could not use is a failure by name, and a stray file beside them is none', (t) => {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-doctor-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  for (const app of ['hello', 'kept', 'gwe']) mkdirSync(join(layout.appsDirectory, app), { recursive: true });
  mkdirSync(layout.dataDirectory, { recursive: true });
  writeFileSync(join(layout.dataDirectory, 'README'), '');
  assert.equal(checkData(layout).status, 'ok');
  symlinkSync('/mnt/no-such-disk', join(layout.dataDirectory, 'hello'));
  const { status, finding } = checkData(layout);
  assert.equal(status, 'fail');
  assert.match(finding, /\/hello': it is a link to '\/mnt\/no-such-disk'/);
});
