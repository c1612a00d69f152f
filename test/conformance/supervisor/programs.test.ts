/** Programs of a real supervisord: put up, replaced, taken away, and the operator's left alone. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { type ErrorCode, GweError } from '../../../src/base/errors.ts';
import { groupMembers } from '../../../src/base/process.ts';
import { createSupervisorClient, faultOf, type SupervisorClient } from '../../../src/supervisor/client.ts';
import { type HealthOptions, waitUntilHealthy } from '../../../src/supervisor/health.ts';
import { programMarker, renderProgram } from '../../../src/supervisor/program.ts';
import {
  applyProgram,
  removeProgram,
  repairProgram,
  restartProgram,
  stopProgram,
} from '../../../src/supervisor/programs.ts';
import { type Supervisord, startSupervisord } from '../../helpers/supervisord.ts';
import { until } from '../../helpers/until.ts';

const OPERATOR = '[program:by-hand]\ncommand = sleep 1000\nstartsecs = 0\n[group:pair]\nprograms = by-hand\n';

let root: string;
let supervisord: Supervisord;
let client: SupervisorClient;

before(async () => {
  root = mkdtempSync('/tmp/gwe-sv-');
  supervisord = await startSupervisord(root, { extraConfig: OPERATOR, username: 'u', password: 'p&w' });
  client = connect(supervisord.socketPath);
});

after(async () => {
  for (const { group } of await client.getAllProcessInfo()) await client.stopProcessGroup(group, false);
  await supervisord.stop();
  rmSync(root, { recursive: true, force: true });
});

function connect(socketPath: string, maxAttempts = 1): SupervisorClient {
  const login = { username: 'u', password: 'p&w' };
  return createSupervisorClient({
    address: socketPath,
    ...login,
    timeoutMs: 5000,
    maxAttempts,
    clock: createSystemClock(),
  });
}

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

/** The pid of a process that runs its command. Before its exec a child is still supervisord, and deaf to SIGTERM. */
async function running(name: string, daemon = supervisord): Promise<number> {
  let pid = 0;
  await until(async () => {
    const info = await daemon.processInfo(name);
    pid = info?.pid ?? 0;
    return info?.statename === 'RUNNING' && /^(?!.*supervisord)./s.test(commandLine(pid));
  });
  return pid;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function rejectsWith(pending: Promise<unknown>, code: ErrorCode, message: RegExp, said = /^/): Promise<void> {
  return assert.rejects(pending, (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.match(error.said ?? '', said);
    return true;
  });
}

test('the client reads state, versions and processes, and tells faults by name', async () => {
  assert.equal(await client.getState(), 'RUNNING');
  assert.equal(await client.getPid(), supervisord.pid);
  assert.match(await client.getApiVersion(), /^3\./);
  const [info] = await client.getAllProcessInfo();
  assert.deepEqual([info?.group, info?.name], ['pair', 'by-hand']);
  await assert.rejects(client.getProcessInfo('<no & such>'), (error) => faultOf(error) === 'BAD_NAME');
  await assert.rejects(client.startProcess('pair:by-hand'), (error) => faultOf(error) === 'ALREADY_STARTED');
});

test('a wrong password is reported as a wrong password', async () => {
  const stranger = createSupervisorClient({
    address: supervisord.socketPath,
    timeoutMs: 5000,
    maxAttempts: 3,
    clock: createSystemClock(),
  });
  await rejectsWith(stranger.getState(), 'SUPERVISOR_REFUSED', /a different user name and password/);
});

test('a program is put up, replaced when its entry changes, restarted when not, and no other program is', async () => {
  const others = [await running('pair:by-hand')];
  await apply('neighbour', 'command = sleep 1000');
  others.push(await running('neighbour'));
  await apply('app', 'command = sleep 1001');
  const first = await running('app');
  await apply('app', 'command = sleep 1001');
  const second = await running('app');
  await apply('app', 'command = sleep 1002');
  const third = await running('app');
  assert.equal(new Set([first, second, third]).size, 3);
  assert.match(commandLine(third), /sleep.1002/);
  assert.deepEqual([await running('pair:by-hand'), await running('neighbour')], others);
});

test('a change of the operator that waits for an update is not carried out with ours', async () => {
  const pid = await running('neighbour');
  writeFileSync(fileOf('neighbour'), entry('neighbour', 'command = sleep 2000'));
  writeFileSync(fileOf('waiting'), '[program:waiting]\ncommand = sleep 1000\n');
  await apply('app', 'command = sleep 1003');
  assert.equal(await running('neighbour'), pid);
  assert.equal(await supervisord.processInfo('waiting'), undefined);
});

test('a group of several processes is replaced as a whole', async () => {
  await apply('many', 'command = sleep 1000', 'numprocs = 3', 'process_name = p%(process_num)d');
  for (const name of ['many:p0', 'many:p1', 'many:p2']) await running(name);
  await apply('many', 'command = sleep 1000', 'numprocs = 2', 'process_name = p%(process_num)d');
  await running('many:p1');
  assert.equal(await supervisord.processInfo('many:p2'), undefined);
  await removeProgram(client, supervisord.place, 'many');
  assert.equal(await supervisord.processInfo('many:p0'), undefined);
});

test('stop and restart work on the one program, and a repeated stop is fine', async () => {
  await apply('app', 'command = sleep 1000');
  const pid = await running('app');
  await stopProgram(client, supervisord.place, 'app');
  await stopProgram(client, supervisord.place, 'app');
  assert.equal((await supervisord.processInfo('app'))?.statename, 'STOPPED');
  await restartProgram(client, supervisord.place, 'app');
  assert.notEqual(await running('app'), pid);
});

test('removing takes program and entry, may be repeated, and finishes what a crash left half done', async () => {
  await apply('app', 'command = sleep 1000');
  await running('app');
  await client.stopProcessGroup('app', true);
  await client.removeProcessGroup('app');
  await removeProgram(client, supervisord.place, 'app');
  await removeProgram(client, supervisord.place, 'app');
  assert.equal(existsSync(fileOf('app')), false);
  assert.equal(await supervisord.processInfo('app'), undefined);
});

test('a crash after the entry was written, or after the group was removed, is made good by doing it again', async () => {
  writeFileSync(fileOf('app'), entry('app', 'command = sleep 1000'));
  await apply('app', 'command = sleep 1000');
  await running('app');
  await client.stopProcessGroup('app', true);
  await client.removeProcessGroup('app');
  await apply('app', 'command = sleep 1000');
  await running('app');
});

/** `undefined` is a directory, with something in it. */
function tearUp(path: string, text: string | undefined): void {
  if (text === undefined) {
    rmSync(path, { force: true });
    mkdirSync(path);
  }
  writeFileSync(text === undefined ? join(path, 'mine') : path, text ?? '');
}

for (const [what, tear] of [
  ['emptied', () => ''],
  ['filled with NULs', (text: string) => '\0'.repeat(text.length)],
  ['cut in its first line', (text: string) => text.slice(0, 10)],
  ['cut in the middle', (text: string) => text.slice(0, text.length / 2)],
  ['replaced by a directory', () => undefined],
] as const) {
  test(`an entry that a power cut has ${what} is repaired, replaced and removed as gwe's own`, async () => {
    const text = entry('torn', 'command = sleep 1000');
    const repair = () => repairProgram(client, supervisord.place, 'torn', text);
    tearUp(fileOf('torn'), tear(text));
    assert.equal(await repair(), true);
    assert.equal(readFileSync(fileOf('torn'), 'utf8'), text);
    const pid = await running('torn');
    tearUp(fileOf('torn'), tear(text));
    assert.equal(await repair(), true);
    assert.equal(await repair(), false);
    assert.equal(await running('torn'), pid, 'what runs goes on');
    tearUp(fileOf('torn'), tear(text));
    await apply('torn', 'command = sleep 2000');
    await running('torn');
    tearUp(fileOf('torn'), tear(text));
    await removeProgram(client, supervisord.place, 'torn');
    assert.equal(existsSync(fileOf('torn')), false);
    assert.equal(await repair(), false, 'one that was taken away stays so');
  });
}

test('a program that the operator wrote is never touched, whichever file holds it', async () => {
  const hand = '[program:mine]\ncommand = sleep 1000\n';
  const attempts: [app: string, path: string | undefined, text: string][] = [
    ['mine', fileOf('mine'), hand],
    ['mine', fileOf('zz-other'), hand],
    ['pair', undefined, ''],
  ];
  for (const [app, path, text] of attempts) {
    if (path !== undefined) writeFileSync(path, text);
    await rejectsWith(apply(app, 'command = sleep 1'), 'SUPERVISOR_FOREIGN_PROGRAM', new RegExp(`'${app}'`));
    await removeProgram(client, supervisord.place, app);
    if (path === undefined) assert.equal(existsSync(fileOf(app)), false);
    else {
      assert.equal(readFileSync(path, 'utf8'), text);
      rmSync(path);
    }
  }
  await running('pair:by-hand');
});

test('a program that only supervisord knows to be in some other file is the operator’s', async () => {
  writeFileSync(fileOf('elsewhere'), '[DEFAULT]\n[program:ghost]\ncommand = sleep 1\n');
  await client.reloadConfig();
  await client.addProcessGroup('ghost');
  const elsewhere = mkdtempSync('/tmp/gwe-sv-');
  const pending = applyProgram(
    client,
    { ...supervisord.place, programsDirectory: elsewhere, supervisorConfig: '/none' },
    {
      app: 'ghost',
      text: entry('ghost', 'command = sleep 1'),
    },
  );
  await rejectsWith(pending, 'SUPERVISOR_FOREIGN_PROGRAM', /supervisord runs it from a file of the operator/);
  rmSync(fileOf('elsewhere'));
  rmSync(elsewhere, { recursive: true });
});

test('when supervisord does not read the entry the one before comes back', async () => {
  await apply('app', 'command = sleep 1000');
  const pid = await running('app');
  const good = readFileSync(fileOf('app'), 'utf8');
  const bad = `${programMarker('app')}\n[program:app]\ncommand = a %\n`;
  const pending = applyProgram(client, supervisord.place, { app: 'app', text: bad });
  await rejectsWith(pending, 'SUPERVISOR_PROGRAM_INVALID', /badly formatted.*the previous entry is back/);
  assert.equal(readFileSync(fileOf('app'), 'utf8'), good);
  assert.equal(await running('app'), pid);
  const first = applyProgram(client, supervisord.place, {
    app: 'fresh',
    text: bad.replaceAll('app', 'fresh'),
  });
  await rejectsWith(first, 'SUPERVISOR_PROGRAM_INVALID', /badly formatted/);
  assert.equal(existsSync(fileOf('fresh')), false);
});

test('a file of the operator that supervisord cannot read is not blamed on the app', async () => {
  writeFileSync(fileOf('broken'), '[program:broken]\ncommand = a %\n');
  await rejectsWith(
    apply('app', 'command = sleep 9'),
    'SUPERVISOR_REFUSED',
    /with or without this entry.*broken\.conf/,
  );
  rmSync(fileOf('broken'));
  await running('app');
});

test('without supervisord the entry is written for its next start, and the error says so', async () => {
  const nowhere = connect(join(root, 'run/none.sock'), 2);
  const pending = applyProgram(nowhere, supervisord.place, {
    app: 'later',
    text: entry('later', 'command = sleep 1'),
  });
  await rejectsWith(pending, 'SUPERVISOR_UNREACHABLE', /none\.sock/);
  assert.equal(readFileSync(fileOf('later'), 'utf8'), entry('later', 'command = sleep 1'));
  await rejectsWith(removeProgram(nowhere, supervisord.place, 'later'), 'SUPERVISOR_UNREACHABLE', /none/);
  assert.equal(existsSync(fileOf('later')), false);
});

async function judge(app: string, options: string[], more: Partial<HealthOptions> = {}) {
  await apply(app, ...options);
  return waitUntilHealthy(client, app, {
    settleMs: 400,
    deadlineMs: 6000,
    clock: createSystemClock(),
    programText: entry(app, ...options),
    ...more,
  });
}

test('a program that holds RUNNING is healthy, and its script is asked once', async () => {
  let asked = 0;
  const runHealthScript = async (): Promise<void> => {
    asked++;
  };
  assert.equal(await judge('app', ['command = sleep 1000'], { runHealthScript }), 'healthy');
  assert.equal(asked, 1);
});

test('the fault of the health script is the verdict, and so is a restart that it causes', async () => {
  const failing = judge('app', ['command = sleep 1000'], {
    runHealthScript: () => Promise.reject(new GweError('SUPERVISOR_UNHEALTHY', 'no')),
  });
  await rejectsWith(failing, 'SUPERVISOR_UNHEALTHY', /^no$/);
  const killing = judge('app', ['command = sleep 1000'], {
    runHealthScript: async () => {
      const pid = await running('app');
      process.kill(pid, 'SIGKILL');
      await until(() => groupMembers(pid).length === 0);
    },
  });
  await rejectsWith(killing, 'SUPERVISOR_UNHEALTHY', /did not survive health\.sh/);
});

test('a program that cannot be started is unhealthy at once, with what supervisord says', async () => {
  const started = performance.now();
  const pending = judge('absent', ['command = /no/such/program', 'startretries = 0'], {
    deadlineMs: 60_000,
  });
  await rejectsWith(
    pending,
    'SUPERVISOR_UNHEALTHY',
    /FATAL, it cannot be started, can't find command '\/no\/such\/program'/,
  );
  assert.ok(performance.now() - started < 30_000);
});

test('a program that dies early is unhealthy, with what supervisord says and the end of its log', async () => {
  const options = [
    'command = sh -c "echo first; echo \'no & <licence>\' >&2; exit 7"',
    'startsecs = 1',
    'startretries = 1',
  ];
  await rejectsWith(
    judge('dying', options),
    'SUPERVISOR_UNHEALTHY',
    /FATAL.*Exited too quickly/,
    /log ends: .*no & <licence>/,
  );
});

test('a program that keeps restarting is unhealthy before the deadline', async () => {
  const pending = judge('flapping', ['command = sleep 0.3', 'autorestart = true'], {
    settleMs: 2000,
    deadlineMs: 30_000,
  });
  await rejectsWith(pending, 'SUPERVISOR_UNHEALTHY', /restarted 3 times/);
});

test('a one-off that ends as it should is finished, one that does not is unhealthy', async () => {
  assert.equal(await judge('once', ['command = true', 'autorestart = false']), 'finished');
  const pending = judge('once', ['command = false', 'autorestart = false']);
  await rejectsWith(pending, 'SUPERVISOR_UNHEALTHY', /EXITED.*exit status 1/);
});

test('a program with autostart = false is not started and well', async () => {
  assert.equal(await judge('manual', ['command = sleep 1', 'autostart = false']), 'not-started');
});

test('one dead process of several makes the program unhealthy', async () => {
  const command = `command = sh -c "test %(process_num)d = 0 && exec sleep 1000"`;
  const options = [
    command,
    'numprocs = 2',
    'process_name = p%(process_num)d',
    'startsecs = 1',
    'startretries = 0',
  ];
  await rejectsWith(judge('half', options), 'SUPERVISOR_UNHEALTHY', /FATAL/);
});

test('a program that supervisord does not know is unhealthy at the deadline, and a cancelled wait ends', async () => {
  const options = { settleMs: 10, deadlineMs: 300, clock: createSystemClock() };
  await rejectsWith(waitUntilHealthy(client, 'unknown', options), 'SUPERVISOR_UNHEALTHY', /does not know it/);
  const cancelled = waitUntilHealthy(client, 'unknown', { ...options, signal: AbortSignal.abort() });
  await rejectsWith(cancelled, 'CANCELLED', /unknown/);
});

test('supervisord vanishing is no fault of the app: waited for, and reported as such at the deadline', async () => {
  const other = mkdtempSync('/tmp/gwe-sv-');
  const login = { username: 'u', password: 'p&w' };
  let second = await startSupervisord(other, login);
  const remote = connect(second.socketPath);
  const text = renderProgram('app', '[supervisord]\ncommand = sleep 1000\nstartsecs = 0', {
    logDirectory: join(other, 'var/log'),
  }).text;
  await applyProgram(remote, second.place, { app: 'app', text });
  await running('app', second);
  await second.stop();
  const options = { settleMs: 300, deadlineMs: 600, clock: createSystemClock() };
  await rejectsWith(
    waitUntilHealthy(remote, 'app', options),
    'SUPERVISOR_UNREACHABLE',
    /cannot reach supervisord/,
  );
  const pending = waitUntilHealthy(remote, 'app', { ...options, deadlineMs: 20_000 });
  second = await startSupervisord(other, login);
  assert.equal(await pending, 'healthy');
  await running('app', second);
  await second.stop();
  rmSync(other, { recursive: true, force: true });
});
