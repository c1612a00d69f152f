import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { assertTree, readTreeIndex } from '../../../src/artifact/manifest/verify-tree.ts';
import { KNOWN_FILES } from '../../../src/artifact/unpack/contents.ts';
import { extractArtifact } from '../../../src/artifact/unpack/extract.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { INSTALL_OK } from '../../helpers/tarball.ts';

async function unpacked(t: TestContext, prefix = ''): Promise<{ root: string; digest: string }> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-tree-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const entries = {
    'install.sh': INSTALL_OK,
    'd/': '',
    'd/file': 'content',
    'd/empty': '',
    'd/link': { link: 'file' },
    'implied/x': 'x',
  };
  const named = Object.fromEntries(
    Object.entries(entries).map(([path, entry]) => [`${prefix}${path}`, entry]),
  );
  const file = join(scratch, 'app.v1.tar.gz');
  writeFileSync(file, await makeIndexed({ name: 'app', version: '1' }, named, [newKey()]));
  const staging = join(scratch, 'staging');
  const { digest, rootPrefix } = await extractArtifact(file, staging, { limits: DEFAULT_LIMITS });
  const root = join(scratch, 'version');
  if (rootPrefix !== '') renameSync(join(staging, '.gwe'), join(staging, rootPrefix, '.gwe'));
  renameSync(join(staging, rootPrefix), root);
  return { root, digest };
}

function check({ root, digest }: { root: string; digest: string }): void {
  const index = readTreeIndex(root, digest, DEFAULT_LIMITS);
  assert.ok(index);
  assert.equal(index.signatures.length, 1);
  assertTree(root, index, KNOWN_FILES);
}

test('an untouched tree is what its manifest says, also from below a top-level directory', async (t) => {
  check(await unpacked(t));
  check(await unpacked(t, 'app/'));
});

test('what install.sh adds and the modes it sets do not matter', async (t) => {
  const tree = await unpacked(t);
  writeFileSync(join(tree.root, 'd/new'), 'x');
  mkdirSync(join(tree.root, 'cache'));
  chmodSync(join(tree.root, 'd/file'), 0o600);
  check(tree);
});

const changes: Readonly<Record<string, [(root: string) => void, RegExp]>> = {
  'a missing file': [(root) => rmSync(join(root, 'd/file')), /'d\/file' is missing/],
  'other content of the same size': [
    (root) => writeFileSync(join(root, 'd/file'), 'CONTENT'),
    /'d\/file' is not what it was, expected sha256/,
  ],
  'content in an empty file': [
    (root) => writeFileSync(join(root, 'd/empty'), 'x'),
    /'d\/empty' is not what it was, expected a file of 0 bytes/,
  ],
  'a link to the same content in place of a file': [
    (root) => {
      renameSync(join(root, 'd/file'), join(root, 'd/moved'));
      symlinkSync('moved', join(root, 'd/file'));
    },
    /'d\/file' is not what it was/,
  ],
  'a link that points elsewhere': [
    (root) => {
      rmSync(join(root, 'd/link'));
      symlinkSync('empty', join(root, 'd/link'));
    },
    /'d\/link' is not what it was, expected the same link/,
  ],
  'a directory that has become a link to its like': [
    (root) => {
      renameSync(join(root, 'd'), join(root, 'e'));
      symlinkSync('e', join(root, 'd'));
    },
    /'d' is not what it was, expected a directory/,
  ],
  'a directory that no entry names and that has become a link to its like': [
    (root) => {
      renameSync(join(root, 'implied'), join(root, 'elsewhere'));
      symlinkSync('elsewhere', join(root, 'implied'));
    },
    /no 'implied', expected a directory/,
  ],
  'a file that gwe would run and nobody has signed': [
    (root) => writeFileSync(join(root, 'health.sh'), 'x'),
    /'health.sh', which it did not come with/,
  ],
  'another manifest': [
    (root) => writeFileSync(join(root, '.gwe/manifest.json'), '{}'),
    /a manifest with sha256/,
  ],
};

for (const [what, [change, message]] of Object.entries(changes)) {
  test(`a tree with ${what} is refused`, async (t) => {
    const tree = await unpacked(t);
    change(tree.root);
    assert.throws(
      () => check(tree),
      (error: Error) => {
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('a tree without a manifest has no index', async (t) => {
  const tree = await unpacked(t);
  rmSync(join(tree.root, '.gwe'), { recursive: true });
  assert.equal(readTreeIndex(tree.root, tree.digest, DEFAULT_LIMITS), undefined);
});
