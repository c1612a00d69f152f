/** An update that an operator does not want any more ends, and nothing of it happens later. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CommandLine, createCommandLine } from '../../helpers/command-line.ts';
import { startFaultProxy } from '../../helpers/fault-proxy.ts';
import { type CommandResult, createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { hasEnded } from '../../helpers/has-ended.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { startSupervisord } from '../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';
import { until } from '../../helpers/until.ts';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine();
  t.after(() => line.remove());
  return line;
}

const oneOff = (script = INSTALL_OK, more: Record<string, string> = {}): Buffer =>
  makeTarball({ 'install.sh': script, ...more });

interface Running {
  child: ChildProcess;
  said(): string;
  status: Promise<number | null>;
}

function start(t: TestContext, line: CommandLine, ...args: string[]): Running {
  const [program = '', ...first] = FROM_SOURCE;
  const child = spawn(program, [...first, ...args], { cwd: line.cwd, env: line.env });
  t.after(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const status = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, said: () => said, status };
}

const SLOW = '#!/bin/sh\necho $$ > ../../../../../pid\nwhile true; do sleep 1; done\n';

function versions(root: string, app: string): string[] {
  return readdirSync(join(root, 'opt/gwe/apps', app)).filter((name) => name !== 'current');
}

function lastUpdate(line: CommandLine): Record<string, unknown> {
  const { updates } = line.json('history', '--json') as { updates: Record<string, unknown>[] };
  return updates.at(-1) ?? {};
}

test('Ctrl-C while install.sh runs takes back what it has begun', async (t) => {
  const line = commandLine(t);
  const note = '#!/bin/sh\necho $GWE_APP_VERSION > ../../../../../state\n';
  line.file('one.v1.tar.gz', oneOff(note));
  assert.equal(line.gwe('-I', 'one.v1.tar.gz').status, 0);
  line.file('one.v2.tar.gz', oneOff(`${note}echo $$ > ../../../../../pid\nwhile true; do sleep 1; done\n`));
  const running = start(t, line, '-I', 'one.v2.tar.gz');
  const pidFile = join(line.root, 'pid');
  await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'));
  running.child.kill('SIGINT');
  assert.equal(await running.status, 130, running.said());
  assert.match(running.said(), /one 2: cancelled and undone, 1 is active/);
  assert.ok(hasEnded(readFileSync(pidFile, 'utf8')), 'its install.sh was ended');
  assert.equal(readFileSync(join(line.root, 'state'), 'utf8'), '1\n', 'install.sh of 1 ran again');
  assert.match(readlinkSync(join(line.root, 'opt/gwe/apps/one/current')), /^1-/);
  assert.deepEqual(versions(line.root, 'one').length, 1);
  const { outcome, code } = lastUpdate(line);
  assert.deepEqual([outcome, code], ['rolled-back', 'CANCELLED']);
  assert.equal((line.json('status', '--json').update as Record<string, unknown>).current, null);
  const again = start(t, line, '-I', 'one.v2.tar.gz');
  await until(() => again.said().includes('running install.sh'));
});

test('Ctrl-C before anything is touched leaves nothing to be gone on with', async (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff('#!/bin/sh\ntouch ../../../../../ran\n'));
  assert.equal(line.gwe('lease', 'one', '--seconds', '600', '--reason', 'busy').status, 0);
  const running = start(t, line, '-I', 'one.v1.tar.gz', 'one.v1.tar.gz');
  await until(() => running.said().includes('checking') && versions(line.root, 'one').length === 1);
  running.child.kill('SIGINT');
  assert.equal(await running.status, 130);
  assert.match(running.said(), /one 1: cancelled, nothing was changed/);
  assert.deepEqual(versions(line.root, 'one'), []);
  assert.equal(existsSync(join(line.root, 'ran')), false);
  assert.equal(lastUpdate(line).code, 'CANCELLED');
});

test('gwe cancel ends an update of another process that waits for a lease', async (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff());
  line.gwe('lease', 'one', '--seconds', '600', '--reason', 'busy');
  const running = start(t, line, '-I', 'one.v1.tar.gz');
  await until(() => running.said().includes('checking') && versions(line.root, 'one').length === 1);
  assert.match(line.gwe('cancel', 'two').stderr, /no update of 'two' is under way/);
  const done = await line.start('cancel', 'one', '--json');
  assert.equal(done.status, 0, done.stderr);
  const { cancelled, tooLate } = JSON.parse(done.stdout);
  assert.equal(cancelled[0].app, 'one');
  assert.equal(cancelled[0].outcome, 'failed-no-change');
  assert.deepEqual(tooLate, []);
  assert.equal(await running.status, 1);
  assert.equal(line.gwe('cancel').status, 1, 'there is nothing left to cancel');
  line.gwe('lease', 'one', '--release');
  assert.equal(line.gwe('-I', 'one.v1.tar.gz').status, 0);
});

test('gwe cancel takes back what a killed install.sh left, without an agent', async (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff(SLOW));
  const running = start(t, line, '-I', 'one.v1.tar.gz');
  await until(() => existsSync(join(line.root, 'pid')));
  running.child.kill('SIGKILL');
  await running.status;
  const done = await line.start('cancel');
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /one 1: cancelled and undone/);
  assert.ok(hasEnded(readFileSync(join(line.root, 'pid'), 'utf8')));
});

interface World {
  platform: TestPlatform;
  gateway: Gateway;
  gate: { isOpen: boolean };
  cancel(...args: string[]): Promise<CommandResult>;
}

/** A gateway whose platform gives no content until the gate is open. */
async function createWorld(t: TestContext, settings: Record<string, string | number> = {}): Promise<World> {
  const platform = await startPlatform();
  const proxy = await startFaultProxy(platform.url);
  const gateway = await createGateway({ ...platform, url: proxy.url }, { settings });
  const gate = { isOpen: false };
  proxy.setFault(({ path }, response) => {
    if (gate.isOpen || !path.includes('/provision/download')) return false;
    response.writeHead(503).end();
    return true;
  });
  t.after(async () => {
    await gateway.remove();
    await proxy.close();
    await platform.close();
  });
  const cancel = (...args: string[]): Promise<CommandResult> =>
    runGwe([...FROM_SOURCE, 'cancel', ...args], { GWE_ROOT: gateway.root });
  return { platform, gateway, gate, cancel };
}

const install = (...names: string[]): string => JSON.stringify({ install: names.map((name) => ({ name })) });

async function reports(platform: TestPlatform): Promise<Record<string, unknown>[]> {
  const history = await platform.history('p1', 'gw-1', 'fetch_status');
  return history.map(({ value }) => JSON.parse(value) as Record<string, unknown>);
}

async function putOneOffs(platform: TestPlatform, ...names: string[]): Promise<void> {
  for (const name of names) await platform.putContent('p1', `${name}.v1.tar.gz`, oneOff());
}

test('gwe cancel ends a command that waits for the network, whole or one app of it', async (t) => {
  const { platform, gateway, gate, cancel } = await createWorld(t);
  await putOneOffs(platform, 'one', 'two', 'three');
  gateway.start();
  const command = install('one.v1.tar.gz', 'two.v1.tar.gz', 'three.v1.tar.gz');
  await platform.write('p1', 'gw-1', 'engine_fetch', command);
  await until(() => gateway.log().includes('checkin.failed'));
  const second = await cancel('two');
  assert.equal(second.status, 0, second.stderr);
  assert.match(second.stdout, /^two 1: cancelled, nothing was changed/m);
  const first = await cancel('one');
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^one 1: cancelled, nothing was changed$/m);
  gate.isOpen = true;
  await until(() => gateway.active('three') !== undefined);
  await until(async () => (await reports(platform)).some(({ name }) => name === 'three'));
  const told = (await reports(platform)).map(({ name, outcome, code }) => [name, outcome, code]);
  assert.deepEqual(
    told.sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
    [
      ['one', 'failed-no-change', 'CANCELLED'],
      ['three', 'installed', undefined],
      ['two', 'failed-no-change', 'CANCELLED'],
    ],
  );
  assert.equal(gateway.active('one') ?? gateway.active('two'), undefined);
  const report = await gateway.command(platform, install('one.v1.tar.gz'));
  assert.equal(report.outcome, 'installed', 'a cancelled update may be commanded again');
});

test('gwe cancel ends what the agent waits with for a lease, and what follows it', async (t) => {
  const { platform, gateway, gate, cancel } = await createWorld(t);
  gate.isOpen = true;
  await putOneOffs(platform, 'one', 'two');
  gateway.gwe('lease', 'one', '--seconds', '600', '--reason', 'busy');
  gateway.start();
  await platform.write('p1', 'gw-1', 'engine_fetch', install('one.v1.tar.gz', 'two.v1.tar.gz'));
  await until(() => gateway.log().includes('update.deferred'));
  const done = await cancel();
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /^one 1: cancelled, nothing was changed/);
  assert.match(done.stdout, /^two 1: cancelled, nothing was changed/m);
  await until(async () => (await reports(platform)).length === 2);
  assert.deepEqual(gateway.versions('one').concat(gateway.versions('two')), []);
});

test('gwe cancel ends an update that waits for the data budget', async (t) => {
  const { platform, gateway, gate, cancel } = await createWorld(t, { budget_month: 100_000 });
  gate.isOpen = true;
  const big = makeTarball({ 'install.sh': INSTALL_OK, data: { content: randomBytes(300_000) } });
  await platform.putContent('p1', 'one.v1.tar.gz', big);
  gateway.start();
  await platform.write('p1', 'gw-1', 'engine_fetch', install('one.v1.tar.gz'));
  await until(() => gateway.log().includes('budget.wait'));
  const done = await cancel('one');
  assert.equal(done.status, 0, done.stderr);
  await until(async () => (await reports(platform)).some(({ code }) => code === 'CANCELLED'));
  const { stdout } = await runGwe([...FROM_SOURCE, 'traffic', '--json'], { GWE_ROOT: gateway.root });
  assert.equal(JSON.parse(stdout).budget.waiting, null);
});

test('gwe cancel comes too late for an update that is being activated', async (t) => {
  const { platform, gateway, gate, cancel } = await createWorld(t, { settle_time: 6 });
  const supervisord = await startSupervisord(gateway.root);
  t.after(() => supervisord.stop());
  gate.isOpen = true;
  const conf = '[supervisord]\ncommand = sleep 1000\n';
  await platform.putContent('p1', 'one.v1.tar.gz', oneOff(INSTALL_OK, { 'supervisor.conf': conf }));
  gateway.start();
  await platform.write('p1', 'gw-1', 'engine_fetch', install('one.v1.tar.gz'));
  await until(() => gateway.log().includes('update.probing'));
  const done = await cancel('one');
  assert.equal(done.status, 1, done.stdout);
  assert.match(done.stderr, /too late to cancel one 1: .*'gwe rollback one' goes back/);
  await until(async () => (await reports(platform)).some(({ outcome }) => outcome === 'installed'));
});
