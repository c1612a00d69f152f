/** What programs of a real supervisord leave behind, and those that are to stay stopped. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { readProcessStat } from '../../../src/base/process.ts';
import { createSupervisorClient, type SupervisorClient } from '../../../src/supervisor/client.ts';
import { waitUntilHealthy } from '../../../src/supervisor/health.ts';
import { endGroupsOf } from '../../../src/supervisor/leftovers.ts';
import { renderProgram } from '../../../src/supervisor/program.ts';
import {
  applyProgram,
  removeProgram,
  restartProgram,
  stopProgram,
} from '../../../src/supervisor/programs.ts';
import { type Supervisord, startSupervisord } from '../../helpers/supervisord.ts';
import { until } from '../../helpers/until.ts';

let root: string;
let supervisord: Supervisord;
let client: SupervisorClient;

before(async () => {
  root = mkdtempSync('/tmp/gwe-sv-');
  supervisord = await startSupervisord(root);
  const { socketPath } = supervisord;
  client = createSupervisorClient({
    address: socketPath,
    timeoutMs: 60_000,
    maxAttempts: 1,
    clock: createSystemClock(),
  });
});

after(async () => {
  for (const { group } of await client.getAllProcessInfo()) await client.stopProcessGroup(group, false);
  await supervisord.stop();
  rmSync(root, { recursive: true, force: true });
});

function entry(app: string, ...options: string[]): string {
  const source = ['[supervisord]', 'startsecs = 0', ...options].join('\n');
  return renderProgram(app, source, { logDirectory: join(root, 'var/log') }).text;
}

function fileOf(app: string): string {
  return join(supervisord.confDirectory, `${app}.conf`);
}

async function apply(app: string, ...options: string[]): Promise<void> {
  await applyProgram(client, supervisord.place, { app, text: entry(app, ...options) });
}

async function judge(app: string, options: string[]): Promise<string> {
  await apply(app, ...options);
  return waitUntilHealthy(client, app, {
    settleMs: 400,
    deadlineMs: 30_000,
    clock: createSystemClock(),
    programText: entry(app, ...options),
  });
}

async function running(app: string): Promise<void> {
  await until(async () => (await supervisord.processInfo(app))?.statename === 'RUNNING');
}

function isAlive(pid: number): boolean {
  const state = readProcessStat(pid)?.state ?? 'X';
  return state !== 'Z' && state !== 'X';
}

/** The command line of a shell that puts `child` into the background and then does `rest`. */
function withChild(child: string, rest: string): string {
  return `command = sh -c "${child} & echo $! > ${join(root, 'child.pid')}; ${rest}"`;
}

async function childPid(): Promise<number> {
  const path = join(root, 'child.pid');
  await until(() => existsSync(path) && readFileSync(path, 'utf8').trim() !== '');
  const pid = Number(readFileSync(path, 'utf8'));
  rmSync(path);
  return pid;
}

test('what a program leaves in its process group is ended before anything is started in its place', async () => {
  await apply('parent', withChild('sleep 1000', 'wait'), 'killasgroup = false');
  await running('parent');
  const child = await childPid();
  await apply('parent', 'command = sleep 1001');
  assert.equal(isAlive(child), false);
  await running('parent');
  await removeProgram(client, supervisord.place, 'parent');
});

test('a process of that group number that is not of the program is not touched', async () => {
  const stranger = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  assert.notEqual(stranger.pid, undefined);
  await endGroupsOf([{ pid: stranger.pid ?? 0, startTicks: '1' }], createSystemClock());
  assert.equal(isAlive(stranger.pid ?? 0), true);
  stranger.kill('SIGKILL');
});

test('a program that puts itself into the background is reported, and what it left goes with it', async () => {
  const options = [withChild('setsid sleep 1000', 'exit 0'), 'startsecs = 20', 'startretries = 0'];
  await assert.rejects(
    judge('daemon', options),
    /left \d+ process\(es\) running .*has to stay in the foreground/,
  );
  const child = await childPid();
  assert.equal(isAlive(child), true, 'the verdict alone ends nothing');
  await removeProgram(client, supervisord.place, 'daemon', { endsBackground: true });
  assert.equal(isAlive(child), false);
});

test('a program that runs keeps what it has put into a session of its own', async () => {
  await apply('parent', withChild('setsid sleep 1000', 'wait'));
  await running('parent');
  const child = await childPid();
  await removeProgram(client, supervisord.place, 'parent', { endsBackground: true });
  assert.equal(isAlive(child), true);
  process.kill(child, 'SIGKILL');
});

test('a job without startsecs that ends with one of its exitcodes is finished, and with another it is not', async () => {
  const job = (status: number): string[] => [
    `command = sh -c "exit ${status}"`,
    'startsecs = 0',
    'exitcodes = 0,3',
    'startretries = 0',
  ];
  assert.equal(await judge('job', job(3)), 'finished');
  await assert.rejects(judge('job', [...job(4), 'autorestart = false']), /exit status 4/);
});

test('a program that stays stopped is put up by its new entry, and not for a moment started', async () => {
  await apply('halted', 'command = sleep 1000');
  await running('halted');
  await stopProgram(client, supervisord.place, 'halted');
  const mark = join(root, 'halted.ran');
  const text = entry('halted', `command = sh -c "touch ${mark}; exec sleep 1001"`);
  await applyProgram(client, supervisord.place, { app: 'halted', text }, { staysStopped: true });
  assert.equal((await supervisord.processInfo('halted'))?.statename, 'STOPPED');
  assert.equal(existsSync(mark), false);
  assert.equal(readFileSync(fileOf('halted'), 'utf8'), text);
  await restartProgram(client, supervisord.place, 'halted');
  await until(() => existsSync(mark));
});
