/**
 * Rounds of commands whose two apps are installed together, good and bad, cut short in every way, on a gateway with a real
 * supervisord, one round on the remains of the other: afterwards both are new or both are as before, and told so.
 * GWE_FAULTS=full: 400 rounds, otherwise 6. GWE_SEED=<seed> GWE_ROUNDS=1 runs one alone.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createOutbox } from '../../src/store/outbox.ts';
import {
  activeVersion,
  appTarball,
  COMMAND,
  FULL,
  installScript,
  leftovers,
  overlaps,
  printTotals,
} from '../helpers/fault-rig.ts';
import { createGateway, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { createRandom, pick } from '../helpers/random.ts';
import { killScript } from '../helpers/restarting-scripts.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const ROUNDS = Number(process.env.GWE_ROUNDS ?? (FULL ? 400 : 6));
const SEED = Number(process.env.GWE_SEED ?? Math.floor(Math.random() * 1_000_000_000));
const MOST_STARTS = 10;
const WORKERS = Math.min(FULL ? 6 : 3, ROUNDS);
const APPS = ['one', 'two'] as const;
const KINDS = ['good', 'good', 'good', 'dies', 'install fails'] as const;
type Kind = (typeof KINDS)[number];
const CUTS = ['none', 'kill', 'kill twice', 'stop', 'power'] as const;
type Cut = (typeof CUTS)[number];

interface Worker {
  readonly gateway: Gateway;
  supervisord: Supervisord;
  /** What both are after the last round; nothing before the first. */
  version: string | undefined;
}

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  log(): string;
}

function artifact(version: string, kind: Kind): Buffer {
  const command = kind === 'dies' ? '/bin/false' : `/bin/sleep 100${version}`;
  const fails = '[ -e "$root/run" ] && rm -f "$root/script.pid" && exit 3';
  return appTarball(version, {
    'install.sh': installScript(kind === 'install fails' ? fails : ''),
    'supervisor.conf': `[supervisord]\ncommand = ${command}\nstartretries = ${kind === 'dies' ? 0 : 3}\n`,
  });
}

describe(`rounds of two apps together (GWE_SEED=${SEED})`, () => {
  let platform: TestPlatform;
  let workers: Worker[];
  const counts = new Map<string, number>();

  before(async () => {
    platform = await startPlatform();
    workers = await Promise.all(
      Array.from({ length: WORKERS }, async (_, index) => {
        const gateway = await createGateway(platform, {
          command: COMMAND,
          serial: `gw-${index}`,
          settings: { settle_time: 0, start_deadline: 15, http_timeout: 20, watch_window: 0 },
        });
        const worker = { gateway, supervisord: await startSupervisord(gateway.root), version: undefined };
        assert.equal(await once(worker).ended, 0, 'the gateway has its key');
        return worker;
      }),
    );
  });
  after(async () => {
    for (const { gateway, supervisord } of workers) {
      await supervisord.stop();
      await gateway.remove();
    }
    await platform.close();
  });

  /** Starts `gwe --once`; `ended` resolves to its status. */
  function once({ gateway }: Pick<Worker, 'gateway'>): Run {
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

  async function cutShort(worker: Worker, cut: Cut, random: () => number, logs: string[]): Promise<void> {
    for (let left = cut === 'none' ? 0 : cut === 'kill twice' ? 2 : 1; left > 0; left--) {
      const run = once(worker);
      await Promise.race([delay(50 + random() * 2500), run.ended]);
      run.child.kill(cut === 'stop' ? 'SIGTERM' : 'SIGKILL');
      if (cut === 'power') await losePower(worker);
      await run.ended;
      logs.push(run.log());
    }
  }

  /** install.sh, supervisord and its programs are gone with gwe. Then supervisord is back. */
  async function losePower(worker: Worker): Promise<void> {
    const programs = await Promise.all(APPS.map((app) => worker.supervisord.processInfo(app)));
    killScript(worker.gateway.root);
    await worker.supervisord.kill();
    for (const program of programs) if (program !== undefined && program.pid > 0) kill(program.pid);
    worker.supervisord = await startSupervisord(worker.gateway.root);
  }

  function kill(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It was gone already.
    }
  }

  /** A stop is a clean end, with the command in its middle. */
  function isAtRest({ root }: Gateway): boolean {
    return !existsSync(join(root, 'var/lib/gwe/command.json'));
  }

  async function round(worker: Worker, seed: number): Promise<string[]> {
    const random = createRandom(seed);
    const isFirst = worker.version === undefined;
    const kinds = APPS.map(() => (isFirst ? 'good' : pick(KINDS, random)));
    const cut = pick(CUTS, random);
    const { product, serial } = worker.gateway;
    const version = `${seed}`;
    const install: { name: string }[] = [];
    for (const [index, app] of APPS.entries()) {
      const name = `${app}.v${version}.tar.gz`;
      await platform.putContent(product, name, artifact(version, kinds[index] ?? 'good'));
      install.push({ name });
    }
    const before = (await platform.history(product, serial, 'fetch_status')).length;
    await platform.write(product, serial, 'engine_fetch', JSON.stringify({ install, together: true }));
    const logs: string[] = [];
    await cutShort(worker, cut, random, logs);
    for (let tries = 0; tries < MOST_STARTS; tries++) {
      const run = once(worker);
      const status = await run.ended;
      logs.push(run.log());
      if (status === 0 && isAtRest(worker.gateway)) break;
    }
    const history = await platform.history(product, serial, 'fetch_status');
    const told = history.slice(0, history.length - before).map(({ value }) => JSON.parse(value));
    const isGood = kinds.every((kind) => kind === 'good');
    const found = await check(worker, { version, isGood }, told);
    const key = `${kinds.join(' and ')}, ${cut}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (found.length > 0 && process.env.GWE_FAULT_LOGS !== undefined) console.log(logs.join('\n---\n'));
    return found.map((sentence) => `GWE_SEED=${seed} (${key}): ${sentence}`);
  }

  /** `told`: the newest first. */
  async function check(
    worker: Worker,
    { version, isGood }: { version: string; isGood: boolean },
    told: readonly Record<string, unknown>[],
  ): Promise<string[]> {
    const { root } = worker.gateway;
    const found = [...leftovers(root), ...overlaps(root)];
    const expected = isGood ? version : worker.version;
    for (const app of APPS) {
      const active = activeVersion(root, app);
      const is = 'version' in active ? active.version : active.violation;
      if (is !== expected) found.push(`'current' of ${app} is ${is}, expected ${expected}`);
      const last = told.find(({ name, outcome }) => name === app && outcome !== 'in progress');
      if ((last?.outcome === 'installed') !== isGood)
        found.push(`${app} is told as ${last?.outcome}: ${last?.code} ${last?.reason}`);
      if (told.some(({ outcome }) => outcome === 'rollback-failed')) found.push('rollback-failed');
      found.push(...(await programFaults(worker, app, expected ?? '')));
    }
    if (isGood) worker.version = version;
    return [...found, ...recordFaults(worker, expected)];
  }

  async function programFaults({ supervisord }: Worker, app: string, version: string): Promise<string[]> {
    await until(async () => (await supervisord.processInfo(app))?.statename !== 'STARTING');
    const info = await supervisord.processInfo(app);
    if (info?.statename !== 'RUNNING') return [`${app} is ${info?.statename}`];
    const [, runs] = readFileSync(`/proc/${info.pid}/cmdline`, 'utf8').split('\0');
    return runs === `100${version}` ? [] : [`${app} runs ${runs}, expected 100${version}`];
  }

  function recordFaults({ gateway }: Worker, expected: string | undefined): string[] {
    const state = join(gateway.root, 'var/lib/gwe');
    const { apps } = JSON.parse(readFileSync(join(state, 'installed.json'), 'utf8'));
    const { transaction } = JSON.parse(readFileSync(join(state, 'journal.json'), 'utf8'));
    const found = APPS.filter((app) => apps[app]?.active?.version !== expected).map(
      (app) => `installed.json: ${app} ${apps[app]?.active?.version}`,
    );
    if (!transaction.closed) found.push(`the journal is open in ${transaction.state}`);
    if (!isAtRest(gateway)) found.push('the command is not over');
    if (createOutbox(join(state, 'outbox')).size() > 0) found.push('an unsent report');
    return found;
  }

  test(`${ROUNDS} rounds of two apps, both or none`, async () => {
    const startedMs = performance.now();
    const violations: string[] = [];
    let next = 0;
    await Promise.all(
      workers.map(async (worker) => {
        while (next < ROUNDS && violations.length < 20)
          violations.push(...(await round(worker, SEED + next++)));
      }),
    );
    const done = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const what = `${done} rounds of ${counts.size} combinations`;
    printTotals(`together-rounds, GWE_SEED=${SEED}`, startedMs, violations.length, what);
    assert.deepEqual(violations, []);
    assert.equal(done, ROUNDS);
  });
});
