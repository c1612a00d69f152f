import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
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
