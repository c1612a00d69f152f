/** A gateway of the original Gateway Engine, taken over: with its key, its app and its program, under a real supervisord. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { adopt } from '../../src/adopt/adopt.ts';
import { createSystemClock } from '../../src/base/clock.ts';
import { createLayout, originalPlaces } from '../../src/store/layout.ts';
import { createSupervisorClient } from '../../src/supervisor/client.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const EGG = 'usr/lib/python2.7/site-packages/GatewayEngine-1.1.4-py2.7.egg/GatewayEngine';

interface Site {
  root: string;
  platform: TestPlatform;
  supervisord: Supervisord;
  cik: string;
  put(path: string, text: string, mode?: number): string;
  gwe(...args: string[]): Promise<string>;
  tarball(app: string, version: string, files: Record<string, string>): Promise<void>;
  /** The next report after the command. */
  command(id: string): Promise<Record<string, unknown>>;
}

/** Laid out as the original's: a script of Python, its package with configuration, an app and the program entries. */
function layOriginal(root: string, cik: string, platformUrl: string): Site['put'] {
  const put = (path: string, text: string, mode = 0o644): string => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode });
    chmodSync(join(root, path), mode);
    return join(root, path);
  };
  const gwe = put(
    'usr/local/bin/gwe',
    '#!/usr/bin/env python3\n# EASY-INSTALL: GatewayEngine==1.1.4\nimport time\ntime.sleep(100000)\n',
    0o755,
  );
  put(
    `${EGG}/Gateway.cfg`,
    `[device]\ncik = ${cik}\nmodel = p1\nvendor = p1\nuuid = AA:BB:CC:00:11:22\niface = eth0\n\n`,
  );
  put(
    `${EGG}/Engine.config`,
    "[engine]\nupdate_interval = 1\napps = [{'coffee_reporter': '1'}, {'ntp_updater': '7'}, {'gwe': '1-1-4'}]\n",
  );
  put(
    'etc/gwe/Engine.config',
    `[engine]\nplatform_url = ${platformUrl}\nsettle_time = 1\nwatch_window = 0\n`,
  );
  const program = put('usr/local/bin/report_coffee.py', 'import time\n# one\ntime.sleep(100000)\n');
  const log = (app: string): string =>
    `redirect_stderr = true\nstdout_logfile_maxbytes = 200KB\nstdout_logfile_backups = 1\nstdout_logfile = ${root}/var/log/${app}.log\n`;
  put('etc/supervisor/conf.d/gwe.conf', `[program:gwe]\ncommand = ${gwe}\nautorestart = true\n${log('gwe')}`);
  put(
    'etc/supervisor/conf.d/coffee_reporter.conf',
    `[program:coffee_reporter]\ncommand = /usr/bin/python3 -u ${program}\n${log('coffee_reporter')}`,
  );
  put('etc/supervisor/conf.d/operator.conf', '[program:operator]\ncommand = sleep 1000\n');
  return put;
}

/** The same under supervisord, known to a platform. */
async function original(t: TestContext): Promise<Site> {
  const root = mkdtempSync('/tmp/gwe-ad-');
  const platform = await startPlatform();
  await platform.addDevice('p1', 'AA:BB:CC:00:11:22');
  const cik = await platform.activate('p1', 'AA:BB:CC:00:11:22');
  const put = layOriginal(root, cik, platform.url);
  const supervisord = await startSupervisord(root);
  t.after(async () => {
    await supervisord.stop();
    await platform.close();
    rmSync(root, { recursive: true, force: true });
  });
  await running(supervisord, 'coffee_reporter');
  await running(supervisord, 'gwe');
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root };
  return {
    root,
    platform,
    supervisord,
    cik,
    put,
    gwe: async (...args) => (await promisify(execFile)(EXECUTABLE, args, { env })).stdout,
    async tarball(app, version, files) {
      const directory = join(root, `made/${app}-${version}`);
      mkdirSync(directory, { recursive: true });
      for (const [name, text] of Object.entries(files))
        writeFileSync(join(directory, name), text, { mode: name === 'install.sh' ? 0o755 : 0o644 });
      spawnSync('tar', ['czf', `${directory}.tar.gz`, '-C', directory, '.']);
      await platform.putContent('p1', `${app}.v${version}.tar.gz`, readFileSync(`${directory}.tar.gz`));
    },
    async command(id) {
      const serial = 'AA:BB:CC:00:11:22';
      const before = (await platform.history('p1', serial, 'fetch_status')).length;
      await platform.write('p1', serial, 'engine_fetch', `{"install": [{"name": "${id}"}]}`);
      await until(async () => (await platform.history('p1', serial, 'fetch_status')).length > before);
      return JSON.parse((await platform.history('p1', serial, 'fetch_status'))[0]?.value ?? '{}');
    },
  };
}

async function running(supervisord: Supervisord, name: string): Promise<number> {
  let pid = 0;
  await until(async () => {
    const info = await supervisord.processInfo(name);
    pid = info?.pid ?? 0;
    return info?.statename === 'RUNNING';
  });
  return pid;
}

/** Whether the launcher started that process. */
function isLaunched(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes('GWE_LAUNCHED=');
  } catch {
    return false;
  }
}

test('a gateway of the original is taken over: key, app and program; its apps are updated, reported and rolled back', async (t) => {
  const site = await original(t);
  const { root, supervisord } = site;
  const entry = join(root, 'etc/supervisor/conf.d/coffee_reporter.conf');
  const before = readFileSync(entry, 'utf8');
  const pid = await running(supervisord, 'coffee_reporter');

  const plan = await site.gwe('adopt', '--dry-run');
  assert.match(plan.replace(/\s+/g, ' '), /would take cik, model, vendor, uuid, iface from/);
  assert.ok(!plan.includes(site.cik));
  assert.equal(readFileSync(entry, 'utf8'), before);
  assert.ok(!existsSync(join(root, 'opt/gwe')) && !existsSync(join(root, 'etc/gwe/Gateway.cfg')));

  const said = (await site.gwe('adopt')).replace(/\s+/g, ' ');
  assert.match(said, /take over app coffee_reporter, version 1; goes back to/);
  assert.match(said, /take over app ntp_updater, version 7, without a program/);
  assert.equal((await site.gwe('-C')).trim(), site.cik);
  assert.equal(statSync(join(root, 'etc/gwe/Gateway.cfg')).mode & 0o777, 0o600);
  assert.equal(await running(supervisord, 'coffee_reporter'), pid, 'its program runs on');
  await until(async () => isLaunched((await supervisord.processInfo('gwe'))?.pid ?? 0));
  const kept = originalPlaces(createLayout(root)).kept;
  assert.match(readFileSync(join(kept, 'gwe'), 'utf8'), /GatewayEngine/);

  assert.match((await site.gwe('adopt')).replace(/\s+/g, ' '), /nothing to take over/);
  await until(
    async () =>
      ((await site.platform.read('p1', 'AA:BB:CC:00:11:22', 'engine_report')) ?? '').includes(
        'coffee_reporter',
      ),
    60_000,
  );

  const program = join(root, 'usr/local/bin/report_coffee.py');
  await site.tarball('coffee_reporter', '2', {
    'install.sh': `#!/bin/sh\nprintf 'import time\\n# two\\ntime.sleep(100000)\\n' > ${program}\n`,
    'supervisor.conf': `[supervisord]\ncommand = /usr/bin/python3 -u ${program}\n`,
  });
  assert.equal((await site.command('coffee_reporter.v2.tar.gz')).outcome, 'installed');
  assert.match(readFileSync(program, 'utf8'), /# two/);
  await site.gwe('rollback', 'coffee_reporter');
  assert.match(readFileSync(program, 'utf8'), /# one/, 'its file is back');
  await running(supervisord, 'coffee_reporter');
  await running(supervisord, 'operator');
});

test('the original’s own update by gwe’s tarball ends in the same place', async (t) => {
  const site = await original(t);
  const directory = join(site.root, 'unpacked');
  mkdirSync(directory);
  spawnSync('cp', [EXECUTABLE, join(directory, 'gwe')]);
  spawnSync('cp', [
    join(import.meta.dirname, '../../src/packaging/artifact-install.sh'),
    join(directory, 'install.sh'),
  ]);
  const env = { PATH: process.env.PATH ?? '', HOME: site.root, GWE_ROOT: site.root, GWE_ADOPT_DELAY: '2' };
  const old = await running(site.supervisord, 'gwe');
  await promisify(execFile)('/bin/sh', ['install.sh'], { cwd: directory, env });
  assert.equal(await running(site.supervisord, 'gwe'), old, 'what runs the script is left alone');
  await until(async () => isLaunched((await site.supervisord.processInfo('gwe'))?.pid ?? 0));
  assert.equal((await site.gwe('-C')).trim(), site.cik);
});

/** Carries out `adopt` without supervisord until it has said `lines` lines; the number of lines said. */
async function adoptUntil(root: string, lines: number): Promise<number> {
  let said = 0;
  const layout = createLayout(root);
  const clock = createSystemClock();
  await adopt({
    layout,
    clock,
    isDryRun: false,
    env: {},
    documents: [],
    supervisor: createSupervisorClient({
      address: join(root, 'none.sock'),
      timeoutMs: 1000,
      maxAttempts: 1,
      clock,
    }),
    source: EXECUTABLE,
    version: '9.9.9',
    keepsRunning: false,
    say: () => {
      said++;
      if (said >= lines) throw new Error('broken off');
    },
  }).catch((error: Error) => assert.equal(error.message, 'broken off'));
  return said;
}

/** What counts afterwards. */
function outcome(root: string): Record<string, unknown> {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  const { apps } = JSON.parse(read('var/lib/gwe/installed.json').replace(/^[0-9a-f]{64}\n/, ''));
  return {
    device: read('etc/gwe/Gateway.cfg'),
    settings: read('etc/gwe/Engine.config'),
    launcher: read('usr/local/bin/gwe'),
    entries: ['gwe', 'coffee_reporter'].map((app) => read(`etc/supervisor/conf.d/${app}.conf`)),
    apps: Object.entries<{ active: { version: string; digest: string } }>(apps).map(([app, { active }]) => [
      app,
      active.version,
      active.digest.length,
      existsSync(join(root, `opt/gwe/apps/${app}/current/install.sh`)),
    ]),
    begun: existsSync(join(originalPlaces(createLayout(root)).kept, 'begun')),
  };
}

test('broken off after any line, something runs, and another gwe adopt comes to the same end', async (t) => {
  const make = (): string => {
    const root = mkdtempSync('/tmp/gwe-ad-');
    t.after(() => rmSync(root, { recursive: true, force: true }));
    layOriginal(root, '0123456789abcdef0123456789abcdef01234567', 'http://127.0.0.1:9');
    return root;
  };
  const whole = make();
  const lines = await adoptUntil(whole, Number.POSITIVE_INFINITY);
  assert.ok(lines > 10, `${lines} lines`);
  const wanted = JSON.stringify(outcome(whole)).replaceAll(whole, 'ROOT');
  for (let line = 1; line <= lines; line++) {
    const root = make();
    await adoptUntil(root, line);
    const launcher = readFileSync(join(root, 'usr/local/bin/gwe'), 'utf8');
    const isRunnable =
      launcher.includes('GatewayEngine') || existsSync(join(root, 'opt/gwe/apps/gwe/current/gwe'));
    assert.ok(isRunnable, `after line ${line}`);
    const entry = readFileSync(join(root, 'etc/supervisor/conf.d/coffee_reporter.conf'), 'utf8');
    assert.match(entry, /^\[program:coffee_reporter\]\ncommand = .*report_coffee\.py$/m);
    await adoptUntil(root, Number.POSITIVE_INFINITY);
    assert.equal(JSON.stringify(outcome(root)).replaceAll(root, 'ROOT'), wanted, `after line ${line}`);
    rmSync(root, { recursive: true, force: true });
  }
});
