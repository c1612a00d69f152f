/** `gwe service`: the real executable under a real supervisord, through kills, restarts and broken files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BOOT_GUARD } from '../../src/service/boot-guard.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const scratch = mkdtempSync(join(tmpdir(), 'gwe-svc-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The command line of a person, on the root `name`. */
function gweOn(root: string, ...args: string[]) {
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root };
  return spawnSync(EXECUTABLE, args, { env, encoding: 'utf8', timeout: 60_000 });
}

/** Every path below `root` with what it is; file contents except the executable's. */
function snapshot(root: string): Record<string, string> {
  const paths = globSync('**/*', { cwd: root }).sort();
  return Object.fromEntries(
    paths.map((path) => {
      const stat = lstatSync(join(root, path));
      if (stat.isSymbolicLink()) return [path, `-> ${readlinkSync(join(root, path))}`];
      const text = stat.isFile() && stat.size < 1e6 ? readFileSync(join(root, path), 'utf8') : '';
      return [path, `${stat.mode.toString(8)} ${text}`];
    }),
  );
}

/** What a person at the gateway gets with the service, and the commands that print the same. */
const DOCUMENTS: readonly (readonly [path: string, args: readonly string[]])[] = [
  ['usr/local/share/man/man8/gwe.8', ['man']],
  ['usr/local/share/man/man8/gwe-platform.8', ['man', 'platform']],
  ['usr/share/fish/vendor_completions.d/gwe.fish', ['completion', 'fish']],
  ['usr/share/bash-completion/completions/gwe', ['completion', 'bash']],
  ['usr/share/zsh/vendor-completions/_gwe', ['completion', 'zsh']],
];

const GUARD = 'usr/local/lib/gwe/boot-guard';
const DROP_IN = 'etc/systemd/system/supervisor.service.d/gwe.conf';

describe('gwe as a program of a real supervisord', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  let version = '';
  const apps = (): string => join(gateway.root, 'opt/gwe/apps/gwe');
  const running = async (): Promise<number> => {
    let pid = 0;
    await until(async () => {
      const info = await supervisord.processInfo('gwe');
      pid = info?.pid ?? 0;
      return info?.statename === 'RUNNING';
    });
    return pid;
  };
  /** The version directory that process `pid` was started from; '' if it is gone. */
  const launched = (pid: number): string => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
      return /(?:^|\0)GWE_LAUNCHED=([^\0]*)/.exec(environment)?.[1] ?? '';
    } catch {
      return '';
    }
  };

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { command: [EXECUTABLE] });
    supervisord = await startSupervisord(gateway.root);
    const units = join(gateway.root, 'usr/lib/systemd/system');
    mkdirSync(units, { recursive: true });
    writeFileSync(join(units, 'supervisor.service'), '[Service]\nExecStart=/usr/bin/supervisord -n\n');
  });
  after(async () => {
    await supervisord.stop();
    await gateway.remove();
    await platform.close();
  });

  test('a dry run says what would be done, and does nothing', () => {
    const start = snapshot(gateway.root);
    const { status, stdout } = gateway.gwe('service', 'install', '--dry-run');
    assert.equal(status, 0);
    assert.match(stdout, /^would copy .*\/opt\/gwe\/apps\/gwe\/.*-[0-9a-f]{8}\/gwe \(\d+\.\d MB\)$/m);
    assert.match(stdout, /^would write .*\/etc\/supervisor\/conf\.d\/gwe\.conf/m);
    assert.deepEqual(snapshot(gateway.root), start);
  });

  test('service install starts it, and its first check-in confirms it', async () => {
    const config = readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8');
    const { status, stdout, stderr } = gateway.gwe('service', 'install');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^write .*\/usr\/local\/bin\/gwe$/m);
    assert.equal(readFileSync(join(gateway.root, GUARD), 'utf8'), BOOT_GUARD);
    assert.match(
      readFileSync(join(gateway.root, DROP_IN), 'utf8'),
      new RegExp(`^ExecStartPre=-${gateway.root}/${GUARD}$`, 'm'),
    );
    for (const [path, args] of DOCUMENTS) {
      const made = gateway.gwe(...args).stdout;
      assert.ok(made.length > 400, args.join(' '));
      assert.equal(
        readFileSync(join(gateway.root, path), 'utf8'),
        made,
        'in step with the command that prints it',
      );
    }
    const pid = await running();
    version = readlinkSync(join(apps(), 'current'));
    // supervisord calls the launcher RUNNING as well, which is a shell until it has found gwe.
    await until(() => launched(pid) === version);
    await until(() => existsSync(join(gateway.root, 'var/lib/gwe/confirmed')));
    assert.equal(readFileSync(join(gateway.root, 'var/lib/gwe/confirmed'), 'utf8'), `${version}\n`);
    assert.ok((await platform.read('p1', 'gw-1', 'engine_report')) !== undefined);
    assert.ok(config.includes('uuid = gw-1'));
    assert.match(readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'), /^uuid = gw-1$/m);
  });

  test('installed again, everything is kept and gwe runs on', async () => {
    const pid = await running();
    const { status, stdout } = gateway.gwe('service', 'install');
    assert.equal(status, 0);
    assert.deepEqual(
      stdout.split('\n').filter((line) => line !== '' && !line.startsWith('keep ')),
      [],
    );
    const installed = spawnSync(join(gateway.root, 'usr/local/bin/gwe'), ['service', 'install'], {
      env: { PATH: process.env.PATH ?? '', GWE_ROOT: gateway.root },
      encoding: 'utf8',
    });
    assert.equal(installed.status, 0, installed.stderr);
    assert.doesNotMatch(installed.stdout, /^(?!keep )./m);
    assert.equal(await running(), pid);
  });

  test('killed, it comes back', async () => {
    const pid = await running();
    process.kill(pid, 'SIGKILL');
    await until(async () => (await running()) !== pid);
    await until(async () => launched(await running()) === version);
  });

  test('it comes back with a restarted supervisord', async () => {
    const pid = await running();
    await supervisord.stop();
    assert.ok(!existsSync(`/proc/${pid}`), 'supervisord ended it');
    supervisord = await startSupervisord(gateway.root);
    await until(async () => launched(await running()) === version);
  });

  const broken: Readonly<Record<string, () => Buffer>> = {
    'is cut short': () => readFileSync(EXECUTABLE).subarray(0, 1_000_000),
    'is of another machine': () => {
      const bytes = readFileSync(EXECUTABLE).subarray(0, 1_000_000);
      bytes.writeUInt16LE(0xf3, 18);
      return bytes;
    },
  };
  for (const [what, make] of Object.entries(broken)) {
    test(`a version that ${what} gives way to the one before`, async () => {
      const name = `9-${what.length}adbad1`;
      mkdirSync(join(apps(), name), { recursive: true });
      writeFileSync(join(apps(), name, 'gwe'), make(), { mode: 0o755 });
      point('previous', version);
      point('current', name);
      const pid = await running();
      process.kill(pid, 'SIGKILL');
      await until(async () => launched(await running()) === version && (await running()) !== pid);
      assert.equal(readFileSync(join(gateway.root, 'var/lib/gwe/starts'), 'utf8'), `${name} 3\n`);
      assert.equal(readFileSync(join(gateway.root, 'var/lib/gwe/confirmed'), 'utf8'), `${version}\n`);
    });
  }

  test('service install repairs it: the broken version is neither current nor previous any more', async () => {
    const { status, stderr } = gateway.gwe('service', 'install');
    assert.equal(status, 0, stderr);
    assert.equal(readlinkSync(join(apps(), 'current')), version);
    assert.equal(readlinkSync(join(apps(), 'previous')), version);
    await until(async () => launched(await running()) === version);
    assert.deepEqual(globSync('*', { cwd: apps() }).sort(), [version, 'current', 'previous'].sort());
  });

  test('service uninstall takes it away and keeps the configuration', async () => {
    const refused = gateway.gwe('service', 'uninstall');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /this would stop gwe and remove its service.*--yes/);
    assert.ok(existsSync(apps()), 'nobody was asked, and nothing is gone');
    const { status, stdout } = gateway.gwe('service', 'uninstall', '--yes');
    assert.equal(status, 0);
    assert.match(stdout, /^stop program gwe/m);
    assert.equal(await supervisord.processInfo('gwe'), undefined);
    assert.ok(!existsSync(apps()) && !existsSync(join(gateway.root, 'usr/local/bin/gwe')));
    assert.match(readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'), /^uuid = gw-1$/m);
    for (const path of [GUARD, DROP_IN, ...DOCUMENTS.map(([document]) => document)])
      assert.ok(!existsSync(join(gateway.root, path)), path);
    assert.match(gateway.gwe('service', 'uninstall', '--yes').stdout, /^nothing to remove/);
    assert.deepEqual(JSON.parse(gateway.gwe('list', '--json').stdout).apps, []);
  });

  function point(link: string, target: string): void {
    if (existsSync(join(apps(), link))) unlinkSync(join(apps(), link));
    symlinkSync(target, join(apps(), link));
  }
});

test('without supervisord everything is put in place, and what is left to do is said', () => {
  const root = join(scratch, 'alone');
  const { status, stdout, stderr } = gweOn(root, 'service', 'install');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^to do: start supervisord/m);
  const entry = readFileSync(join(root, 'etc/supervisor/conf.d/gwe.conf'), 'utf8');
  for (const line of [
    `command = ${root}/usr/local/bin/gwe`,
    'autostart = true',
    'autorestart = true',
    'startretries = 1000000',
    'redirect_stderr = true',
    'stdout_logfile_maxbytes = 200KB',
    'stdout_logfile_backups = 1',
    `stdout_logfile = ${root}/var/log/gwe.log`,
  ]) {
    assert.ok(entry.includes(`${line}\n`), `${line} in:\n${entry}`);
  }
  assert.match(entry, new RegExp(`GWE_ROOT="${root}"`));
});

test('under systemd it gets a unit that starts at boot, and a program entry of ours goes', () => {
  const root = join(scratch, 'systemd');
  assert.equal(gweOn(root, 'service', 'install').status, 0);
  const { status, stdout, stderr } = gweOn(root, 'service', 'install', '--systemd');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^to do: systemctl daemon-reload/m);
  const units = join(root, 'etc/systemd/system');
  assert.match(readFileSync(join(units, 'gwe.service'), 'utf8'), /^Restart=always$/m);
  assert.equal(readlinkSync(join(units, 'multi-user.target.wants/gwe.service')), '../gwe.service');
  assert.ok(!existsSync(join(root, 'etc/supervisor/conf.d/gwe.conf')));
  assert.equal(gweOn(root, 'service', 'uninstall', '--yes').status, 0);
  assert.ok(!existsSync(join(units, 'gwe.service')));
});

for (const path of [
  'etc/supervisor/conf.d/gwe.conf',
  'usr/local/bin/gwe',
  'etc/systemd/system/gwe.service',
]) {
  test(`a ${path} that gwe did not write is not touched, and the way on is said`, () => {
    const root = mkdtempSync(join(scratch, 'foreign-'));
    const file = join(root, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '#!/usr/bin/python\n# somebody else wrote this\n', { mode: 0o755 });
    const start = snapshot(root);
    const { status, stderr } = gweOn(root, 'service', 'install');
    assert.equal(status, 1);
    assert.match(stderr, /gwe did not write it; nothing was changed; .*mv '.*' '.*\.before-gwe'/);
    assert.deepEqual(snapshot(root), start);
  });
}

test('an executable that was copied to the place of the launcher gives it up', () => {
  const root = join(scratch, 'copied');
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  symlinkSync(EXECUTABLE, join(root, 'usr/local/bin/gwe'));
  const { status, stderr } = gweOn(root, 'service', 'install');
  assert.equal(status, 0, stderr);
  assert.match(readFileSync(join(root, 'usr/local/bin/gwe'), 'utf8'), /^#!\/bin\/sh\n# launcher of gwe/);
});

test('proxies of the shell go into the entry, but no password does', () => {
  const root = join(scratch, 'proxies');
  const env = {
    PATH: process.env.PATH ?? '',
    GWE_ROOT: root,
    https_proxy: 'http://joe:pw%21secret@proxy:3128',
    NO_PROXY: 'localhost,100%.test',
  };
  const { status, stdout, stderr } = spawnSync(EXECUTABLE, ['service', 'install'], { env, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^left out HTTPS_PROXY/m);
  const entry = readFileSync(join(root, 'etc/supervisor/conf.d/gwe.conf'), 'utf8');
  assert.ok(entry.includes('NO_PROXY="localhost,100%%.test"'));
  assert.doesNotMatch(entry + stdout + stderr, /secret/);
});
