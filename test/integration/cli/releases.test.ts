/** `gwe releases ...`, as a person types it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeReleaseList } from '../../../src/artifact/manifest/release-list.ts';
import { createCommandLine } from '../../helpers/command-line.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';

test('a release list is made of tarballs, signed twice, shown, and checked against what gateways would install', async (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  const [maker, first, second] = [newKey(), newKey(), newKey()];
  for (const [name, key] of Object.entries({ first, second })) {
    line.file(`${name}.key`, key.privateKey, 0o600);
    line.file(`${name}.pub`, key.publicKey);
  }
  const files = { 'install.sh': '#!/bin/sh\n' };
  line.file('one.v1.tar.gz', await makeIndexed({ name: 'one', version: '1', release: 4 }, files, [maker]));
  const narrow = { name: 'two', version: '1', architectures: ['x64' as const, 'arm64' as const] };
  line.file('two.v1.tar.gz', await makeIndexed(narrow, files, [maker]));
  line.file('one.v2.tar.gz', await makeIndexed({ name: 'one', version: '2' }, files, [maker]));
  const ok = (...args: string[]): string => {
    const { status, stdout, stderr } = line.gwe(...args);
    assert.equal(status, 0, `${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  ok('releases', 'make', 'p1', 'one.v1.tar.gz', 'two.v1.tar.gz', '--release', '7', '--days', '10');
  ok('releases', 'sign', 'gwe-releases', '--key', 'first.key');
  assert.match(ok('releases', 'sign', 'gwe-releases', '--key', 'second.key'), /2 in all/);
  const { list, signatures } = decodeReleaseList(readFileSync(join(line.cwd, 'gwe-releases')));
  assert.deepEqual([list.product, list.release, list.expires - list.issued], ['p1', 7, 864_000]);
  assert.deepEqual(
    list.apps.two?.map(({ target }) => target),
    ['x64', 'arm64'],
  );
  assert.equal(list.apps.one?.[0]?.release, 4);
  assert.equal(signatures.length, 2);
  assert.match(
    ok('releases', 'show', 'gwe-releases'),
    /release 7 of p1[\s\S]*one 1 [0-9a-f]{8}\n[\s\S]*signed by/,
  );
  ok(
    'releases',
    'check',
    'gwe-releases',
    'one.v1.tar.gz',
    'two.v1.tar.gz',
    '--keys',
    'first.pub',
    '--keys',
    'second.pub',
  );
  const other = line.gwe('releases', 'check', 'gwe-releases', 'one.v2.tar.gz', '--keys', 'first.pub');
  assert.deepEqual([other.status, /does not name it/.test(other.stdout)], [1, true], other.stdout);
  const damaged = readFileSync(join(line.cwd, 'gwe-releases'), 'utf8').replace('"release":7', '"release":8');
  line.file('later', damaged);
  const later = line.gwe('releases', 'check', 'later', 'one.v1.tar.gz', '--keys', 'first.pub');
  assert.deepEqual([later.status, /0 of the keys/.test(later.stdout)], [1, true], later.stdout);
});

test('a file that is no release list, or no tarball, is named with what is wrong with it', (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('other', '{}\n');
  const shown = line.gwe('releases', 'show', 'other');
  assert.match(shown.stderr, /^gwe: cannot read release list 'other': found /);
  const made = line.gwe('releases', 'make', 'p1', 'other', '--release', '1');
  assert.match(made.stderr, /^gwe: cannot list 'other': found no gzip data/);
});
