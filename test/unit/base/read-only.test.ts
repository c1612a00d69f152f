/** On a disk that is read-only everything that changes it says so by that name, as the kernel does: the rest depends on it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GweError } from '../../../src/base/errors.ts';
import * as gweFs from '../../../src/base/fs.ts';
import { removeTree } from '../../../src/base/remove-tree.ts';
import { asRoot } from '../../helpers/as-root.ts';
import { unmount } from '../../helpers/mounts.ts';

const test = asRoot(import.meta.filename);

const CHANGES: Readonly<Record<string, (at: string) => unknown>> = {
  'writing a file': (at) => gweFs.writeFileDurable(join(at, 'file'), 'new'),
  'writing a new file': (at) => gweFs.writeFileDurable(join(at, 'new'), 'new'),
  'writing over bytes': (at) => gweFs.overwriteDurable(join(at, 'file'), 0, Buffer.from('x')),
  'moving aside': (at) => gweFs.moveAside(join(at, 'file')),
  copying: (at) => gweFs.copyFileDurable(join(at, 'file'), join(at, 'copy'), 0o644),
  'pointing a link': (at) => gweFs.swapLink('file', join(at, 'link')),
  renaming: (at) => gweFs.renameDurable(join(at, 'file'), join(at, 'other')),
  'removing a file': (at) => gweFs.removeFileDurable(join(at, 'file')),
  'removing an empty directory': (at) => gweFs.removeEmptyDirectory(join(at, 'empty')),
  'removing a tree': (at) => removeTree(join(at, 'tree')),
  'making a directory': (at) => gweFs.ensureDirectory(join(at, 'directory')),
  'making directories': (at) => gweFs.ensureDirectory(join(at, 'tree/a/b/c')),
};

test('each way to change a read-only disk fails with STORE_READ_ONLY, and what is there already is fine', (t) => {
  const at = mkdtempSync(join(tmpdir(), 'gwe-read-only-'));
  execFileSync('mount', ['-t', 'tmpfs', 'gwe-test', at]);
  t.after(() => {
    unmount(at);
    rmSync(at, { recursive: true });
  });
  mkdirSync(join(at, 'tree/a'), { recursive: true });
  mkdirSync(join(at, 'empty'));
  writeFileSync(join(at, 'file'), 'old');
  execFileSync('mount', ['-o', 'remount,ro', at]);
  for (const [what, change] of Object.entries(CHANGES))
    assert.throws(
      () => change(at),
      (error) => error instanceof GweError && error.code === 'STORE_READ_ONLY',
      what,
    );
  gweFs.ensureDirectory(join(at, 'tree/a'));
  gweFs.removeFileDurable(join(at, 'tree/none'));
  assert.equal(gweFs.removeIfPossible(join(at, 'file')), false);
});
