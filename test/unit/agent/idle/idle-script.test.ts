/** The shell that gwe becomes between check-ins, under the shells that gateways have. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { idleArguments } from '../../../../src/agent/idle/idle-script.ts';
import { hasEnded } from '../../../helpers/has-ended.ts';
import { until } from '../../../helpers/until.ts';

const SHELLS: readonly (readonly string[])[] = [['dash'], ['busybox', 'sh'], ['bash', '--posix']];
const directory = mkdtempSync(join(tmpdir(), 'gwe-idle-'));
after(() => rmSync(directory, { recursive: true }));

interface Sleeper {
  child: ChildProcess;
  lock: string;
  memory: string;
  mark: string;
  stdout(): string;
  stderr(): string;
  ended: Promise<number | null>;
}

/** What comes after the sleep prints why it was woken, and its argument. */
function sleep(shell: readonly string[], seconds: number, argument = '', hasMark = false): Sleeper {
  const place = mkdtempSync(join(directory, "a 'b' $(c) "));
  const [lock, memory, mark] = ['lock', 'memory', 'mark'].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [lock, memory]) writeFileSync(path, '');
  if (hasMark) writeFileSync(mark, '');
  const awake = `console.log(process.env.GWE_WOKEN, process.argv[1])`;
  const command = [process.execPath, '-e', awake, '--', argument];
  const lastWords = ['before ', ' after'] as const;
  const [, ...words] = idleArguments({ seconds, lock, memory, mark, lastWords, command });
  const [program = '', ...first] = shell;
  const child = spawn(program, [...first, ...words], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
    });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, lock, memory, mark, stdout: () => texts.stdout, stderr: () => texts.stderr, ended };
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => {
      try {
        return new RegExp(`^PPid:\\s*${pid}$`, 'm').test(readFileSync(`/proc/${each}/status`, 'utf8'));
      } catch {
        return false;
      }
    });
}

async function untilAsleep({ child }: Sleeper): Promise<number> {
  const pid = child.pid ?? 0;
  await until(() => childrenOf(pid).length === 1);
  return childrenOf(pid)[0] ?? 0;
}

for (const shell of SHELLS) {
  const by = shell.join(' ');

  test(`${by}: when the time is up the command goes on, its words as they are`, async () => {
    const argument = `a  "b" 'c' $(d) \\ *`;
    const sleeper = sleep(shell, 0, argument);
    assert.equal(await sleeper.ended, 0, sleeper.stderr());
    assert.equal(sleeper.stdout(), `time ${argument}\n`);
    assert.ok(existsSync(sleeper.lock) && existsSync(sleeper.memory), 'they are for the one that goes on');
  });

  test(`${by}: SIGHUP wakes at once, and leaves nobody asleep`, async () => {
    const sleeper = sleep(shell, 600);
    const nap = await untilAsleep(sleeper);
    sleeper.child.kill('SIGHUP');
    assert.equal(await sleeper.ended, 0, sleeper.stderr());
    assert.deepEqual([sleeper.stdout(), sleeper.stderr()], ['signal \n', '']);
    assert.ok(hasEnded(nap));
  });

  test(`${by}: SIGTERM ends with status 0, the last words and no lock`, async () => {
    const sleeper = sleep(shell, 600);
    const nap = await untilAsleep(sleeper);
    sleeper.child.kill('SIGTERM');
    assert.equal(await sleeper.ended, 0, sleeper.stderr());
    assert.match(sleeper.stderr(), /^before \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z after\n$/);
    assert.equal(sleeper.stdout(), '');
    assert.ok(!existsSync(sleeper.lock) && !existsSync(sleeper.memory) && hasEnded(nap));
  });

  test(`${by}: SIGTERM ends it also where SIGHUP came at the same moment`, async () => {
    const sleeper = sleep(shell, 600);
    const nap = await untilAsleep(sleeper);
    for (const signal of ['SIGSTOP', 'SIGHUP', 'SIGTERM', 'SIGCONT'] as const) sleeper.child.kill(signal);
    assert.equal(await sleeper.ended, 0, sleeper.stderr());
    assert.equal(sleeper.stdout(), '');
    assert.ok(!existsSync(sleeper.lock) && hasEnded(nap));
  });

  test(`${by}: a mark left before it slept wakes it`, async () => {
    const sleeper = sleep(shell, 600, '', true);
    assert.equal(await sleeper.ended, 0, sleeper.stderr());
    assert.equal(sleeper.stdout(), 'signal \n');
  });
}
