import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';
import { until } from '../../helpers/until.ts';

const LOOP = "/bin/sh -c 'echo $GREETING; exec sleep 1000'";

function app(version: string): Buffer {
  return makeTarball({
    'install.sh': INSTALL_OK,
    'supervisor.conf': `[supervisord]\ncommand = ${LOOP}\nenvironment = GREETING="hello from ${version}"\nstartsecs = 0\n`,
  });
}

describe('the commands on a gateway whose agent runs', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  const json = (...args: string[]) => JSON.parse(gateway.gwe(...args, '--json').stdout);
  const tarball = (name: string, content: Buffer): string => {
    const path = join(gateway.root, name);
    writeFileSync(path, content);
    return path;
  };

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    gateway.gwe('-t', '3600');
    supervisord = await startSupervisord(gateway.root);
    gateway.start();
    // Not by asking gwe: that would stop the platform, which lives in this process.
    await until(() => gateway.log().includes('checkin.done'));
    const first = gateway.gwe(
      '-I',
      tarball('sine.v4.tar.gz', app('4')),
      tarball('tool.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK })),
    );
    assert.equal(first.status, 0, first.stdout + first.stderr);
    assert.equal(gateway.gwe('-I', tarball('sine.v5.tar.gz', app('5'))).status, 0);
  });
  after(async () => {
    await gateway?.remove();
    await supervisord?.stop();
    await platform?.close();
  });

  test('list shows version, state, uptime and the version before', () => {
    const { apps, version } = json('list');
    assert.equal(version, 1);
    assert.deepEqual(
      apps.map((each: Record<string, unknown>) => [each.app, each.appVersion, each.state, each.previous]),
      [
        ['sine', '5', 'RUNNING', '4'],
        ['tool', '1', 'ONE-OFF', null],
      ],
    );
    assert.ok(apps[0].pid > 0 && apps[0].uptimeSeconds >= 0 && apps[0].installedAt > 1.7e9);
    const { stdout } = gateway.gwe('list');
    assert.match(
      stdout,
      /^APP +VERSION +STATE +UPTIME +INSTALLED \(UTC\) +PREVIOUS\nsine +5 +RUNNING +\d+ s +20/,
    );
    assert.doesNotMatch(stdout, /\p{Cc}(?<!\n)/u, 'no colours in a pipe');
  });

  test('status tells of identity, check-ins, the last update, disk and traffic', () => {
    const status = json('status');
    assert.deepEqual(status.identity, { vendor: 'p1', model: 'p1', serial: 'gw-1', iface: '', hasKey: true });
    assert.ok(status.agent.pid > 0);
    const { checkIn } = status;
    assert.ok(checkIn.nextAt > checkIn.lastAt + 3000, JSON.stringify(checkIn));
    assert.equal(checkIn.intervalSeconds, 3600);
    const { app, appVersion, outcome } = status.update.last;
    assert.deepEqual([app, appVersion, outcome], ['sine', '5', 'installed']);
    assert.deepEqual(status.apps, { installed: 2, running: 1, notRunning: [] });
    assert.ok(status.disk.freeBytes > 0 && status.traffic.txBytes > 0 && status.traffic.rxBytes > 0);
    const { stdout } = gateway.gwe('status');
    const key =
      /cik = (\S+)/.exec(readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'))?.[1] ?? '?';
    assert.match(stdout, /^gateway +product p1, serial gw-1, activated, key \.\.\.\w{4}$/m);
    assert.ok(!stdout.includes(key), 'the key is a secret');
    assert.match(stdout, /^check-in .* ago\); next in (59|60) min \(interval 3600 s\)$/m);
    assert.match(stdout, /^apps +2 installed, 1 running$/m);
  });

  test('check-in makes the running agent check in at once, which sends the reports of local installs', async () => {
    assert.ok(json('status').reportsWaiting >= 3);
    assert.equal(json('check-in').pid, json('status').agent.pid);
    await until(() => json('status').reportsWaiting === 0);
    const reports = (await platform.history('p1', 'gw-1', 'fetch_status')).map(({ value }) =>
      JSON.parse(value),
    );
    assert.ok(reports.some((report) => report.name === 'sine' && report.outcome === 'installed'));
  });

  test('logs shows the last lines, and -f goes on across a rotation', async () => {
    await until(() => gateway.gwe('logs', 'sine', '-n', '1').stdout === 'hello from 5\n');
    const { file, lines } = json('logs', 'sine');
    assert.equal(file, join(gateway.root, 'var/log/sine.log'));
    assert.equal(lines.at(-1), 'hello from 5');
    const [program = '', ...first] = FROM_SOURCE;
    const env = { ...process.env, GWE_ROOT: gateway.root };
    const child = spawn(program, [...first, 'logs', 'sine', '-f', '-n', '0'], { env });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until(() => {
      appendFileSync(file, '.');
      return said.includes('.');
    });
    renameSync(file, `${file}.1`);
    writeFileSync(file, 'after the rotation\n');
    await until(() => said.includes('after the rotation\n'));
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGINT');
    assert.equal(await ended, 130);
  });

  test('stop, start and restart move the one program and say its state', async () => {
    const before = (await supervisord.processInfo('sine'))?.pid;
    assert.deepEqual(json('stop', 'sine'), { version: 1, app: 'sine', state: 'STOPPED', pid: null });
    assert.equal((await supervisord.processInfo('sine'))?.statename, 'STOPPED');
    assert.deepEqual(json('status').apps.notRunning, [{ app: 'sine', state: 'STOPPED' }]);
    const checked = gateway.gwe('status', '--check');
    assert.equal(checked.status, 4);
    assert.match(checked.stdout, /^program sine is STOPPED$/m);
    assert.equal(gateway.gwe('start', 'sine').stdout, 'sine: RUNNING\n');
    const started = (await supervisord.processInfo('sine'))?.pid;
    assert.notEqual(started, before);
    assert.equal(json('start', 'sine').pid, started, 'a running program is left alone');
    assert.notEqual(json('restart', 'sine').pid, started);
  });

  test('a one-off has nothing to start, and an unknown app is answered with the nearest', () => {
    const start = gateway.gwe('start', 'tool');
    assert.equal(start.status, 2);
    assert.match(start.stderr, /cannot start 'tool': it is a one-off/);
    const unknown = gateway.gwe('logs', 'sin');
    assert.equal(unknown.status, 2);
    assert.match(unknown.stderr, /no app 'sin' is installed: did you mean 'sine'\?/);
    for (const name of ['../etc', 'a b', '', '-']) assert.equal(gateway.gwe('remove', name).status, 2, name);
    assert.equal(gateway.gwe('remove', 'gwe', '--yes').status, 2);
  });

  test('rollback swaps the version with the one before, there and back, and is reported', async () => {
    const back = gateway.gwe('rollback', 'sine');
    assert.equal(back.status, 0, back.stdout + back.stderr);
    assert.equal(back.stdout, 'sine 4: active again (was 5)\n');
    assert.match(gateway.active('sine') ?? '', /^4-/);
    await until(() => gateway.gwe('logs', 'sine', '-n', '1').stdout === 'hello from 4\n');
    assert.deepEqual([json('list').apps[0].appVersion, json('list').apps[0].previous], ['4', '5']);
    const again = json('rollback', 'sine');
    assert.deepEqual(
      [again.outcome, again.appVersion, again.from, again.active],
      ['installed', '5', '4', '5'],
    );
    assert.equal((await supervisord.processInfo('sine'))?.statename, 'RUNNING');
    assert.equal(json('list').apps[0].previous, '4');
    const none = gateway.gwe('rollback', 'tool');
    assert.equal(none.status, 1);
    assert.match(none.stderr, /cannot roll back 'tool': this gateway has no earlier version/);
  });

  test('history holds every update in order, and can be asked about one app', () => {
    const all = json('history').updates;
    assert.deepEqual(
      all.map(
        (each: Record<string, unknown>) => `${each.app} ${each.from} ${each.appVersion} ${each.outcome}`,
      ),
      [
        'sine null 4 installed',
        'tool null 1 installed',
        'sine 4 5 installed',
        'sine 5 4 installed',
        'sine 4 5 installed',
      ],
    );
    assert.equal(json('history', 'tool').updates.length, 1);
    assert.equal(json('history', 'sine', '-n', '2').updates.length, 2);
    assert.match(
      gateway.gwe('history', 'sine').stdout,
      /^ENDED.*\n20.* sine +4 +installed .*\n20.* sine +4 -> 5 +installed /,
    );
    assert.equal(gateway.gwe('history', 'nobody').stdout, 'no updates of nobody yet\n');
    assert.equal(gateway.gwe('history', '-n', 'x').status, 2);
  });

  test('remove takes the app away and says what it leaves', async () => {
    const removed = gateway.gwe('remove', 'sine', '--yes');
    assert.equal(removed.status, 0, removed.stderr);
    assert.match(removed.stdout, /^removed program sine \(stopped\)\nremoved .*conf\.d\/sine\.conf\n/);
    assert.match(removed.stdout, /left as it is: whatever its install\.sh put elsewhere/);
    assert.equal(await supervisord.processInfo('sine'), undefined);
    assert.equal(existsSync(join(gateway.root, 'opt/gwe/apps/sine')), false);
    assert.deepEqual(
      json('list').apps.map((each: { app: string }) => each.app),
      ['tool'],
    );
    assert.equal(json('history', 'sine').updates.at(-1).outcome, 'removed');
    assert.equal(gateway.gwe('remove', 'sine', '--yes').status, 2);
    assert.equal(json('remove', 'tool', '--yes').version, 1);
    assert.equal(gateway.gwe('list').stdout, 'no apps are installed\n');
    gateway.gwe('check-in');
    await until(async () => (await platform.read('p1', 'gw-1', 'engine_report'))?.includes('sine') === false);
  });
});

describe('the commands where nothing runs', () => {
  test('without agent and supervisord each says what is missing, and nothing hangs', async () => {
    const platform = await startPlatform();
    const gateway = await createGateway(platform);
    try {
      const installed = {
        version: 1,
        apps: {
          ghost: {
            active: {
              version: '1',
              digest: 'd'.repeat(64),
              contentId: 'ghost.v1.tar.gz',
              hasProgram: true,
              installedAtMs: 0,
            },
            refused: [],
          },
        },
      };
      mkdirSync(join(gateway.root, 'var/lib/gwe'), { recursive: true });
      writeFileSync(join(gateway.root, 'var/lib/gwe/installed.json'), JSON.stringify(installed));
      const list = gateway.gwe('list');
      assert.equal(list.status, 0);
      assert.match(list.stderr, /warning: the states are unknown: .*supervisor/);
      assert.match(list.stdout, /ghost +1 +UNKNOWN/);
      const checkIn = gateway.gwe('check-in');
      assert.equal(checkIn.status, 1);
      assert.match(checkIn.stderr, /no gwe runs on root .*supervisorctl start gwe.*gwe --once/);
      assert.equal(gateway.gwe('start', 'ghost').status, 1);
      assert.match(gateway.gwe('status').stdout, /^gwe +dev, not running/m);
      assert.match(gateway.gwe('logs', 'ghost').stderr, /it does not exist; its program has not run yet/);
      const removed = JSON.parse(gateway.gwe('remove', 'ghost', '--yes', '--json').stdout);
      assert.deepEqual(removed.removed, []);
    } finally {
      await gateway.remove();
      await platform.close();
    }
  });
});
