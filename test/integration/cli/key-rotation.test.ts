/** New keys for a gateway that nobody visits: the reserved app gwe-keys. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { KeyPair } from '../../../src/artifact/signature.ts';
import { type CommandLine, createCommandLine } from '../../helpers/command-line.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

const [alice, bob, mallory] = [newKey(), newKey(), newKey()];

/** A gateway that trusts these. */
function gateway(t: TestContext, trusted: Readonly<Record<string, KeyPair>>): CommandLine {
  const line = createCommandLine();
  t.after(() => line.remove());
  for (const [name, key] of Object.entries({ alice, bob, mallory })) {
    line.file(`${name}.pub`, key.publicKey);
    line.file(`${name}.key`, key.privateKey, 0o600);
  }
  for (const name of Object.keys(trusted)) assert.equal(line.gwe('keys', 'add', `${name}.pub`).status, 0);
  return line;
}

const trustedBy = ({ root }: CommandLine): string[] => {
  const directory = join(root, 'etc/gwe/keys.d');
  return existsSync(directory) ? readdirSync(directory) : [];
};

/** Installs it; the error, or nothing. */
function take(line: CommandLine, file: string): string {
  const { status, stdout, stderr } = line.gwe('-I', file);
  return status === 0 ? '' : stdout + stderr;
}

const keySet = (keys: Readonly<Record<string, string>>, release: number | undefined, by: KeyPair[]) => {
  const files = Object.entries(keys).map(([name, text]) => [`${name}.pub`, text]);
  const facts = { name: 'gwe-keys', version: '1', ...(release === undefined ? {} : { release }) };
  return makeIndexed(facts, Object.fromEntries(files), by);
};

test('a set signed by the old key and the new one takes over, and the old key is worth nothing from then on', async (t) => {
  const line = gateway(t, { alice });
  const packed = line.gwe('keys', 'pack', '1', 'bob.pub', '--release', '1', '--sign-key', 'alice.key');
  assert.equal(packed.status, 0, packed.stderr);
  assert.match(take(line, 'gwe-keys.v1.tar.gz'), /by its own keys.*unknown key/, 'bob has not signed it yet');
  assert.deepEqual(trustedBy(line), ['alice.pub']);
  assert.equal(line.gwe('sign', 'gwe-keys.v1.tar.gz', '--key', 'bob.key').status, 0);
  assert.equal(line.gwe('--check-tarball', 'gwe-keys.v1.tar.gz').status, 0);
  assert.equal(take(line, 'gwe-keys.v1.tar.gz'), '');
  assert.deepEqual(trustedBy(line), ['bob.pub']);
  const app = { name: 'app', version: '1' };
  line.file('app.v1.tar.gz', await makeIndexed(app, { 'install.sh': INSTALL_OK }, [alice]));
  assert.match(take(line, 'app.v1.tar.gz'), /unknown key/);
  line.file('app.v1.tar.gz', await makeIndexed(app, { 'install.sh': INSTALL_OK }, [bob]));
  assert.equal(take(line, 'app.v1.tar.gz'), '');
});

test('a set that comes back after it was replaced is refused', async (t) => {
  const line = gateway(t, { alice, bob });
  const both = { alice: alice.publicKey, bob: bob.publicKey };
  line.file('gwe-keys.v1.tar.gz', await keySet(both, 1, [alice, bob]));
  assert.equal(take(line, 'gwe-keys.v1.tar.gz'), '');
  line.gwe('keys', 'pack', '2', 'bob.pub', '--release', '2', '--sign-key', 'bob.key');
  assert.equal(take(line, 'gwe-keys.v2.tar.gz'), '');
  assert.deepEqual(trustedBy(line), ['bob.pub'], 'alice is revoked');
  assert.match(take(line, 'gwe-keys.v1.tar.gz'), /it is release 1, expected release 2 or higher/);
  assert.deepEqual(trustedBy(line), ['bob.pub']);
});

test('one stolen key of two does not replace the keys', async (t) => {
  const line = gateway(t, { alice, bob });
  line.gwe('--set', 'require_signatures=2');
  const own = { alice: alice.publicKey, mallory: mallory.publicKey };
  line.file('gwe-keys.v1.tar.gz', await keySet(own, 9, [alice, mallory]));
  assert.match(take(line, 'gwe-keys.v1.tar.gz'), /1 of 2 signatures are good/);
  assert.deepEqual(trustedBy(line), ['alice.pub', 'bob.pub']);
});

const refused: Readonly<Record<string, [() => Promise<Buffer>, RegExp]>> = {
  'of a stranger': [() => keySet({ mallory: mallory.publicKey }, 1, [mallory]), /unknown key/],
  'without a release number': [
    () => keySet({ alice: alice.publicKey }, undefined, [alice]),
    /no release number/,
  ],
  'without a key': [
    () => makeIndexed({ name: 'gwe-keys', version: '1', release: 1 }, { x: '' }, [alice]),
    /no key in it/,
  ],
  'with rubbish among its keys': [
    () => keySet({ alice: alice.publicKey, bob: 'rubbish' }, 1, [alice]),
    /cannot use key 'bob': no public key/,
  ],
  'that is not signed': [async () => makeTarball({ 'install.sh': INSTALL_OK }), /it is not signed/],
};

for (const [what, [tarball, message]] of Object.entries(refused)) {
  test(`a set ${what} is refused and changes nothing`, async (t) => {
    const line = gateway(t, { alice });
    line.file('gwe-keys.v1.tar.gz', await tarball());
    assert.match(take(line, 'gwe-keys.v1.tar.gz'), message);
    assert.deepEqual(trustedBy(line), ['alice.pub']);
  });
}

test('a gateway without keys takes none from anybody', async (t) => {
  const line = gateway(t, {});
  line.file('gwe-keys.v1.tar.gz', await keySet({ mallory: mallory.publicKey }, 1, [mallory]));
  assert.match(take(line, 'gwe-keys.v1.tar.gz'), /this gateway trusts no key yet/);
  assert.deepEqual(trustedBy(line), []);
});

test('an install.sh in a set of keys is not run', async (t) => {
  const line = gateway(t, { alice });
  const marker = join(line.root, 'ran');
  const script = { content: `#!/bin/sh\ntouch ${marker}\n`, mode: 0o755 };
  const files = { 'install.sh': script, 'alice.pub': alice.publicKey };
  line.file(
    'gwe-keys.v1.tar.gz',
    await makeIndexed({ name: 'gwe-keys', version: '1', release: 1 }, files, [alice]),
  );
  assert.equal(take(line, 'gwe-keys.v1.tar.gz'), '');
  assert.equal(existsSync(marker), false);
  rmSync(marker, { force: true });
});
