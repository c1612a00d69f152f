import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertLayout, checkLayout } from '../../../../src/artifact/unpack/checks.ts';
import { withUnpacked } from '../../../helpers/artifact.ts';
import { makeIndexed } from '../../../helpers/indexed.ts';
import { gzipTar, rawEntry } from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK, makeTarball, type TarballEntry } from '../../../helpers/tarball.ts';

async function reasons(entries: Record<string, TarballEntry>): Promise<string[]> {
  let found: string[] | undefined;
  await withUnpacked(makeTarball(entries), ({ contents, error }) => {
    assert.equal(error, undefined);
    assert.ok(contents);
    found = checkLayout(contents)
      .filter((check) => !check.passed)
      .map((check) => check.reason);
    if (found.length === 0) assertLayout(contents);
    else assert.throws(() => assertLayout(contents), { code: 'ARTIFACT_LAYOUT' });
  });
  assert.ok(found);
  return found;
}

test('vector 42: a tarball with only an executable install.sh passes', async () => {
  assert.deepEqual(await reasons({ 'install.sh': INSTALL_OK }), []);
});

test('vector 43: install.sh of mode 0644 is refused', async () => {
  assert.deepEqual(await reasons({ 'install.sh': { content: INSTALL_OK, mode: 0o644 } }), [
    'install.sh has no x bit (mode 0644)',
  ]);
});

test('vector 44: a tarball with only setup.py passes, as a library', async () => {
  assert.deepEqual(await reasons({ 'setup.py': 'from distutils.core import setup\n' }), []);
});

test('a tarball without install.sh and setup.py is refused', async () => {
  assert.deepEqual(await reasons({ 'run.sh': INSTALL_OK }), ['neither install.sh nor setup.py at the root']);
});

test('install.sh in the only top-level directory passes, in one of two it does not', async () => {
  assert.deepEqual(await reasons({ 'app/': '', 'app/install.sh': INSTALL_OK }), []);
  assert.deepEqual(await reasons({ 'app/install.sh': INSTALL_OK, 'other/x': '' }), [
    'neither install.sh nor setup.py at the root',
  ]);
});

test('install.sh two directories deep is not found', async () => {
  assert.deepEqual(await reasons({ 'a/b/install.sh': INSTALL_OK }), [
    "neither install.sh nor setup.py in 'a'",
  ]);
});

test('.gwe/ does not count as a top-level directory', async () => {
  const tarball = await makeIndexed({ name: 'app', version: '1' }, { 'app/install.sh': INSTALL_OK });
  await withUnpacked(tarball, ({ contents }) => {
    assert.equal(contents?.rootPrefix, 'app');
    assert.deepEqual(contents && checkLayout(contents).filter((check) => !check.passed), []);
  });
});

test('install.sh that is a link or a directory is refused', async () => {
  assert.deepEqual(await reasons({ 'real.sh': INSTALL_OK, 'install.sh': { link: 'real.sh' } }), [
    'install.sh is a symlink',
  ]);
  assert.deepEqual(await reasons({ 'install.sh/': '', other: '' }), ['install.sh is a directory']);
});

for (const [what, content] of [
  ['no shebang', 'echo hello\n'],
  ['nothing in it', ''],
  ['a byte order mark', '\ufeff#!/bin/sh\n'],
  ['a relative interpreter', '#!sh\n'],
  ['a lone #!', '#!\n'],
] as const) {
  test(`install.sh with ${what} is refused`, async () => {
    assert.deepEqual(await reasons({ 'install.sh': { content, mode: 0o755 } }), [
      "install.sh does not start with '#!'",
    ]);
  });
}

test('install.sh with DOS line ends is refused, as the kernel would', async () => {
  assert.match((await reasons({ 'install.sh': '#!/bin/sh\r\necho\r\n' })).join(), /CR LF/);
});

test('what gwe reads of an artifact is returned: digests, sizes, files', async () => {
  const tar = Buffer.concat([
    rawEntry({ name: './', type: '5', mode: 0o755 }),
    rawEntry({ name: './install.sh', mode: 0o755 }, INSTALL_OK),
    rawEntry({ name: './supervisor.conf' }, '[supervisord]\ncommand = x\n'),
    Buffer.alloc(10_240),
  ]);
  const { createHash } = await import('node:crypto');
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const file = gzipSync(tar);
  await withUnpacked(file, ({ contents }) => {
    assert.equal(contents?.digest, sha256(tar));
    assert.equal(contents?.compressedSha256, sha256(file));
    assert.equal(contents?.compressedBytes, file.length);
    assert.equal(contents?.unpackedBytes, INSTALL_OK.length + 26);
    assert.equal(contents?.entries, 3);
    assert.equal(contents?.rootPrefix, '');
    assert.equal(contents?.files.get('supervisor.conf')?.head.toString(), '[supervisord]\ncommand = x\n');
    assert.equal(contents?.files.get('install.sh')?.mode, 0o755);
    assert.equal(contents?.files.has('health.sh'), false);
  });
});

test('a supervisor.conf of more than 64 KiB is refused', () =>
  withUnpacked(gzipTar(rawEntry({ name: 'supervisor.conf' }, Buffer.alloc(70_000, 'x'))), ({ error }) =>
    assert.match(String(error), /'supervisor\.conf'.*65536/),
  ));
