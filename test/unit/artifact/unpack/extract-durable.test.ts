/** Unpacking that is on the disk when it returns. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const NOBODY = 65_534;

/** For the rest of the test no right of root opens what its owner may not read. */
function becomeNobody(t: TestContext): void {
  if (process.geteuid?.() !== 0) return;
  process.seteuid?.(NOBODY);
  t.after(() => process.seteuid?.(0));
}

test('a directory that its owner may not read is synced all the same', async (t) => {
  becomeNobody(t);
  const root = mkdtempSync(join(tmpdir(), 'gwe-durable-'));
  const directory = join(root, 'version');
  t.after(() => {
    chmodSync(join(directory, 'drop'), 0o700);
    rmSync(root, { recursive: true });
  });
  const file = join(root, 'app.v1.tar.gz');
  const drop = { 'drop/': { mode: 0o311 }, 'drop/note': 'kept' };
  writeFileSync(file, makeTarball({ 'install.sh': INSTALL_OK, ...drop }));
  await extractArtifact(file, directory, { limits: DEFAULT_LIMITS, isDurable: true });
  assert.equal(statSync(join(directory, 'drop')).mode & 0o777, 0o311);
  assert.equal(readFileSync(join(directory, 'drop/note'), 'utf8'), 'kept');
});
