/** What a version came with is its owner's alone to write, however it was packed. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { assertTree } from '../../../../src/artifact/manifest/verify-tree.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { tightenTree } from '../../../../src/artifact/unpack/tighten.ts';
import { makeIndexed } from '../../../helpers/indexed.ts';

function scratch(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'gwe-tighten-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}
const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

/** A version that was packed with files that everybody may write, unpacked. */
async function unpacked(t: TestContext) {
  const root = scratch(t);
  const [file, directory] = [join(root, 'app.v1.tar.gz'), join(root, 'app')];
  const loose = (content: string, mode: number) => ({ content, mode });
  const tarball = await makeIndexed(
    { name: 'app', version: '1' },
    {
      'install.sh': loose('#!/bin/sh\n', 0o777),
      'lib/data': loose('data', 0o666),
      'lib/tight': loose('tight', 0o640),
    },
  );
  writeFileSync(file, tarball);
  return { root, directory, contents: await extractArtifact(file, directory, { limits: DEFAULT_LIMITS }) };
}

test('modes are unpacked without what lets others write, the report can tell, and the manifest still holds', async (t) => {
  const { directory, contents } = await unpacked(t);
  assert.deepEqual(
    ['install.sh', 'lib/data', 'lib/tight', 'lib', ''].map((path) => modeOf(join(directory, path))),
    ['755', '644', '640', '755', '755'],
  );
  assert.deepEqual(contents.adjustments, [{ kind: 'loose', count: 2, first: 'install.sh' }]);
  const { index } = contents;
  assert.ok(index !== undefined);
  assertTree(directory, index, []);
});

test('a version from before is tightened: directories first, through no link, and nothing but what it came with', async (t) => {
  const { root, directory, contents } = await unpacked(t);
  const uid = process.getuid?.() ?? 0;
  assert.ok(contents.index !== undefined);
  const { manifest } = contents.index;
  assert.deepEqual(tightenTree(directory, manifest, uid), []);
  chmodSync(directory, 0o777);
  chmodSync(join(directory, 'install.sh'), 0o777);
  writeFileSync(join(directory, 'own'), '');
  chmodSync(join(directory, 'own'), 0o666);
  if (uid === 0) chownSync(join(directory, 'lib/data'), 65534, 65534);
  rmSync(join(directory, 'lib/tight'));
  const outside = join(root, 'outside');
  writeFileSync(outside, '');
  chmodSync(outside, 0o666);
  symlinkSync(outside, join(directory, 'lib/tight'));
  const changed = tightenTree(directory, manifest, uid);
  assert.deepEqual(changed, ['.', 'install.sh', ...(uid === 0 ? ['lib/data'] : [])]);
  assert.equal(modeOf(directory), '755');
  assert.equal(modeOf(join(directory, 'own')), '666', "install.sh's business");
  assert.equal(modeOf(outside), '666');
  assert.equal(statSync(join(directory, 'lib/data')).uid, uid);
});
