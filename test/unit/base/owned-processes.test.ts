/** What gwe may end: the session that it made, and nothing that merely says so. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { describeLeft, endSession, isRunning, type OwnSession } from '../../../src/base/owned-processes.ts';
import { bootId, readProcessStat } from '../../../src/base/process.ts';
import { until } from '../../helpers/until.ts';

const home = mkdtempSync(join(tmpdir(), 'gwe-owned-'));
const started: OwnSession[] = [];
after(() => {
  for (const one of started) if (isRunning(one)) process.kill(one.pid, 'SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

const MARK = 'GWE_TRANSACTION=tx-1';
const END = { mark: MARK, isSeen: false, guarded: [], graceMs: 300, clock: createSystemClock() };

function identify(pid: number): OwnSession {
  const session = { pid, startTicks: readProcessStat(pid)?.startTicks ?? '0', bootId: bootId() };
  started.push(session);
  return session;
}

const nameOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

let count = 0;
/** A shell that leads a session of its own; with the pids that its lines write to $PIDS, a word each. */
async function lead(
  lines: string,
  pids: number,
  more: Readonly<Record<string, string>> = {},
): Promise<{ session: OwnSession; others: OwnSession[]; child: ChildProcess }> {
  const file = join(home, `${++count}`);
  writeFileSync(file, '');
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', PIDS: file, GWE_TRANSACTION: 'tx-1', ...more };
  const child = spawn('/bin/sh', ['-c', lines], { detached: true, stdio: 'ignore', env });
  const session = identify(child.pid ?? 0);
  const read = (): string[] => readFileSync(file, 'utf8').split(/\s+/).filter(Boolean);
  await until(() => read().length >= pids);
  return { session, others: read().map((pid) => identify(Number(pid))), child };
}

test('a session that it made is ended as a whole, also who does not listen, and what has left it is not', async () => {
  const { session, others } = await lead(
    '(trap "" TERM; sleep 300) & echo $! >>$PIDS; setsid sh -c \'echo $$ >>$PIDS; exec sleep 301\' & sleep 302',
    2,
  );
  await until(() => others.some(({ pid }) => readProcessStat(pid)?.session === pid));
  await endSession(session, END);
  assert.equal(isRunning(session), false);
  const left = others.filter(isRunning);
  assert.deepEqual(
    left.map(({ pid }) => readProcessStat(pid)?.session),
    left.map(({ pid }) => pid),
  );
  assert.equal(left.length, 1);
});

test('a session of another start or boot of the same number is not touched', async () => {
  const { session } = await lead('echo $$ >>$PIDS; sleep 300', 1);
  await endSession({ ...session, startTicks: `${Number(session.startTicks) - 1}` }, END);
  await endSession({ ...session, bootId: 'another' }, END);
  assert.equal(isRunning(session), true);
});

test('of one whose leader has ended unseen, only what carries the mark is ended', async () => {
  const lines = 'sleep 300 & echo $! >>$PIDS; env -u GWE_TRANSACTION sleep 301 & echo $! >>$PIDS';
  const { session, others } = await lead(lines, 2);
  await until(() => readProcessStat(session.pid) === undefined);
  // Until it is `sleep` it carries the mark of the shell that started it.
  await until(() => others.every(({ pid }) => nameOf(pid) === 'sleep'));
  await endSession(session, END);
  assert.deepEqual(others.map(isRunning), [false, true]);
  await endSession(session, { ...END, isSeen: true });
  assert.deepEqual(
    others.map(isRunning),
    [false, false],
    'seen until just now it is the session that was made',
  );
});

test('where supervisord, gwe or a guarded process is in it, only the script and what it started are ended', async () => {
  const supervisord = join(home, 'supervisord');
  writeFileSync(supervisord, '#!/bin/sh\nsleep 400 & echo $! >>$PIDS\nwait\n', { mode: 0o755 });
  const lines = `sleep 300 & echo $! >>$PIDS; ${supervisord} & echo $! >>$PIDS; wait`;
  const { session, others } = await lead(lines, 3);
  await endSession(session, END);
  assert.equal(isRunning(session), false);
  const living = others.filter(isRunning);
  const words = living.map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 2));
  assert.equal(living.length, 2, JSON.stringify(words));
  assert.ok(!words.some(([, time]) => time === '300'), JSON.stringify(words));
});

test('what a script has left running is named, also outside of its session, but not supervisord and its programs', async () => {
  const supervisord = join(home, 'supervisord');
  writeFileSync(supervisord, '#!/bin/sh\nsleep 400 & echo $! >>$PIDS\nwait\n', { mode: 0o755 });
  const lines = `sleep 300 & echo $! >>$PIDS; setsid sleep 301 & echo $! >>$PIDS; setsid ${supervisord} & echo $! >>$PIDS`;
  const { session, others } = await lead(lines, 4);
  const [inside, outside] = others;
  const nameOf = ({ pid = 0 } = {}) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  await until(() => nameOf(inside) === 'sleep' && nameOf(outside) === 'sleep');
  const left = describeLeft(session, END);
  assert.deepEqual(left.toSorted(), [`sleep (pid ${inside?.pid})`, `sleep (pid ${outside?.pid})`].toSorted());
});
