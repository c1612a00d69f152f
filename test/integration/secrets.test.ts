/** Where the secrets of a full run are: nowhere but in the files that are meant to hold them, and those are 0600. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { createGateway, FROM_SOURCE } from '../helpers/gateway.ts';
import { startPlatform } from '../helpers/platform.ts';
import { httpAnswer, startRawServer } from '../helpers/raw-server.ts';
import { installCommand, sendCommand } from '../helpers/reports.ts';
import { runGwe } from '../helpers/run-gwe.ts';
import { makeTarball } from '../helpers/tarball.ts';

/** Paths of regular files below `directory` that contain one of `secrets`, with their modes. */
function holders(directory: string, secrets: readonly string[]): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((path) => {
      const stat = lstatSync(join(directory, path));
      if (!stat.isFile()) return [];
      const text = readFileSync(join(directory, path), 'latin1');
      const isHolder = secrets.some((secret) => text.includes(secret));
      return isHolder ? [`${path} ${(stat.mode & 0o777).toString(8)}`] : [];
    });
}

/** Process titles and environments of all processes that show one of `secrets`, this one left out. */
function showing(secrets: readonly string[], files = ['cmdline', 'environ']): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const text = files.map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1')).join();
      return secrets.some((secret) => text.includes(secret));
    } catch {
      return false;
    }
  });
}

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-secrets-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Installs one that works, one that fails and one that is not there; both print all that they are told. */
const SCRIPT = (line: string) => ({
  'install.sh': `#!/bin/sh\nenv; set; cat /proc/$PPID/cmdline; ${line}\n`,
});
const COMMAND = installCommand('good.v1.tar.gz', 'bad.v1.tar.gz', 'none.v1.tar.gz');

/** A CONNECT proxy that takes every name for this machine; `heads` are the requests that it got. */
async function startProxy(port: number): Promise<{ port: number; heads: string[]; close(): void }> {
  const heads: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    client.once('data', (head) => {
      heads.push(head.toString('latin1'));
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      const onwards = net.connect(port, '127.0.0.1');
      for (const socket of [client, onwards]) sockets.add(socket.on('error', () => undefined));
      client.pipe(onwards).pipe(client);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    heads,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

test('the key, the admin token and the password of a proxy show up in no log, report, record, process title or readable file', async () => {
  let platformLog = '';
  const platform = await startPlatform({
    adminToken: 'token-that-nobody-may-see-4711',
    tls: true,
    names: ['platform.test'],
    log: createLogger({
      level: 'debug',
      format: 'text',
      clock: createSystemClock(),
      write: (line) => {
        platformLog += line;
      },
    }),
  });
  const proxy = await startProxy(Number(new URL(platform.url).port));
  const login = 'joe:p%40ss-word-nobody-may-see';
  const env = { HTTPS_PROXY: `http://${login}@127.0.0.1:${proxy.port}` };
  const gateway = await createGateway(
    { ...platform, url: 'https://platform.test' },
    {
      env,
      settings: { ca_file: platform.caFile ?? '', debug_level: 'DEBUG', metrics_file: '/metrics.prom' },
    },
  );
  try {
    await platform.putContent('p1', 'good.v1.tar.gz', makeTarball(SCRIPT('exit 0')));
    await platform.putContent('p1', 'bad.v1.tar.gz', makeTarball(SCRIPT('exit 3')));
    gateway.start();
    const reports = await sendCommand(platform, gateway, COMMAND, 3);
    assert.match(String(reports[0]?.info), new RegExp(`HTTPS_PROXY='?http://127.0.0.1:${proxy.port}`));
    const cik = /^cik *= *([0-9a-f]{40})$/m.exec(
      readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'),
    )?.[1];
    assert.ok(cik !== undefined, 'the gateway has a key');
    const basic = Buffer.from('joe:p@ss-word-nobody-may-see').toString('base64');
    assert.match(proxy.heads[0] ?? '', new RegExp(`^proxy-authorization: Basic ${basic}`, 'im'));
    const passwords = ['p%40ss-word', 'p@ss-word', basic];
    const secrets = [cik, platform.token];
    assert.deepEqual(showing(secrets), []);
    assert.deepEqual(showing(passwords, ['cmdline']), []);
    secrets.push(...passwords);
    // A fault of the line, and one of the key: both are told, neither with the key.
    await platform.disableDevice('p1', 'gw-1');
    let told = '';
    for (const words of [
      'status',
      'history',
      'report',
      'traffic',
      'logs good',
      'doctor --json',
      'plan good.v1.tar.gz',
      '-e',
    ]) {
      const command = [...FROM_SOURCE, ...words.split(' ')];
      const { stdout, stderr } = await runGwe(command, {
        ...env,
        GWE_ROOT: gateway.root,
        HOME: gateway.root,
      });
      told += stdout + stderr;
    }
    assert.match(told, /by HTTPS_PROXY/, 'the doctor names the proxy');
    assert.match(told, /engine_report|"apps"|device_info/, 'there is a report');
    await gateway.stop();
    for (const secret of secrets) {
      assert.ok(!gateway.log().includes(secret), 'in the log');
      assert.ok(!JSON.stringify(reports).includes(secret), 'in a report');
      assert.ok(!told.includes(secret), 'in what a command prints');
      assert.ok(!platformLog.includes(secret), "in the platform's log");
    }
    assert.notEqual(platformLog, '');
    assert.deepEqual(holders(gateway.root, secrets), [
      'etc/gwe/Gateway.cfg 600',
      'etc/gwe/Gateway.cfg.copy 600',
    ]);
    const open = holders(platform.directory, secrets).filter((found) => !found.endsWith(' 600'));
    assert.deepEqual(open, [], 'on the platform');
  } finally {
    await gateway.remove();
    proxy.close();
    await platform.close();
  }
});

test('signing shows neither the private key nor its passphrase, and writes them nowhere else', async (t) => {
  const directory = scratch(t);
  const at = (name: string): string => join(directory, name);
  const passphrase = 'passphrase that nobody may see';
  writeFileSync(at('pass'), `${passphrase}\n`, { mode: 0o600 });
  writeFileSync(at('wrong'), 'another passphrase\n', { mode: 0o600 });
  let told = '';
  /** In the scratch directory, with its temporary files there too. */
  const gwe = async (...args: string[]): Promise<number | null> => {
    const paths = args.map((word) => (/^(p|w|alice|plain|app)/.test(word) ? at(word) : word));
    const env = { GWE_ROOT: at('root'), HOME: directory, TMPDIR: directory };
    const { status, stdout, stderr } = await runGwe([...FROM_SOURCE, ...paths], env);
    told += stdout + stderr;
    return status;
  };
  writeFileSync(at('app.v1.tar.gz'), makeTarball(SCRIPT('exit 0')));
  assert.equal(await gwe('keygen', '--out', 'alice', '--passphrase-file', 'pass'), 0);
  assert.equal(await gwe('keygen', '--out', 'plain'), 0);
  assert.equal(statSync(at('alice.key')).mode & 0o777, 0o600);
  assert.equal(statSync(at('plain.key')).mode & 0o777, 0o600);
  const sign = ['sign', 'app.v1.tar.gz', '--key'];
  assert.equal(await gwe(...sign, 'alice.key', '--passphrase-file', 'pass'), 0);
  assert.equal(await gwe(...sign, 'plain.key'), 0);
  // What goes wrong is told without what it was tried with.
  assert.equal(await gwe(...sign, 'alice.key', '--passphrase-file', 'wrong'), 2);
  assert.equal(await gwe(...sign, 'alice.key'), 2);
  const body = readFileSync(at('plain.key'), 'utf8').split('\n')[1] ?? '';
  writeFileSync(at('alice.damaged'), `-----BEGIN PRIVATE KEY-----\n${body.slice(0, -8)}\n`, { mode: 0o600 });
  assert.equal(await gwe(...sign, 'alice.damaged'), 2);
  assert.notEqual(await gwe('keys', 'add', 'plain.key'), 0, 'a private key cannot be a trusted key');
  assert.equal(await gwe('verify', 'app.v1.tar.gz', '--keys', 'alice.pub', '--json'), 0);
  const sealed = readFileSync(at('alice.key'), 'utf8').split('\n')[2] ?? '';
  const secrets = [passphrase, 'another passphrase', body.slice(0, 40), sealed];
  for (const secret of secrets) assert.ok(secret.length > 15 && !told.includes(secret), 'in what is printed');
  assert.deepEqual(holders(directory, secrets), [
    'alice.damaged 600',
    'alice.key 600',
    'pass 600',
    'plain.key 600',
    'wrong 600',
  ]);
});

test('a program that signs gets no secret of gwe in its environment or title, and one that fails is not quoted', async (t) => {
  const directory = scratch(t);
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('app.v1.tar.gz'), makeTarball(SCRIPT('exit 0')));
  writeFileSync(at('hsm'), '#!/bin/sh\necho PIN-of-the-hsm >&2\necho PIN-of-the-hsm\nexit 3\n');
  chmodSync(at('hsm'), 0o755);
  const env = { GWE_ROOT: at('root'), HOME: directory };
  await runGwe([...FROM_SOURCE, 'keygen', '--out', at('k')], env);
  const line = ['sign', at('app.v1.tar.gz'), '--key', at('k.pub'), '--sign-cmd', at('hsm')];
  const { status, stdout, stderr } = await runGwe([...FROM_SOURCE, ...line], env);
  assert.equal(status, 1);
  assert.match(stderr, /--sign-cmd ended with exit status 3/);
  assert.doesNotMatch(stdout, /PIN/);
});

test('a configuration or an answer that is wrong is not quoted where it holds a key', async (t) => {
  const directory = scratch(t);
  const key = 'f00dfeed'.repeat(5);
  const server = await startRawServer((socket, request) => {
    // A key, and more than one: gwe must not print what it cannot use.
    if (request.head.includes('/activate')) socket.end(httpAnswer('200 OK', `${key} ${key}`));
    else socket.end(httpAnswer('401 Unauthorized', `wrong key ${key}`));
  });
  t.after(() => server.close());
  const env = { GWE_ROOT: directory, HOME: directory };
  const set = ['-P', 'p', '-u', '1', '--set-platform-url', server.url];
  await runGwe([...FROM_SOURCE, ...set], env);
  let told = '';
  const tell = async (...args: string[]): Promise<void> => {
    const { stdout, stderr } = await runGwe([...FROM_SOURCE, ...args], env);
    told += stdout + stderr;
  };
  const config = join(directory, 'etc/gwe/Gateway.cfg');
  const text = readFileSync(config, 'utf8');
  await tell('--once');
  assert.match(told, /expected a key of 40 letters and digits/);
  for (const line of [
    `cik = ${key}`,
    `cik = ${key}${key}`,
    `cik = '${key}' x`,
    `${key}`,
    `cik ${key}`,
    `[${key}`,
  ]) {
    writeFileSync(config, text.replace(/^cik.*$/m, line), { mode: 0o600 });
    await tell('--once');
  }
  await tell('doctor');
  assert.ok(
    !told.includes(key),
    told.split('\n').find((line) => line.includes(key)),
  );
});

test('a URL with a password in it is refused without being shown', async (t) => {
  const directory = scratch(t);
  const env = { GWE_ROOT: directory, HOME: directory };
  const url = (where: string): string => `https://joe:secret-word@${where}`;
  let told = '';
  const tell = async (...args: string[]): Promise<number | null> => {
    const { status, stdout, stderr } = await runGwe([...FROM_SOURCE, ...args], env);
    told += stdout.replaceAll(/^.*_url = .*$/gm, '') + stderr;
    return status;
  };
  await tell('-P', 'p', '-u', '1', '--set', `platform_url=${url('127.0.0.1:1')}`);
  await tell('--set', `release_url=${url('127.0.0.1:1')}`);
  assert.equal(await tell('--download-latest', 'area'), 1);
  assert.match(told, /cannot use release_url: it holds a user name/);
  assert.equal(await tell('--once'), 1);
  await tell('doctor');
  assert.match(told, /cannot use platform URL .* it holds a user name/);
  assert.ok(
    !told.includes('secret-word'),
    told.split('\n').find((line) => line.includes('secret-word')),
  );
});
