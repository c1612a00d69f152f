/** The boot guard before a real supervisord: whatever has become of an entry of gwe, supervisord starts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { BOOT_GUARD } from '../../../src/service/boot-guard.ts';
import { renderProgram } from '../../../src/supervisor/program.ts';
import { TYPED_OPTIONS } from '../../../src/supervisor/values.ts';
import { layOut, readBySupervisord, startSupervisord } from '../../helpers/supervisord.ts';
import { until } from '../../helpers/until.ts';

let root: string;
let guard: string;
let conf: string;
let configFile: string;

before(() => {
  root = mkdtempSync('/tmp/gwe-guard-');
  guard = join(root, 'usr/local/lib/gwe/boot-guard');
  mkdirSync(dirname(guard), { recursive: true });
  writeFileSync(guard, BOOT_GUARD);
  chmodSync(guard, 0o755);
  ({ confDirectory: conf, configFile } = layOut(root));
});
beforeEach(() => {
  for (const directory of [conf, `${conf}.bad`]) rmSync(directory, { recursive: true, force: true });
  mkdirSync(conf);
  put('fine', entry('fine'));
});
after(() => rmSync(root, { recursive: true }));

function entry(app: string, ...options: string[]): string {
  const source = ['[supervisord]', 'command = sleep 1000', ...options].join('\n');
  return renderProgram(app, source, { logDirectory: join(root, 'var/log') }).text;
}

function put(app: string, text: string | Buffer): void {
  mkdirSync(join(root, 'opt/gwe/apps', app), { recursive: true });
  writeFileSync(join(conf, `${app}.conf`), text);
}

function runGuard(env: Readonly<Record<string, string>> = {}): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(guard, [], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
  });
  return { status, stderr };
}

function setAside(): string[] {
  const bad = `${conf}.bad`;
  return existsSync(bad)
    ? readdirSync(bad)
        .filter((name) => name.endsWith('.conf'))
        .sort()
    : [];
}

test('nothing is touched where supervisord would start', () => {
  const before = statSync(join(conf, 'fine.conf')).mtimeMs;
  assert.deepEqual(runGuard(), {
    status: 0,
    stderr: `gwe boot guard: made the missing data directory ${root}/var/opt/gwe/fine\n`,
  });
  assert.deepEqual(runGuard(), { status: 0, stderr: '' });
  assert.equal(statSync(join(conf, 'fine.conf')).mtimeMs, before);
  assert.equal(existsSync(`${conf}.bad`), false);
});

/** Entries that were good once, by what has become of them or of the gateway. */
function broken(): Map<string, string | Buffer> {
  const file = join(root, 'var/log/plain');
  writeFileSync(file, '');
  const whole = entry('half');
  const rows = new Map<string, string | Buffer>([
    ['user-gone', entry('user-gone', 'user = nobody-of-this-name')],
    ['uid-gone', entry('uid-gone', 'user = 54321')],
    ['log-in-file', entry('log-in-file', `stdout_logfile = ${file}/x.log`)],
    ['variable-gone', entry('variable-gone', 'environment = A="%(ENV_NOT_SET_AT_BOOT)s"')],
    ['variable-in-log', entry('variable-in-log', 'stdout_logfile = /var/log/%(ENV_NOT_SET_AT_BOOT)s.log')],
    ['zeros', Buffer.alloc(200)],
    ['half', whole.slice(0, whole.indexOf('[program') + 4)],
    ['no-command', entry('no-command').replace(/^command.*\n/m, '')],
    [
      'latin',
      Buffer.concat([Buffer.from(entry('latin')), Buffer.from('environment = A="\xe9\xff"\n', 'latin1')]),
    ],
  ]);
  for (const key of [
    'command',
    'directory',
    'environment',
    'process_name',
    'stdout_logfile',
    'stderr_logfile',
  ])
    rows.set(`percent-${key}`, `${entry(`percent-${key}`)}${key} = 100 %\n`);
  for (const key of Object.keys(TYPED_OPTIONS))
    rows.set(`typed-${key}`, `${entry(`typed-${key}`)}${key} = ~\n`);
  return rows;
}

test('each entry that supervisord cannot start with is set aside with its words, and no other', () => {
  const rows = broken();
  const expected: string[] = [];
  for (const [app, text] of rows) {
    rmSync(join(conf, 'fine.conf'), { force: true });
    put(app, text);
    if (readBySupervisord(configFile) !== undefined) expected.push(`${app}.conf`);
    rmSync(join(conf, `${app}.conf`));
  }
  assert.ok(expected.length > 25, `supervisord itself refuses ${expected.length} of ${rows.size}`);
  put('fine', entry('fine'));
  for (const [app, text] of rows) put(app, text);
  const { status, stderr } = runGuard();
  assert.equal(status, 0, stderr);
  assert.deepEqual(setAside(), expected.sort());
  assert.equal(readBySupervisord(configFile), undefined);
  assert.match(readFileSync(`${conf}.bad/user-gone.why`, 'utf8'), /nobody-of-this-name/);
  assert.match(stderr, /set aside .*user-gone\.conf: .*nobody-of-this-name/);
});

test('missing directories of logs and data are made instead', () => {
  const log = join(root, 'var/log/deep/er');
  put('logs', entry('logs', `stdout_logfile = ${log}/%(program_name)s.log`, 'user = nobody'));
  assert.notEqual(readBySupervisord(configFile), undefined);
  assert.equal(runGuard().status, 0);
  assert.deepEqual(setAside(), []);
  assert.equal(statSync(log).isDirectory(), true);
  const data = statSync(join(root, 'var/opt/gwe/logs'));
  assert.deepEqual([data.mode & 0o7777, data.uid], [0o750, 65534]);
  assert.equal(readBySupervisord(configFile), undefined);
  rmSync(join(root, 'var/log/deep'), { recursive: true });
});

test("an operator's broken entry stays where it is, and ours with it, and the guard says whose it is", () => {
  writeFileSync(join(conf, 'hand.conf'), '[program:hand]\ncommand = true\nnumprocs = abc\n');
  put('ours', entry('ours', 'user = nobody-of-this-name'));
  const { status, stderr } = runGuard();
  assert.equal(status, 0);
  assert.match(stderr, /ours\.conf: .*\n.*no entry of gwe is the cause: .*abc/);
  assert.equal(existsSync(join(conf, 'hand.conf')), true);
});

test('without Python, without supervisord or without a configuration it ends well all the same', () => {
  const nowhere = mkdtempSync('/tmp/gwe-guard-');
  const copy = join(nowhere, 'usr/local/lib/gwe/boot-guard');
  mkdirSync(dirname(copy), { recursive: true });
  writeFileSync(copy, BOOT_GUARD, { mode: 0o755 });
  const bin = join(nowhere, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'supervisord'), '#!/no/such/python\n', { mode: 0o755 });
  for (const PATH of [`${bin}:/usr/bin:/bin`, '/usr/bin:/bin'])
    assert.equal(spawnSync(copy, [], { env: { PATH } }).status, 0);
  rmSync(nowhere, { recursive: true });
});

test("gwe's own entry comes back at the next start, when it can be read again", () => {
  const text = entry('gwe', 'user = nobody-of-this-name');
  put('gwe', text);
  runGuard();
  assert.deepEqual(setAside(), ['gwe.conf']);
  writeFileSync(`${conf}.bad/gwe.conf`, entry('gwe'));
  runGuard();
  assert.deepEqual(setAside(), []);
  assert.equal(readFileSync(join(conf, 'gwe.conf'), 'utf8'), entry('gwe'));
});

test('supervisord that was killed starts again through the guard after each breakage', async (t) => {
  const log = join(root, 'var/log/gone');
  mkdirSync(log);
  put('app', entry('app', `stdout_logfile = ${log}/app.log`));
  let supervisord = await startSupervisord(root);
  t.after(() => supervisord.stop());
  const breakages: [what: string, runs: boolean, work: () => void][] = [
    ['the log directory', true, () => rmSync(log, { recursive: true })],
    ['the user', false, () => put('app', entry('app', 'user = nobody-of-this-name'))],
    ['half an entry', false, () => put('app', entry('app').slice(0, 70))],
  ];
  for (const [what, runs, work] of breakages) {
    const pids = await Promise.all(
      ['app', 'fine'].map(async (name) => (await supervisord.processInfo(name))?.pid ?? 0),
    );
    await supervisord.kill();
    for (const pid of pids) if (pid > 0) process.kill(pid, 'SIGKILL');
    work();
    assert.equal(runGuard().status, 0);
    supervisord = await startSupervisord(root);
    await until(async () => (await supervisord.processInfo('fine'))?.statename === 'RUNNING');
    assert.equal((await supervisord.processInfo('app')) !== undefined, runs, what);
  }
});
