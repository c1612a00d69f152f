import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type CommandLine, createCommandLine } from '../../helpers/command-line.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine();
  t.after(() => line.remove());
  return line;
}

function ok(line: CommandLine, ...args: string[]): string {
  const { status, stdout, stderr } = line.gwe(...args);
  assert.equal(status, 0, `gwe ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** Ends with this status, and what it printed. */
function fails(line: CommandLine, status: number, ...args: string[]): string {
  const result = line.gwe(...args);
  assert.equal(result.status, status, result.stderr + result.stdout);
  return result.stderr + result.stdout;
}

const tarball = (): Buffer => makeTarball({ 'install.sh': INSTALL_OK, 'data/x': 'content' });
const entryOf = (line: CommandLine, file: string, path: string): Buffer =>
  execFileSync('tar', ['xzOf', join(line.cwd, file), path]);

test('a hand-packed tarball is signed, verified, and signed by another one as well', (t) => {
  const line = commandLine(t);
  line.file('app.v1.tar.gz', tarball());
  ok(line, 'keygen', '--out', 'alice');
  ok(line, 'keygen', '--out', 'bob');
  assert.match(fails(line, 1, 'verify', 'app.v1.tar.gz', '--keys', 'alice.pub'), /no manifest/);
  assert.match(ok(line, 'sign', 'app.v1.tar.gz', '--key', 'alice.key'), /repacked with a manifest/);
  assert.match(ok(line, 'verify', 'app.v1.tar.gz', '--keys', 'alice.pub'), /\[PASS\] signed by 'alice'/);
  const before = entryOf(line, 'app.v1.tar.gz', '.gwe/manifest.json');
  assert.match(ok(line, 'sign', 'app.v1.tar.gz', '--key', 'bob.key'), /\(2 signatures\)/);
  assert.deepEqual(entryOf(line, 'app.v1.tar.gz', '.gwe/manifest.json'), before, 'the identity stays');
  ok(line, 'verify', 'app.v1.tar.gz', '--keys', '.', '--require-signatures', '2');
  const found = fails(line, 1, 'verify', 'app.v1.tar.gz', '--keys', 'bob.pub', '--require-signatures', '2');
  assert.match(found, /1 of 2 signatures are good/);
  assert.match(ok(line, '--check-tarball', 'app.v1.tar.gz'), /\[PASS\] content is what the manifest says/);
});

test('what is signed is what was packed: modes, links and content', (t) => {
  const line = commandLine(t);
  const entries = { 'install.sh': INSTALL_OK, w: { content: 'x', mode: 0o666 }, l: { link: 'w' } };
  line.file('app.v1.tar.gz', makeTarball(entries));
  ok(line, 'keygen');
  ok(line, 'sign', 'app.v1.tar.gz', '--key', 'gwe-signing.key');
  const listing = execFileSync('tar', ['tvzf', join(line.cwd, 'app.v1.tar.gz')], { encoding: 'utf8' });
  assert.match(listing, /^-rw-rw-rw- .* w$/m);
  assert.match(listing, /^lrwxrwxrwx .* l -> w$/m);
  assert.match(listing, /^-rwxr-xr-x .* install.sh$/m);
});

test('verify tells a tampered tarball, a renamed one, and a stranger', (t) => {
  const line = commandLine(t);
  const file = line.file('app.v1.tar.gz', tarball());
  ok(line, 'keygen', '--out', 'alice');
  ok(line, 'keygen', '--out', 'mallory');
  ok(line, 'sign', 'app.v1.tar.gz', '--key', 'alice.key');
  assert.match(
    fails(line, 1, 'verify', 'app.v1.tar.gz', '--keys', 'mallory.pub'),
    /\[WARN\] signed by key \w+, whose key is not/,
  );
  writeFileSync(join(line.cwd, 'app.v2.tar.gz'), readFileSync(file));
  assert.match(
    fails(line, 1, 'verify', 'app.v2.tar.gz', '--keys', 'alice.pub'),
    /its manifest is of 'app.v1.tar.gz'/,
  );
  const stream = gunzipSync(readFileSync(file));
  stream[stream.indexOf('content')] = 0x43;
  writeFileSync(file, gzipSync(stream));
  assert.match(
    fails(line, 1, 'verify', 'app.v1.tar.gz', '--keys', 'alice.pub'),
    /entry 'data\/x' with sha256/,
  );
});

test('the private key is 0600, is not overwritten, and a passphrase encrypts it', (t) => {
  const line = commandLine(t);
  line.file('app.v1.tar.gz', tarball());
  line.file('words', 'open sesame\n');
  ok(line, 'keygen', '--out', 'alice', '--passphrase-file', 'words');
  const key = join(line.cwd, 'alice.key');
  assert.equal(statSync(key).mode & 0o777, 0o600);
  assert.match(readFileSync(key, 'utf8'), /ENCRYPTED/);
  const before = readFileSync(key);
  assert.match(fails(line, 2, 'keygen', '--out', 'alice'), /it exists, expected a new name/);
  assert.deepEqual(readFileSync(key), before);
  assert.match(fails(line, 2, 'sign', 'app.v1.tar.gz', '--key', 'alice.key'), /an encrypted key/);
  const said = ok(line, 'sign', 'app.v1.tar.gz', '--key', 'alice.key', '--passphrase-file', 'words');
  assert.doesNotMatch(said, /sesame/);
});

test('--sign-cmd signs with a key that gwe never sees', (t) => {
  const line = commandLine(t);
  line.file('app.v1.tar.gz', tarball());
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', join(line.cwd, 'hsm.pem')]);
  execFileSync('openssl', [
    'pkey',
    '-in',
    join(line.cwd, 'hsm.pem'),
    '-pubout',
    '-out',
    join(line.cwd, 'hsm.pub'),
  ]);
  const command = 'cat > m && openssl pkeyutl -sign -rawin -inkey hsm.pem -in m | base64 -w0';
  ok(line, 'sign', 'app.v1.tar.gz', '--key', 'hsm.pub', '--sign-cmd', command);
  ok(line, 'verify', 'app.v1.tar.gz', '--keys', 'hsm.pub');
  const manifest = entryOf(line, 'app.v1.tar.gz', '.gwe/manifest.json');
  line.file('manifest', manifest);
  const digest = execFileSync('sha256sum', [join(line.cwd, 'manifest')], { encoding: 'utf8' }).slice(0, 64);
  assert.equal(readFileSync(join(line.cwd, 'm'), 'utf8'), `gwe artifact manifest v1\n${digest}\n`);
  assert.match(
    fails(line, 2, 'sign', 'app.v1.tar.gz', '--key', 'hsm.pub', '--sign-cmd', 'echo AAAA'),
    /no signature of this key/,
  );
  assert.match(
    fails(line, 1, 'sign', 'app.v1.tar.gz', '--key', 'hsm.pub', '--sign-cmd', 'exit 3'),
    /exit status 3/,
  );
});

test('--build-app signs as it builds, and puts what the buildfile says into the manifest', (t) => {
  const line = commandLine(t);
  line.file('install.sh', INSTALL_OK, 0o755);
  const facts = { architectures: ['x64', 'arm64'], minimum_gwe: '2.0', release: 7, expires: 4_000_000_000 };
  line.file('b.json', JSON.stringify({ name: 'app', version: '1', includes: ['install.sh'], ...facts }));
  ok(line, 'keygen', '--out', 'alice');
  ok(line, '--build-app', 'b.json', '--sign-key', 'alice.key');
  ok(line, 'verify', 'app.v1.tar.gz', '--keys', 'alice.pub');
  const manifest: unknown = JSON.parse(entryOf(line, 'app.v1.tar.gz', '.gwe/manifest.json').toString());
  const { entries: _entries, chunks: _chunks, ...rest } = manifest as { entries: unknown; chunks: unknown };
  assert.deepEqual(rest, { format: 1, name: 'app', version: '1', ...facts });
  assert.match(fails(line, 2, '--sign-key', 'alice.key'), /--sign-key goes only with/);
  line.file(
    'bad.json',
    JSON.stringify({ name: 'app', version: '1', includes: ['install.sh'], architectures: ['z80'] }),
  );
  assert.match(fails(line, 1, '--check-buildfile', 'bad.json'), /architectures.*expected one of x64/);
});

test('a private key that others can read is used with a warning', (t) => {
  const line = commandLine(t);
  ok(line, 'keygen', '--out', 'alice');
  line.file('app.v1.tar.gz', tarball());
  assert.equal(line.gwe('sign', 'app.v1.tar.gz', '--key', 'alice.key').stderr, '');
  chmodSync(join(line.cwd, 'alice.key'), 0o640);
  const { status, stderr } = line.gwe('sign', 'app.v1.tar.gz', '--key', 'alice.key');
  assert.equal(status, 0);
  assert.match(stderr, /other users of this machine can read 'alice\.key': chmod 600/);
});

test('too few keys for the required signatures are named by keys and by the doctor', (t) => {
  const line = commandLine(t);
  for (const name of ['alice', 'bob', 'carol']) ok(line, 'keygen', '--out', name);
  ok(line, '--set', 'require_signatures=2');
  const of = (name: string, ...more: string[]): string => {
    const { status, stderr } = line.gwe('keys', 'add', `${name}.pub`, ...more);
    assert.equal(status, 0, stderr);
    return stderr;
  };
  const few = /require_signatures is 2, and this gateway trusts 1 key: nothing can be installed/;
  assert.match(of('alice'), few);
  const problems = (): string => (line.json('keys', 'list', '--json').problems as string[]).join();
  assert.match(problems(), few);
  const check = (): unknown => {
    const { stdout } = line.gwe('doctor', '--json');
    const { checks } = JSON.parse(stdout) as { checks: { id: string; status: string }[] };
    return checks.find(({ id }) => id === 'keys')?.status;
  };
  assert.equal(check(), 'fail');
  assert.match(of('bob', '--apps', 'sine'), /trusts 1 key for all apps: it cannot accept a new set of keys/);
  assert.equal(check(), 'warn');
  assert.equal(of('carol'), '');
  assert.deepEqual([problems(), check()], ['', 'ok']);
  assert.match(line.gwe('keys', 'remove', 'carol').stderr, /trusts 1 key for all apps/);
});

test('keys are added, limited, listed and removed; a mistyped limit is not taken for none', (t) => {
  const line = commandLine(t);
  ok(line, 'keygen', '--out', 'alice');
  assert.match(ok(line, 'keys', 'list'), /no keys: unsigned tarballs are installed/);
  assert.match(
    ok(line, 'keys', 'add', 'alice.pub', '--apps', 'sine,cosine'),
    /for sine, cosine\nfrom now on/,
  );
  const stored = join(line.root, 'etc/gwe/keys.d/alice.pub');
  execFileSync('openssl', ['pkey', '-pubin', '-in', stored, '-noout']);
  const [key] = line.json('keys', 'list', '--json').keys as {
    keyId: string;
    apps: string[];
    powers: string[];
  }[];
  assert.deepEqual(key?.apps, ['sine', 'cosine']);
  assert.deepEqual(key?.powers, []);
  writeFileSync(stored, `powers: root\n${readFileSync(stored, 'utf8')}`);
  const [stronger] = line.json('keys', 'list', '--json').keys as { powers: string[] }[];
  assert.deepEqual(stronger?.powers, ['root']);
  assert.match(
    fails(line, 2, 'keys', 'add', 'alice.pub', '--name', 'again'),
    /it is already trusted, as 'alice'/,
  );
  assert.match(fails(line, 2, 'keys', 'add', 'alice.key'), /no public key/);
  line.file('typo.pub', `app: sine\n${readFileSync(join(line.cwd, 'alice.pub'), 'utf8')}`);
  assert.match(fails(line, 2, 'keys', 'add', 'typo.pub'), /expected one line 'apps: NAME, NAME'/);
  assert.match(fails(line, 2, 'keys', 'remove', key?.keyId.slice(0, 4) ?? ''), /there is no such key/);
  assert.match(
    ok(line, 'keys', 'remove', key?.keyId.slice(0, 12) ?? '', '--yes'),
    /unsigned tarballs are installed from now on/,
  );
  assert.equal(existsSync(stored), false);
});
