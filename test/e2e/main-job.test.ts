/** The main job on real parts: the executable as agent and as platform, TLS between them, a real supervisord. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeCertificates } from '../helpers/certificates.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { layOut, type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const PRODUCT = 'e2e-product';
const SERIAL = 'FF:10:C2:9B:A8:46';

interface World {
  home: string;
  root: string;
  caFile: string;
  platform: ChildProcess;
  url: string;
  supervisord: Supervisord;
}

function runGwe(home: string, env: Record<string, string>, args: readonly string[]) {
  const all = { PATH: process.env.PATH ?? '', HOME: home, ...env };
  return spawnSync(EXECUTABLE, args, { cwd: home, env: all, encoding: 'utf8', timeout: 90_000 });
}

async function startExecutablePlatform(
  home: string,
  listen: string,
): Promise<{ platform: ChildProcess; url: string }> {
  const tls = ['--tls-cert', join(home, 'server.pem'), '--tls-key', join(home, 'server.key')];
  const args = ['platform', 'serve', '--data', join(home, 'platform'), '--listen', listen, ...tls];
  const platform = spawn(EXECUTABLE, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  platform.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  await until(() => /^listening on \S+\n$/.test(printed));
  return { platform, url: printed.trim().replace('listening on ', '') };
}

function operate({ home, url, caFile }: Pick<World, 'home' | 'url' | 'caFile'>, args: string[]): string {
  const env = {
    GWE_PLATFORM_URL: url,
    GWE_PLATFORM_TOKEN_FILE: join(home, 'platform/admin-token'),
    GWE_PLATFORM_CA_FILE: caFile,
  };
  const result = runGwe(home, env, ['platform', ...args]);
  assert.equal(result.status, 0, `gwe platform ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

describe('dist/gwe against its own platform and a real supervisord', () => {
  let world: World;
  const operator = (...args: string[]): string => operate(world, args);
  const read = (alias: string): string => {
    const result = JSON.parse(operator('read', PRODUCT, SERIAL, alias, '--json')) as { value: string | null };
    return result.value ?? '';
  };
  const release = (version: string, command: string): void => {
    const directory = mkdtempSync(join(world.home, 'app-'));
    writeFileSync(join(directory, 'install.sh'), '#!/bin/sh\necho "install of $GWE_APP_VERSION"\n', {
      mode: 0o755,
    });
    writeFileSync(
      join(directory, 'supervisor.conf'),
      `[supervisord]\ncommand = ${command}\nstartretries = 1\n`,
    );
    writeFileSync(
      join(directory, 'app.json'),
      JSON.stringify({ name: 'sine', version, includes: ['install.sh', 'supervisor.conf'] }),
    );
    const built = spawnSync(EXECUTABLE, ['--build-app', 'app.json'], { cwd: directory, encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    assert.equal(
      built.stdout,
      `${join(directory, `sine.v${version}.tar.gz`)}\n`,
      'stdout holds the path alone',
    );
    operator('content', 'put', PRODUCT, built.stdout.trim());
    operator('write', PRODUCT, SERIAL, 'engine_fetch', `{"install": [{"name": "sine.v${version}.tar.gz"}]}`);
  };
  const statusOf = async (version: string): Promise<Record<string, unknown>> => {
    const parse = () => JSON.parse(read('fetch_status') || '{}') as Record<string, unknown>;
    await until(() => parse().version === version);
    return parse();
  };

  before(async () => {
    const home = mkdtempSync(join(tmpdir(), 'gwe-e2e-'));
    const root = join(home, 'gw');
    const certificates = makeCertificates(home);
    writeFileSync(join(home, 'server.pem'), certificates.serverCert);
    writeFileSync(join(home, 'server.key'), certificates.serverKey, { mode: 0o600 });
    const { platform, url } = await startExecutablePlatform(home, '127.0.0.1:0');
    const set = ['--root', root, '-P', PRODUCT, '-u', SERIAL, '-t', '1', '--set-platform-url', url];
    const configured = runGwe(home, {}, [
      ...set,
      '--set-ca-file',
      certificates.caFile,
      '--set',
      'settle_time=1',
    ]);
    assert.equal(configured.status, 0, configured.stderr);
    const { confDirectory } = layOut(root);
    writeFileSync(
      join(confDirectory, 'gwe.conf'),
      `[program:gwe]\ncommand = ${EXECUTABLE} --root ${root}\nstartretries = 1000000\nredirect_stderr = true\nstdout_logfile = ${root}/var/log/gwe.log\n`,
    );
    const { caFile } = certificates;
    // Before gwe asks for a key: refused one, it would ask again a minute later.
    operate({ home, url, caFile }, ['device', 'add', PRODUCT, SERIAL]);
    world = { home, root, caFile, platform, url, supervisord: await startSupervisord(root) };
  });
  after(async () => {
    await world.supervisord.stop();
    world.platform.kill('SIGTERM');
    rmSync(world.home, { recursive: true, force: true });
  });

  test('the gateway activates with a private CA and sends its reports', async () => {
    await until(() => read('device_info') !== '');
    const { stdout } = runGwe(world.home, {}, ['--root', world.root, '-C']);
    assert.match(stdout, /^[0-9A-Za-z]{40}\n$/);
    assert.equal(statSync(join(world.root, 'etc/gwe/Gateway.cfg')).mode & 0o777, 0o600);
    assert.deepEqual(Object.keys(JSON.parse(read('device_info')) as object).slice(0, 4), [
      'df',
      'uname',
      'free',
      'ipaddrs',
    ]);
    assert.match(read('engine_report'), /"gwe":\{"version":"/);
    assert.match(read('usage_report'), /"top_consumer":"gwe"/);
  });

  test('a command brings an app to RUNNING, clears the alias and reports', async () => {
    release('1', 'sleep 1000');
    const status = await statusOf('1');
    assert.equal(status.outcome, 'installed', JSON.stringify(status));
    assert.match(String(status.info), /install of 1/);
    assert.equal((await world.supervisord.processInfo('sine'))?.statename, 'RUNNING');
    assert.equal(read('engine_fetch'), '');
  });

  test('the platform may be killed in the middle: the next version arrives after it is back', async () => {
    world.platform.kill('SIGKILL');
    await until(() => world.platform.signalCode === 'SIGKILL');
    Object.assign(world, await startExecutablePlatform(world.home, new URL(world.url).host));
    release('2', 'sleep 2000');
    const status = await statusOf('2');
    assert.equal(status.outcome, 'installed', JSON.stringify(status));
    assert.match(
      readdirSync(join(world.root, 'opt/gwe/apps/sine')).join(' '),
      /1-[0-9a-f]{8} 2-[0-9a-f]{8} current/,
    );
  });

  test('gwe may be killed in the middle of an update: supervisord starts it again and it goes on', async () => {
    const before = (await world.supervisord.processInfo('gwe'))?.pid ?? 0;
    release('3', 'sleep 3000');
    await until(
      () => existsSync(join(world.root, 'var/lib/gwe/journal.json')) && read('engine_fetch') === '',
    );
    process.kill(before, 'SIGKILL');
    const status = await statusOf('3');
    assert.equal(status.outcome, 'installed', JSON.stringify(status));
    assert.notEqual((await world.supervisord.processInfo('gwe'))?.pid, before);
    assert.equal((await world.supervisord.processInfo('sine'))?.statename, 'RUNNING');
  });

  test('a version that dies at its start is rolled back, and the key stands in no log', async () => {
    release('4', '/bin/false');
    const status = await statusOf('4');
    assert.equal(status.outcome, 'rolled-back', JSON.stringify(status));
    assert.equal(status.active, '3');
    assert.equal((await world.supervisord.processInfo('sine'))?.statename, 'RUNNING');
    const key = runGwe(world.home, {}, ['--root', world.root, '-C']).stdout.trim();
    const log = readFileSync(join(world.root, 'var/log/gwe.log'), 'utf8');
    assert.ok(log.length > 0 && !log.includes(key), 'the key is not in the log');
  });
});
