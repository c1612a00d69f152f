/** Gateways with a real supervisord for rounds of cut updates: gwe started once, its power lost, rounds on the remains of rounds. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { COMMAND, printTotals } from './fault-rig.ts';
import { createGateway, type Gateway } from './gateway.ts';
import type { TestPlatform } from './platform.ts';
import { killScript } from './restarting-scripts.ts';
import { type Supervisord, startSupervisord } from './supervisord.ts';

/** So many violations end the rounds. */
const MOST_VIOLATIONS = 20;

export interface RoundGateway {
  readonly gateway: Gateway;
  supervisord: Supervisord;
}

export interface Run {
  readonly child: ChildProcess;
  /** The exit status of gwe. */
  readonly ended: Promise<number | null>;
  log(): string;
}

export interface Rounds<W extends RoundGateway> {
  name: string;
  seed: number;
  count: number;
  workers: readonly W[];
  /** Of each combination that a round tries, how often it came. */
  counts: ReadonlyMap<string, number>;
  /** What is wrong after the round of this seed. */
  round(worker: W, seed: number): Promise<string[]>;
}

/** Gateway number `index`, with its key: one that a power cut loses on its way has to be enabled again by a person. */
export async function openRoundGateway(
  platform: TestPlatform,
  index: number,
  settings: Readonly<Record<string, number>>,
): Promise<RoundGateway> {
  const gateway = await createGateway(platform, {
    command: COMMAND,
    serial: `gw-${index}`,
    settings: { settle_time: 0, start_deadline: 15, http_timeout: 20, ...settings },
  });
  const opened = { gateway, supervisord: await startSupervisord(gateway.root) };
  assert.equal(await runOnce(opened).ended, 0, 'the gateway has its key');
  return opened;
}

export async function closeRoundGateway({ gateway, supervisord }: RoundGateway): Promise<void> {
  await supervisord.stop();
  await gateway.remove();
}

/** Starts `gwe --once`. */
export function runOnce({ gateway }: Pick<RoundGateway, 'gateway'>): Run {
  const [program = '', ...first] = COMMAND;
  const env = { PATH: process.env.PATH ?? '', HOME: gateway.root, GWE_ROOT: gateway.root };
  const child = spawn(program, [...first, '--once'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString('utf8');
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', (status) => resolve(status)));
  return { child, ended, log: () => log };
}

/** install.sh, supervisord and the programs of `apps` are gone, as when the power goes. */
export async function endAll({ gateway, supervisord }: RoundGateway, apps: readonly string[]): Promise<void> {
  const programs = await Promise.all(apps.map((app) => supervisord.processInfo(app)));
  killScript(gateway.root);
  await supervisord.kill();
  for (const program of programs) if (program !== undefined && program.pid > 0) kill(program.pid);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was gone already.
  }
}

/** Each worker takes the next round when it is done with its last; prints what was covered, and fails on a violation. */
export async function runRounds<W extends RoundGateway>(rounds: Rounds<W>): Promise<void> {
  const startedMs = performance.now();
  const violations: string[] = [];
  let next = 0;
  const work = async (worker: W): Promise<void> => {
    while (next < rounds.count && violations.length < MOST_VIOLATIONS)
      violations.push(...(await rounds.round(worker, rounds.seed + next++)));
  };
  await Promise.all(rounds.workers.map(work));
  const done = [...rounds.counts.values()].reduce((sum, count) => sum + count, 0);
  const what = `${done} rounds of ${rounds.counts.size} combinations`;
  printTotals(`${rounds.name}, GWE_SEED=${rounds.seed}`, startedMs, violations.length, what);
  assert.deepEqual(violations, []);
  assert.equal(done, rounds.count);
}
