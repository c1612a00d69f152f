/** Which files of keys.d are keys that this gateway trusts, and what removing one means from then on. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { generateKey } from '../../../src/artifact/manifest/signature.ts';
import {
  decideRemoved,
  decideTrusted,
  readGatewayKeys,
  readKeyDecisions,
} from '../../../src/store/gateway-keys.ts';
import { createLayout } from '../../../src/store/layout.ts';
import { createReleaseStore } from '../../../src/store/trust.ts';

const [alice, bob] = [generateKey(), generateKey()];

function gateway(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'gwe-keys-'));
  t.after(() => rmSync(root, { recursive: true }));
  const layout = createLayout(root);
  mkdirSync(layout.keysDirectory, { recursive: true });
  mkdirSync(layout.stateDirectory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(layout.keysDirectory, name), text);
  return layout;
}

for (const name of [
  'a.pem',
  'a.PUB',
  'a.pub.bak',
  'a.pub~',
  'a.pub.dpkg-old',
  'a.key',
  'a.crt',
  'alice',
  'alice.txt',
]) {
  test(`a key in the file '${name}' vouches for nothing and is reported, and unsigned is not enough any more`, (t) => {
    const { files, keys, problems } = readGatewayKeys(gateway(t, { [name]: alice.publicKey }));
    assert.deepEqual(keys, []);
    assert.deepEqual(files, [name], 'it counts as a key');
    assert.match(
      problems.join(),
      /cannot use key '.*': its name does not end with \.pub, expected NAME\.pub/,
    );
  });
}

test('what nobody takes for a key is ignored', (t) => {
  const layout = gateway(t, { README: 'our keys', '.gitkeep': '', '.gwe-tmp-1-a': alice.publicKey });
  mkdirSync(join(layout.keysDirectory, 'old'));
  assert.deepEqual(readGatewayKeys(layout), { files: [], keys: [], retired: [], problems: [] });
});

test('a line after the PEM text is an error, a remark is not', (t) => {
  const { keys, problems } = readGatewayKeys(
    gateway(t, {
      'a.pub': `${alice.publicKey}apps: sine\n`,
      'b.pub': `${bob.publicKey}\r\nApps: sine`,
      'c.pub': `# of alice\r\napps: sine\r\n${alice.publicKey}\n# until 2030\n\n`,
    }),
  );
  assert.deepEqual(
    keys.map(({ name, apps }) => [name, apps]),
    [['c', ['sine']]],
  );
  assert.equal(problems.length, 2);
  for (const problem of problems)
    assert.match(problem, /pps: sine' behind it, expected one line 'apps: NAME, NAME'/);
});

test('a key that was removed comes back under no name, until it is trusted again', (t) => {
  const layout = gateway(t, { 'alice.pub': alice.publicKey, 'bob.pub': bob.publicKey });
  decideRemoved(layout, { id: bob.keyId, name: 'bob' });
  writeFileSync(join(layout.keysDirectory, 'carol.pub'), `apps: sine\n${bob.publicKey}`);
  const { keys, problems } = readGatewayKeys(layout);
  assert.deepEqual(
    keys.map(({ name }) => name),
    ['alice'],
  );
  assert.match(problems.join('; '), /key 'bob': .* was removed on this gateway.*key 'carol': .* was removed/);
  decideTrusted(layout, { id: bob.keyId });
  assert.equal(readGatewayKeys(layout).keys.length, 3);
});

test('every change raises the release that a set of keys must have above those seen, and none lowers it', (t) => {
  const layout = gateway(t, {});
  const releases = createReleaseStore(layout.releases);
  decideRemoved(layout);
  assert.equal(readKeyDecisions(layout).lowestSet, undefined, 'no set was ever seen');
  releases.saw('gwe-keys', 5);
  decideTrusted(layout, { id: 'x' });
  assert.equal(readKeyDecisions(layout).lowestSet, 6);
  rmSync(layout.releases);
  releases.saw('gwe-keys', 1);
  decideRemoved(layout);
  assert.equal(readKeyDecisions(layout).lowestSet, 6);
});

test('a damaged record of removed keys is not taken for an empty one', (t) => {
  const layout = gateway(t, { 'alice.pub': alice.publicKey });
  writeFileSync(layout.keyDecisions, '{"version":1,"remov');
  assert.throws(() => readGatewayKeys(layout), /cannot read '.*key-decisions\.json' nor its copy: damaged/);
});
