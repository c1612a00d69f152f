/** New keys for a gateway that nobody visits: the reserved app gwe-keys. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { KeyPair } from '../../../src/artifact/manifest/signature.ts';
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
  const again = line.gwe('plan', 'gwe-keys.v1.tar.gz').stdout;
  assert.match(again, /^action +it is the active set: nothing in it is run$/m);
  assert.doesNotMatch(again, /install\.sh/);
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

test('a key that was removed here stays removed, whatever set of keys is commanded again', async (t) => {
  const line = gateway(t, { alice });
  const both = { alice: alice.publicKey, bob: bob.publicKey };
  line.file('gwe-keys.v1.tar.gz', await keySet(both, 2, [alice]));
  assert.equal(take(line, 'gwe-keys.v1.tar.gz'), '');
  assert.equal(line.gwe('keys', 'remove', 'bob').status, 0);
  assert.match(
    take(line, 'gwe-keys.v1.tar.gz'),
    /it is release 2, and keys have been changed on this gateway since.*release 3/,
  );
  line.file('gwe-keys.v1.tar.gz', await keySet(both, 3, [alice]));
  assert.match(take(line, 'gwe-keys.v1.tar.gz'), /it holds key 'bob' .*, which was removed on this gateway/);
  assert.deepEqual(trustedBy(line), ['alice.pub']);
  const { removed } = line.json('keys', 'list', '--json') as { removed: { name: string }[] };
  assert.deepEqual(
    removed.map(({ name }) => name),
    ['bob'],
  );
  assert.equal(line.gwe('keys', 'add', 'bob.pub').status, 0, 'who is on the gateway may change his mind');
  line.file('gwe-keys.v1.tar.gz', await keySet(both, 4, [alice]));
  assert.equal(take(line, 'gwe-keys.v1.tar.gz'), '');
  assert.deepEqual(trustedBy(line), ['alice.pub', 'bob.pub']);
});

test('a require_signatures that cannot be read lets nothing pass, and everybody says so', async (t) => {
  const line = gateway(t, { alice, bob });
  const app = await makeIndexed({ name: 'app', version: '1' }, { 'install.sh': INSTALL_OK }, [alice, bob]);
  line.file('app.v1.tar.gz', app);
  writeFileSync(join(line.root, 'etc/gwe/Engine.config'), '[engine]\nrequire_signatures = 2 keys\n');
  const expected = /require_signatures: found '2 keys', expected a whole number from 1 to 32/;
  assert.match(take(line, 'app.v1.tar.gz'), expected);
  assert.equal(existsSync(join(line.root, 'opt/gwe/apps/app/current')), false);
  for (const words of [['doctor'], ['keys', 'list'], ['verify', 'app.v1.tar.gz']]) {
    const { stdout, stderr } = line.gwe(...words);
    assert.match((stdout + stderr).replace(/\s+/g, ' '), expected, words.join(' '));
  }
  rmSync(join(line.root, 'etc/gwe/keys.d'), { recursive: true });
  assert.match(take(line, 'app.v1.tar.gz'), expected, 'also where no key is trusted yet');
});

const FAILING = { content: '#!/bin/sh\nexit 7\n', mode: 0o755 };

/** A gateway whose `app` 1 is signed by alice alone. */
async function gatewayWithApp(t: TestContext): Promise<CommandLine> {
  const line = gateway(t, { alice });
  line.file(
    'app.v1.tar.gz',
    await makeIndexed({ name: 'app', version: '1' }, { 'install.sh': INSTALL_OK }, [alice]),
  );
  assert.equal(take(line, 'app.v1.tar.gz'), '');
  line.file(
    'app.v2.tar.gz',
    await makeIndexed({ name: 'app', version: '2' }, { 'install.sh': FAILING }, [bob]),
  );
  return line;
}

/** Has bob take alice's place; what packing it said on stderr, and planning and installing it on stdout. */
function rotate(line: CommandLine, ...more: string[]): { warned: string; planned: string; told: string } {
  const packed = line.gwe(
    'keys',
    'pack',
    '1',
    'bob.pub',
    '--release',
    '1',
    '--sign-key',
    'alice.key',
    ...more,
  );
  assert.equal(packed.status, 0, packed.stderr);
  assert.equal(line.gwe('sign', 'gwe-keys.v1.tar.gz', '--key', 'bob.key').status, 0);
  const planned = line.gwe('plan', 'gwe-keys.v1.tar.gz').stdout;
  const installed = line.gwe('-I', 'gwe-keys.v1.tar.gz');
  assert.equal(installed.status, 0, installed.stderr);
  return { warned: packed.stderr, planned, told: installed.stdout };
}

test('a retired key vouches for the way back to what was committed while it was trusted, and for nothing else', async (t) => {
  const line = await gatewayWithApp(t);
  const { warned, planned, told } = rotate(line, '--retire', 'alice.pub');
  assert.equal(warned, '');
  assert.match(planned, /would be carried out/);
  assert.doesNotMatch(planned, /could not be rolled back/);
  assert.match(told, /now trusts bob\n.*it trusts alice only for rollbacks/s);
  assert.deepEqual(trustedBy(line).sort(), ['alice.retired', 'bob.pub']);
  assert.doesNotMatch(line.gwe('plan', 'app.v2.tar.gz').stdout, /could not be rolled back/);
  assert.match(take(line, 'app.v2.tar.gz'), /rolled back.*1 is active/s);
  assert.match(take(line, 'app.v1.tar.gz'), /unknown key/, 'the very same bytes as a new command');
  const other = { name: 'app', version: '3' };
  line.file('app.v3.tar.gz', await makeIndexed(other, { 'install.sh': INSTALL_OK, x: '3' }, [alice]));
  assert.match(take(line, 'app.v3.tar.gz'), /unknown key/);
  line.file('app.v3.tar.gz', await makeIndexed(other, { 'install.sh': INSTALL_OK, x: '3' }, [bob]));
  assert.equal(take(line, 'app.v3.tar.gz'), '');
  assert.equal(line.gwe('rollback', 'app').status, 0, 'to version 1');
  assert.equal(line.gwe('rollback', 'app').status, 0, 'to version 3');
  assert.equal(line.gwe('rollback', 'app').status, 0, 'and to version 1 once more');
});

test('a key that is absent from the new set leaves no way back, and pack, the report, doctor and plan name the app', async (t) => {
  const line = await gatewayWithApp(t);
  const { warned, planned, told } = rotate(line);
  assert.match(planned, /with these keys, app 'app': a failed update could not be rolled back to version 1/);
  assert.match(warned, /signs this set and is not in it.*--retire FILE\.pub/);
  assert.match(warned, /with this set, on this gateway, app 'app': a failed update could not be rolled back/);
  const lost = /'app': a failed update could not be rolled back to version 1/;
  assert.match(told.replace(/\s+/g, ' '), lost);
  const { checks } = line.json('doctor', '--json') as { checks: { id: string; finding: string }[] };
  assert.match(checks.find(({ id }) => id === 'way-back')?.finding ?? '', lost);
  assert.match(
    line.gwe('plan', 'app.v2.tar.gz').stdout,
    /way back +none: 1 stays on the gateway.*could not be rolled back to version 1/s,
  );
  assert.equal(line.json('plan', 'app.v2.tar.gz', '--json').wayBack, null);
  assert.match(take(line, 'app.v2.tar.gz'), /rollback failed/);
});

test('a retired key that was not trusted when the version was committed does not vouch for it', async (t) => {
  const line = gateway(t, { bob });
  const app = { name: 'app', version: '1' };
  line.file('app.v1.tar.gz', await makeIndexed(app, { 'install.sh': INSTALL_OK }, [alice, bob]));
  assert.equal(take(line, 'app.v1.tar.gz'), '');
  line.gwe('keys', 'add', 'mallory.pub');
  writeFileSync(join(line.root, 'etc/gwe/keys.d/alice.retired'), alice.publicKey);
  assert.match(
    line.gwe('keys', 'remove', 'bob').stderr,
    /app 'app': a failed update could not be rolled back/,
  );
});

test('keys retire keeps the way back, keys add trusts the key again, keys remove ends both', async (t) => {
  const line = await gatewayWithApp(t);
  line.gwe('keys', 'add', 'bob.pub');
  const retired = line.gwe('keys', 'retire', 'alice');
  assert.equal(retired.status, 0, retired.stderr);
  assert.equal(retired.stderr, '');
  assert.match(line.gwe('keys', 'list').stdout, /alice +\S+ +all apps, only for rollbacks \(retired\)/);
  const list = line.json('keys', 'list', '--json') as { retired: { name: string }[] };
  assert.deepEqual(
    list.retired.map(({ name }) => name),
    ['alice'],
  );
  assert.equal(line.gwe('keys', 'add', 'alice.pub').status, 0);
  assert.deepEqual(trustedBy(line).sort(), ['alice.pub', 'bob.pub']);
  line.gwe('keys', 'retire', 'alice');
  assert.match(
    line.gwe('keys', 'remove', 'alice').stderr,
    /app 'app': a failed update could not be rolled back/,
  );
  assert.deepEqual(trustedBy(line), ['bob.pub']);
});

test('a set without a key that is trusted, or with one that is both, is not packed', (t) => {
  const line = gateway(t, { alice });
  const pack = (...words: string[]) =>
    line.gwe('keys', 'pack', '1', ...words, '--release', '1', '--sign-key', 'alice.key');
  line.file('bob.retired', bob.publicKey);
  assert.match(pack('bob.retired').stderr, /all of them are retired/);
  assert.match(pack('bob.pub', 'bob.retired').stderr, /'bob' is both to be trusted and to be retired/);
});
