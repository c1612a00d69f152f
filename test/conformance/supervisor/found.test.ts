/** supervisord as people have it: by TCP, with a password, other files and includes. Each is reached, and told of. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { renderBootGuard } from '../../../src/service/boot-guard.ts';
import { createLayout, programFile } from '../../../src/store/layout.ts';
import { createSupervisorClient, type SupervisorClient } from '../../../src/supervisor/client.ts';
import { findListener, findProgramPlace } from '../../../src/supervisor/find-supervisor.ts';
import { renderProgram } from '../../../src/supervisor/program.ts';
import { applyProgram, assertUnclaimed, removeProgram } from '../../../src/supervisor/programs.ts';
import { until } from '../../helpers/until.ts';

const FOUND = {
  supervisorSocket: '',
  supervisorConfig: '',
  supervisorPrograms: '',
  supervisorUsername: '',
  supervisorPassword: '',
};
const RPC =
  '[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n';

interface Site {
  root: string;
  client(settings?: Partial<typeof FOUND>): SupervisorClient;
}

/** A supervisord by `text` as the file `config` of a root; PORT in it is a free one. */
async function site(t: TestContext, config: string, text: string): Promise<Site> {
  const root = mkdtempSync('/tmp/gwe-as-');
  const path = join(root, config);
  for (const directory of [
    dirname(path),
    join(root, 'run/supervisor'),
    join(root, 'var/log'),
    join(root, 'etc/supervisord.d'),
  ])
    mkdirSync(directory, { recursive: true });
  const common = `[supervisord]\nlogfile = ${root}/var/log/supervisord.log\npidfile = ${root}/run/supervisord.pid\n`;
  writeFileSync(
    path,
    `${common}${text.replaceAll('ROOT', root).replaceAll('PORT', String(await freePort()))}`,
  );
  const child = spawn('/usr/bin/supervisord', ['-n', '-c', path], { cwd: root, stdio: 'ignore' });
  t.after(async () => {
    await end(child);
    rmSync(root, { recursive: true, force: true });
  });
  await until(() => existsSync(join(root, 'run/supervisord.pid')));
  return {
    root,
    client: (settings = {}) =>
      createSupervisorClient({
        ...findListener({}, root, { ...FOUND, ...settings }),
        timeoutMs: 5000,
        maxAttempts: 3,
        clock: createSystemClock(),
      }),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const SITES: readonly [what: string, config: string, text: string][] = [
  [
    'only [inet_http_server]',
    'etc/supervisor/supervisord.conf',
    `[inet_http_server]\nport = 127.0.0.1:PORT\n${RPC}[include]\nfiles = ROOT/etc/supervisord.d/*.ini\n`,
  ],
  [
    'all addresses, and a password with a percent sign',
    'etc/supervisord.conf',
    `[inet_http_server]\nport = *:PORT\nusername = admin\npassword = s%%t=1\n${RPC}[include]\nfiles = supervisord.d/*.ini\n`,
  ],
  [
    'a password on the socket, and files of another kind',
    'etc/supervisord.conf',
    `[unix_http_server]\nfile = ROOT/run/supervisor/supervisor.sock\nusername = u\npassword = p\n${RPC}[include]\nfiles = none/*/x.conf supervisord.d/app-*.conf\n`,
  ],
];

for (const [what, config, text] of SITES) {
  test(`${what}: supervisord is reached, and a program is put where it reads it and taken away`, async (t) => {
    const { root, client: connect } = await site(t, config, text);
    const client = connect();
    await until(() =>
      client.getState().then(
        (state) => state === 'RUNNING',
        () => false,
      ),
    );
    const layout = createLayout(root, findProgramPlace({}, root, FOUND));
    assert.equal(dirname(programFile(layout, 'hello')), join(root, 'etc/supervisord.d'));
    const entry = renderProgram('hello', '[supervisord]\ncommand = sleep 1000\nstartsecs = 0\n', {
      logDirectory: join(root, 'var/log'),
    });
    await applyProgram(client, layout, { app: 'hello', text: entry.text });
    assert.equal((await client.getProcessInfo('hello')).group, 'hello');
    await removeProgram(client, layout, 'hello');
    assert.equal(existsSync(programFile(layout, 'hello')), false);
  });
}

test('without the password the error names the settings, and with them it is reached', async (t) => {
  const { root, client } = await site(
    t,
    'etc/elsewhere.conf',
    `[inet_http_server]\nport = 127.0.0.1:PORT\nusername = u\npassword = {SHA}516b9783fca517eecbd1d064da2d165310b19759\n${RPC}`,
  );
  const config = { supervisorConfig: join(root, 'etc/elsewhere.conf') };
  await until(() =>
    client(config)
      .getState()
      .then(
        () => true,
        (error: Error) => /password/.test(error.message),
      ),
  );
  await assert.rejects(client(config).getState(), /supervisor_username and supervisor_password/);
  const login = { ...config, supervisorUsername: 'u', supervisorPassword: 'p' };
  assert.equal(await client(login).getState(), 'RUNNING');
});

test('without an rpcinterface the error names the lines to add', async (t) => {
  const { client } = await site(
    t,
    'etc/supervisord.conf',
    '[unix_http_server]\nfile = ROOT/run/supervisor.sock\n',
  );
  await until(() =>
    client()
      .getState()
      .then(
        () => true,
        (error: Error) => !/reach/.test(error.message),
      ),
  );
  await assert.rejects(client().getState(), /\[rpcinterface:supervisor\].*make_main_rpcinterface/);
});

test('a program in a group of the operator is refused by the files alone', async (t) => {
  const root = mkdtempSync('/tmp/gwe-as-');
  t.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'etc/supervisor/conf.d'), { recursive: true });
  writeFileSync(join(root, 'etc/supervisor/supervisord.conf'), '[include]\nfiles = conf.d/*.conf\n');
  writeFileSync(join(root, 'etc/supervisor/conf.d/x.conf'), '[group:x]\nprograms = other, hello\n');
  const layout = createLayout(root, findProgramPlace({}, root, FOUND));
  assert.throws(() => assertUnclaimed(layout, 'hello', 'group'), /\[group:x\] of '.*x\.conf' has it/);
  assertUnclaimed(layout, 'hell');
});

test('the boot guard looks after the entries where they are', () => {
  const place = { programsDirectory: '/etc/supervisord.d', programPrefix: '', programSuffix: '.ini' };
  const text = renderBootGuard(createLayout('/', place));
  assert.match(text, /^conf = '\/etc\/supervisord\.d'$/m);
  assert.match(text, /^prefix, suffix = '', '\.ini'$/m);
});
