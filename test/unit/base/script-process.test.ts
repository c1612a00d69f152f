/** Scripts alone: what they print and how they end is on the disk, in bounded space, whether or not anybody reads it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isRunning, signalOwnGroup } from '../../../src/base/owned-processes.ts';
import { bootId } from '../../../src/base/process.ts';
import {
  assertStartable,
  prepareScript,
  readScriptOutput,
  readScriptStatus,
  renderOutput,
  type StartedScript,
} from '../../../src/base/script-process.ts';
import { asRoot } from '../../helpers/as-root.ts';
import { until } from '../../helpers/until.ts';

const home = mkdtempSync(join(tmpdir(), 'gwe-script-'));
after(() => rmSync(home, { recursive: true, force: true }));
const env = { PATH: process.env.PATH ?? '/usr/bin:/bin' };
const rootTest = asRoot(import.meta.filename);
const NOBODY = { uid: 65534, gid: 65534 };

let count = 0;
type Prepared = StartedScript & { directory: string };

async function prepare(lines: string, user?: { uid: number; gid: number }): Promise<Prepared> {
  const directory = join(home, `${++count}`);
  const started = await prepareScript(['/bin/sh', '-c', lines], { cwd: '/', env, directory, user });
  return { ...started, directory };
}

const collectorOf = ({ collector }: StartedScript) => ({ ...collector, bootId: bootId() });

/** Runs `lines` to the end, and to the end of its output. */
async function run(lines: string, user?: { uid: number; gid: number }): Promise<Prepared> {
  const started = await prepare(lines, user);
  started.go();
  await started.exited;
  await until(() => !isRunning(collectorOf(started)));
  return started;
}

const textOf = ({ directory }: Prepared, limit = 100_000): string =>
  renderOutput(readScriptOutput(directory), limit);

function bytesOnDisk({ directory }: Prepared): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

test('what goes to stdout and to stderr stands in the order in which it was written', async () => {
  const ended = await run('echo 1; echo 2 >&2; echo 3; echo 4 >&2; exit 7');
  assert.equal(textOf(ended), '1\n2\n3\n4\n');
  assert.equal(readScriptStatus(ended.directory), 7);
});

test('the end by a signal is an exit status as in a shell', async () => {
  const ended = await run('kill -9 $$');
  assert.equal(readScriptStatus(ended.directory), 137);
});

test('a script that nobody lets go never begins', async () => {
  const trace = join(home, 'began');
  const started = await prepare(`touch ${trace}`);
  const runner = { ...started.runner, bootId: bootId() };
  started.abandon();
  await until(() => !isRunning(runner));
  assert.equal(readScriptStatus(started.directory), undefined);
  assert.throws(() => statSync(trace), /ENOENT/);
});

test('of a flood the first and the last bytes are kept, in no more than 256 KiB, with what is missing counted', async () => {
  const bytes = 3_000_000;
  const ended = await run(`echo first; head -c ${bytes} /dev/zero | tr '\\0' x; echo; echo last`);
  const total = bytes + 'first\n\nlast\n'.length;
  const { head, tail, droppedBytes } = readScriptOutput(ended.directory);
  assert.equal(head.length + tail.length + droppedBytes, total);
  assert.match(head.toString(), /^first\nx+$/);
  assert.match(tail.toString(), /^x+\nlast\n$/);
  assert.ok(tail.length >= 100 * 1024, `${tail.length} bytes of the end`);
  assert.ok(bytesOnDisk(ended) <= 256 * 1024, `${bytesOnDisk(ended)} bytes`);
  const shown = textOf(ended, 1000);
  assert.match(
    shown,
    new RegExp(
      `^first\\nx{494}\\n\\[\\.\\.\\. ${total - 1000} bytes left out \\.\\.\\.\\]\\nx{494}\\nlast\\n$`,
    ),
  );
});

test('thousands of lines one by one are all there, in order', async () => {
  const ended = await run('i=0; while [ $i -lt 4000 ]; do echo "line $i of them"; i=$((i + 1)); done');
  const lines = Array.from({ length: 4000 }, (_, n) => `line ${n} of them\n`);
  assert.equal(textOf(ended), lines.join(''));
});

test('a daemon that keeps the pipe is not waited for, and what it prints after the word is let go', async () => {
  const go = join(home, 'go-on');
  const lines = `echo mine; (while [ ! -e ${go} ]; do sleep 0.05; done; head -c 400000 /dev/zero; touch ${go}.done; exec sleep 100) & echo $! > ${go}.pid`;
  const started = await prepare(lines);
  started.go();
  await started.exited;
  await until(() => textOf(started) === 'mine\n');
  signalOwnGroup(collectorOf(started), 'SIGTERM');
  await until(() => readFileSync(`/proc/${started.collector.pid}/cmdline`, 'utf8').startsWith('cat'));
  writeFileSync(go, '');
  // It does not block, and gets no SIGPIPE.
  await until(() => readdirSync(home).includes('go-on.done'));
  assert.equal(textOf(started), 'mine\n');
  process.kill(Number(readFileSync(`${go}.pid`, 'utf8')), 'SIGKILL');
  await until(() => !isRunning(collectorOf(started)));
});

async function opensNoMore(user: { uid: number; gid: number } | undefined): Promise<void> {
  const look = 'for fd in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || ls -l /proc/$$/fd/$fd; done';
  const ended = await run(`echo a >/dev/stdout; echo b >/dev/stderr; ${look}`, user);
  assert.equal(textOf(ended), 'a\nb\n');
}

test('it opens /dev/stdout and /dev/stderr, and has no descriptor besides them', () =>
  opensNoMore(undefined));

rootTest('nor has it one as another user', () => opensNoMore(NOBODY));

rootTest('another user can write neither its status nor its output', async () => {
  const ended = await run('for fd in /proc/$PPID/fd/*; do (echo 0 >$fd) 2>/dev/null; done; exit 3', NOBODY);
  assert.equal(readScriptStatus(ended.directory), 3);
  for (const name of readdirSync(ended.directory)) {
    const { uid, mode } = statSync(join(ended.directory, name));
    assert.deepEqual([uid, mode & 0o777], [0, 0o600], name);
  }
});

test('a limit of the size of files does not count its output', async () => {
  const ended = await run('ulimit -f 1; head -c 200000 /dev/zero; exit 5');
  const { head, tail, droppedBytes } = readScriptOutput(ended.directory);
  assert.equal(head.length + tail.length + droppedBytes, 200_000);
  assert.equal(readScriptStatus(ended.directory), 5);
});

test('one that signals its whole group does not end the shell that waits for it', async () => {
  const ended = await run('trap "echo caught; exit 4" TERM; kill -TERM 0; sleep 5; exit 0');
  assert.equal(readScriptStatus(ended.directory), 4);
  assert.equal(textOf(ended), 'caught\n');
});

test('what the kernel would not start is refused with the reason', () => {
  const path = join(home, 'odd.sh');
  const write = (text: string, mode = 0o755): void => {
    rmSync(path, { force: true });
    writeFileSync(path, text, { mode });
  };
  assert.throws(
    () => assertStartable(join(home, 'none.sh'), './none.sh'),
    /cannot start '.\/none.sh': it does not exist/,
  );
  write('#!/no/such/shell -e\n');
  assert.throws(
    () => assertStartable(path, './odd.sh'),
    /"\/no\/such\/shell", the interpreter in its first line, does not exist/,
  );
  write('#!/bin/sh\r\necho\r\n');
  assert.throws(() => assertStartable(path, './odd.sh'), /"\/bin\/sh\\r", the interpreter/);
  write('#!/bin/sh\n', 0o644);
  assert.throws(() => assertStartable(path, './odd.sh'), /x bit missing/);
  write('#! /bin/sh\n');
  assertStartable(path, './odd.sh');
});
