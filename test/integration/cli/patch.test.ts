/** `gwe patch` and `--patch-from` as a developer types them. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createCommandLine } from '../../helpers/command-line.ts';
import { makeIndexed, sha256 } from '../../helpers/indexed.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

/** About 0.6 MB of lines, of which one in 50 is another. */
const LINES = Array.from({ length: 15_000 }, (_, at) => `${sha256(String(at)).slice(0, 20)} is line ${at}\n`);
const OLD = { 'install.sh': INSTALL_OK, 'data.txt': LINES.join('') };
const CHANGED = LINES.map((line, at) => (at % 50 === 0 ? line.toUpperCase() : line)).join('');
const NEW = { 'install.sh': INSTALL_OK, 'data.txt': CHANGED };

type Line = ReturnType<typeof createCommandLine>;

async function commandLine(t: TestContext): Promise<Line> {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('app.v1.tar.gz', await makeIndexed({ name: 'app', version: '1' }, OLD));
  line.file('app.v2.tar.gz', await makeIndexed({ name: 'app', version: '2' }, NEW));
  return line;
}

const patches = (line: Line): string[] => readdirSync(line.cwd).filter((name) => name.endsWith('.patch'));

test('it says what it takes before it begins, then the three sizes, and writes a file of the name that gateways look for', async (t) => {
  const line = await commandLine(t);
  const { status, stdout, stderr } = line.gwe('patch', 'app.v1.tar.gz', 'app.v2.tar.gz');
  assert.equal(status, 0, stderr);
  assert.match(
    stderr,
    /^[\d.]+ KB of new content against [\d.]+ KB of app\.v1\.tar\.gz: takes about \d+ MB of memory and up to \d+ s$/m,
  );
  const sizes = /^full +(\d+) bytes\nchunked +(\d+) bytes\npatched +(\d+) bytes\nwrote (.*)\n$/.exec(stdout);
  assert.ok(sizes !== null, stdout);
  const [full, chunked, patched] = sizes.slice(1, 4).map(Number);
  assert.equal(full, statSync(join(line.cwd, 'app.v2.tar.gz')).size);
  assert.ok(chunked !== undefined && patched !== undefined && patched < chunked / 10, stdout);
  const [file = ''] = patches(line);
  assert.match(file, /^app\.v2\.[0-9a-f]{8}-[0-9a-f]{8}\.patch$/);
  assert.equal(sizes[4], join(line.cwd, file));
  assert.equal(
    readdirSync(line.cwd).some((name) => name.startsWith('.gwe-tmp')),
    false,
  );
});

test('-o puts it elsewhere, and nothing is written that saves nothing', async (t) => {
  const line = await commandLine(t);
  assert.equal(line.gwe('patch', 'app.v1.tar.gz', 'app.v2.tar.gz', '-o', 'here').status, 0);
  assert.ok(existsSync(join(line.cwd, 'here')));
  const { status, stdout } = line.gwe('patch', 'app.v1.tar.gz', 'app.v1.tar.gz');
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^no patch written: it would save \d+ bytes over chunks, and requesting it costs 2048$/m,
  );
  assert.deepEqual(patches(line), []);
});

test('tarballs that no patch can be made of are refused, with what to do', async (t) => {
  const line = await commandLine(t);
  line.file('app.v3.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  line.file('other.v1.tar.gz', await makeIndexed({ name: 'other', version: '1' }, OLD));
  const packed = line.gwe('patch', 'app.v3.tar.gz', 'app.v2.tar.gz');
  assert.equal(packed.status, 1);
  assert.match(
    packed.stderr,
    /'app\.v3\.tar\.gz', which has no manifest, .*gwe --build-app, or have gwe sign/s,
  );
  assert.match(
    line.gwe('patch', 'other.v1.tar.gz', 'app.v2.tar.gz').stderr,
    /an old version of 'other', expected one of 'app'/,
  );
  assert.equal(line.gwe('patch', 'missing', 'app.v2.tar.gz').status, 1);
});

test('--patch-from makes one for each older version, and stdout stays the path of the tarball', async (t) => {
  const line = await commandLine(t);
  writeFileSync(join(line.cwd, 'install.sh'), INSTALL_OK);
  chmodSync(join(line.cwd, 'install.sh'), 0o755);
  writeFileSync(join(line.cwd, 'data.txt'), CHANGED);
  line.file(
    'app.v0.tar.gz',
    await makeIndexed({ name: 'app', version: '0' }, { ...OLD, 'data.txt': LINES.slice(1).join('') }),
  );
  const words = ['-y', '-n', 'app', '-s', '3', '--patch-from', 'app.v1.tar.gz', 'app.v0.tar.gz'];
  const { status, stdout, stderr } = line.gwe(...words);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `${join(line.cwd, 'app.v3.tar.gz')}\n`);
  assert.equal(patches(line).length, 2, stderr);
  assert.equal(stderr.match(/^patched +\d+ bytes$/gm)?.length, 2);
});

test('content put takes the patches along that lead to the tarball, and no others', async (t) => {
  const line = await commandLine(t);
  line.gwe('patch', 'app.v1.tar.gz', 'app.v2.tar.gz');
  const [patch = ''] = patches(line);
  line.file('app.v2.00000000-11111111.patch', 'not of it');
  const platform = await startPlatform();
  t.after(() => platform.close());
  writeFileSync(join(line.cwd, 'token'), platform.token);
  const env = { GWE_PLATFORM_URL: platform.url, GWE_PLATFORM_TOKEN_FILE: join(line.cwd, 'token') };
  const put = (file: string, ...more: string[]) =>
    runPlatformCli(['platform', 'content', 'put', 'P', join(line.cwd, file), ...more], { env });
  const { stdout } = await put('app.v2.tar.gz', '--create');
  assert.match(stdout, new RegExp(`^${patch} of P: a patch to it\napp\\.v2\\.tar\\.gz of P: \\d+ bytes`));
  assert.deepEqual(JSON.parse((await put('app.v2.tar.gz', '--json')).stdout).patches, [patch]);
  assert.deepEqual(JSON.parse((await put('app.v1.tar.gz', '--json')).stdout).patches, []);
});
