/** gwe updates itself under the launcher and a real supervisord; what cannot do the job never stays. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { generateKey } from '../../src/artifact/manifest/signature.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { fetchReports, installCommand } from '../helpers/reports.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const INSTALL = '#!/bin/sh\nset -e\nchmod 755 gwe\n';

/** A port that was free a moment ago, for a platform that goes away and comes back. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('gwe as a service', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  let port: number;
  let platformDirectory: string;
  /** The version that was installed as a service. */
  let first = '';

  /** The tarball of a gwe whose executable is a copy of `executable`. */
  const pack = (version: string, executable: string, install = INSTALL): Buffer => {
    const directory = mkdtempSync(join(gateway.root, 'pack-'));
    copyFileSync(executable, join(directory, 'gwe'));
    writeFileSync(join(directory, 'install.sh'), install, { mode: 0o755 });
    writeFileSync(
      join(directory, 'b.json'),
      JSON.stringify({ name: 'gwe', version, includes: ['gwe', 'install.sh'] }),
    );
    const built = spawnSync(EXECUTABLE, ['--build-app', 'b.json'], { cwd: directory, encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    return readFileSync(built.stdout.trim());
  };
  const current = (): string => readlinkSync(join(gateway.root, 'opt/gwe/apps/gwe/current'));
  /** The report on this version: one on a rollback by hand may come before it. */
  const command = async (version: string): Promise<Record<string, unknown>> => {
    const before = (await fetchReports(platform, gateway)).length;
    await platform.write('p1', 'gw-1', 'engine_fetch', installCommand(`gwe.v${version}.tar.gz`));
    let report: Record<string, unknown> | undefined;
    await until(async () => {
      const reports = (await fetchReports(platform, gateway)).slice(before);
      report = reports.find((each) => each.version === version);
      return report !== undefined;
    });
    return report ?? {};
  };

  before(async () => {
    port = await freePort();
    platform = await startPlatform({ port });
    platformDirectory = mkdtempSync('/tmp/gwe-self-');
    await platform.close();
    platform = await startPlatform({ port, dir: platformDirectory });
    gateway = await createGateway(platform, {
      command: [EXECUTABLE],
      settings: { self_update_deadline: 5, http_timeout: 2 },
    });
    supervisord = await startSupervisord(gateway.root);
    const installed = gateway.gwe('service', 'install');
    assert.equal(installed.status, 0, installed.stderr);
    await until(async () => (await supervisord.processInfo('gwe'))?.statename === 'RUNNING');
    await until(async () => (await platform.read('p1', 'gw-1', 'engine_report')) !== undefined);
  });
  after(async () => {
    await supervisord.stop();
    await gateway.remove();
    await platform.close();
  });

  const row = (): Record<string, unknown> => {
    const { apps } = JSON.parse(gateway.gwe('list', '--json').stdout) as { apps: Record<string, unknown>[] };
    return apps.find(({ app }) => app === 'gwe') ?? {};
  };

  test('from its first installation on it is listed, has a log, and can be restarted', async () => {
    const { appVersion, state, pid, previous, digest } = row();
    first = String(appVersion);
    assert.deepEqual(
      [appVersion, state, previous],
      [gateway.gwe('--version').stdout.trim(), 'RUNNING', null],
    );
    assert.equal(current(), `${appVersion}-${String(digest).slice(0, 8)}`);
    assert.match(gateway.gwe('logs', 'gwe').stdout, /agent\.start/);
    const restarted = gateway.gwe('restart', 'gwe', '--json');
    assert.equal(restarted.status, 0, restarted.stderr);
    assert.notEqual((JSON.parse(restarted.stdout) as { pid: number }).pid, pid);
    assert.equal(gateway.gwe('stop', 'gwe').status, 0);
    assert.deepEqual([row().state, row().pid], ['STOPPED', null]);
    assert.equal(gateway.gwe('start', 'gwe').stdout, 'gwe: RUNNING\n');
    assert.match(gateway.gwe('rollback', 'gwe').stderr, /no earlier version of it/);
  });

  test('a new gwe is tried beside the old one, restarted into, and accepted at its first check-in', async () => {
    const pid = (await supervisord.processInfo('gwe'))?.pid;
    await platform.putContent('p1', 'gwe.v9.0.0.tar.gz', pack('9.0.0', EXECUTABLE));
    const report = await command('9.0.0');
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.match(current(), /^9\.0\.0-[0-9a-f]{8}$/);
    assert.notEqual((await supervisord.processInfo('gwe'))?.pid, pid, 'it is another process');
    assert.equal(readFileSync(join(gateway.root, 'var/lib/gwe/confirmed'), 'utf8').trim(), current());
  });

  test('a person goes back to the gwe before, which was never a tarball, and forth again', async () => {
    for (const [version, before] of [
      [first, '9.0.0'],
      ['9.0.0', first],
    ]) {
      assert.deepEqual([row().appVersion, row().previous], [before, version]);
      // The platform lives in this process, and the version that is gone back to asks it something first.
      await promisify(execFile)(EXECUTABLE, ['rollback', 'gwe'], {
        env: { ...process.env, GWE_ROOT: gateway.root },
      });
      await until(
        () => readFileSync(join(gateway.root, 'var/lib/gwe/confirmed'), 'utf8').trim() === current(),
        60_000,
      );
      await until(() => row().appVersion === version && row().state === 'RUNNING', 60_000);
      assert.equal(current().replace(/-[^-]*$/, ''), version);
    }
  });

  test('an executable that does not run is refused before anything is switched', async () => {
    const before = current();
    const pid = (await supervisord.processInfo('gwe'))?.pid;
    await platform.putContent('p1', 'gwe.v9.0.1.tar.gz', pack('9.0.1', '/bin/false'));
    const report = await command('9.0.1');
    assert.equal(report.outcome, 'failed-no-change', JSON.stringify(report));
    assert.match(String(report.reason), /exited with status 1/);
    assert.equal(current(), before);
    assert.equal((await supervisord.processInfo('gwe'))?.pid, pid, 'the running gwe went on');
  });

  test('with a key, a gwe that is not signed is refused, and nothing of it is run', async () => {
    const before = current();
    const trace = join(gateway.root, 'trace');
    const strange = join(gateway.root, 'strange');
    writeFileSync(strange, `#!/bin/sh\ntouch ${trace}\nexec ${EXECUTABLE} "$@"\n`, { mode: 0o755 });
    const key = join(gateway.root, 'alice.pub');
    writeFileSync(key, generateKey().publicKey);
    assert.equal(gateway.gwe('keys', 'add', key).status, 0);
    try {
      await platform.putContent('p1', 'gwe.v9.0.3.tar.gz', pack('9.0.3', strange));
      const report = await command('9.0.3');
      assert.deepEqual(
        [report.outcome, report.code],
        ['rejected', 'ARTIFACT_UNTRUSTED'],
        JSON.stringify(report),
      );
    } finally {
      assert.equal(gateway.gwe('keys', 'remove', 'alice', '--yes').status, 0);
    }
    assert.ok(!existsSync(trace), 'not even its canary');
    assert.equal(current(), before);
  });

  test('a gwe that comes to no check-in in three starts is taken back, and the report says so', async () => {
    const before = current();
    // install.sh runs after the canary and before the switch: while it waits, the platform goes away.
    const [asked, go] = [join(gateway.root, 'asked'), join(gateway.root, 'go')];
    const install = `${INSTALL}touch ${asked}\nwhile [ ! -e ${go} ]; do sleep 0.1; done\n`;
    await platform.putContent('p1', 'gwe.v9.0.2.tar.gz', pack('9.0.2', EXECUTABLE, install));
    await platform.write('p1', 'gw-1', 'engine_fetch', '{"install":[{"name":"gwe.v9.0.2.tar.gz"}]}');
    await until(() => existsSync(asked));
    await platform.close();
    writeFileSync(go, '');
    await until(() => current().startsWith('9.0.2-'));
    await until(() => current() === before);
    platform = await startPlatform({ port, dir: platformDirectory });
    let report: Record<string, unknown> = {};
    await until(async () => {
      report = JSON.parse((await platform.read('p1', 'gw-1', 'fetch_status')) ?? '{}') as Record<
        string,
        unknown
      >;
      return report.version === '9.0.2';
    });
    assert.equal(report.outcome, 'rolled-back', JSON.stringify(report));
    assert.match(String(report.reason), /did not check in within 3 starts/);
  });
});
