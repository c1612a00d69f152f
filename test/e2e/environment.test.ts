/** What the environment says to Node changes nothing in the executable. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { foreignVariables, inertVariables } from '../../src/base/scrub.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-environment-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const version = (env: NodeJS.ProcessEnv) =>
  spawnSync(EXECUTABLE, ['--version'], { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8' });

test('NODE_OPTIONS cannot make gwe run a file, and nonsense in it does no harm', (t) => {
  const directory = scratch(t);
  const [preload, proof] = [join(directory, 'preload.cjs'), join(directory, 'proof')];
  writeFileSync(preload, `require('node:fs').writeFileSync(${JSON.stringify(proof)}, '')`);
  const plain = version({});
  assert.equal(plain.status, 0);
  // The preload itself works: otherwise its absence below would prove nothing.
  spawnSync(process.execPath, ['-e', '0'], { env: { NODE_OPTIONS: `--require ${preload}` } });
  assert.ok(existsSync(proof));
  rmSync(proof);
  for (const options of [`--require ${preload}`, `--import ${preload}`, '--no-such-option']) {
    const { status, stdout, stderr } = version({ NODE_OPTIONS: options });
    assert.deepEqual([status, stdout, stderr], [0, plain.stdout, ''], options);
    assert.ok(!existsSync(proof), options);
  }
});

test('no variable of the runtime changes what gwe says', (t) => {
  const directory = scratch(t);
  const plain = version({});
  for (const [name, value] of Object.entries({
    NODE_EXTRA_CA_CERTS: join(directory, 'none'),
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_DEBUG: 'http,net,tls,fs,module',
    NODE_DEBUG_NATIVE: 'http',
    NODE_PATH: directory,
    NODE_REDIRECT_WARNINGS: join(directory, 'warnings'),
    OPENSSL_CONF: join(directory, 'none'),
    SSL_CERT_FILE: join(directory, 'none'),
  })) {
    const { status, stdout, stderr } = version({ [name]: value });
    assert.deepEqual([status, stdout, stderr], [0, plain.stdout, ''], name);
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('a gwe that goes on has none of these variables, and still is the process that was started', async (t) => {
  const root = scratch(t);
  const held = createServer(() => undefined);
  await new Promise<void>((resolve) => held.listen(0, '127.0.0.1', resolve));
  t.after(() => held.close());
  const address = held.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const line = ['--root', root, '--set-platform-url', `http://127.0.0.1:${port}`];
  spawnSync(EXECUTABLE, [...line, '--set-product-id', 'p', '--set-uuid', '1'], { env: {} });
  const child = spawn(EXECUTABLE, ['--root', root], {
    env: { NODE_DEBUG: 'http,net', NODE_OPTIONS: '--no-such-option', KEPT: 'yes' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  await new Promise((resolve) => held.once('connection', resolve));
  const environment = readFileSync(`/proc/${child.pid}/environ`, 'utf8').split('\0');
  assert.ok(environment.includes('KEPT=yes'));
  assert.deepEqual(
    environment.filter((pair) => /^NODE_/.test(pair)),
    [],
  );
  assert.doesNotMatch(told, /^(HTTP|NET) \d+:/m, 'NODE_DEBUG would show keys');
  const status = new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])));
  child.kill('SIGTERM');
  assert.deepEqual(await status, [0, null], 'signals reach it');
});

test('only what the runtime heeds is looked for, and an empty value says nothing', () => {
  const env = { NODE_ENV: 'production', NODE_OPTIONS: '', NODE_DEBUG: 'x', PATH: '/bin' };
  assert.deepEqual(foreignVariables(env), ['NODE_DEBUG']);
});

test('certificates of the environment are left to commands that speak to nobody', () => {
  const env = { NODE_EXTRA_CA_CERTS: '/a', SSL_CERT_FILE: '/b', NODE_DEBUG: 'net' };
  const both = ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'];
  assert.deepEqual(inertVariables(env, ['--version']), both);
  for (const args of [[], ['--once'], ['--version', '--once'], ['plan', '-h'], ['install']])
    assert.deepEqual(inertVariables(env, args), ['SSL_CERT_FILE'], args.join(' '));
});

test('a platform goes on with what keeps its memory small, and still is the process that was started', async (t) => {
  const directory = scratch(t);
  const args = ['platform', 'serve', '--data', join(directory, 'platform'), '--listen', '127.0.0.1:0'];
  const child = spawn(EXECUTABLE, args, {
    env: { HOME: directory, KEPT: 'yes' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  try {
    const [line] = await once(child.stdout, 'data');
    assert.match(String(line), /^listening on /);
    const env = readFileSync(`/proc/${child.pid}/environ`, 'utf8').split('\0');
    for (const entry of ['MALLOC_MMAP_THRESHOLD_=65536', 'MALLOC_TOP_PAD_=0', 'KEPT=yes'])
      assert.ok(env.includes(entry), `${entry} in ${env}`);
  } finally {
    // It is still writing where it can be found, into what is removed next.
    child.kill('SIGKILL');
    await ended;
  }
});
