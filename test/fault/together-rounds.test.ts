/**
 * Rounds of commands whose two apps are installed together, good and bad, cut short in every way, on a gateway with a real
 * supervisord, one round on the remains of the other: afterwards both are new or both are as before, and told so.
 * GWE_FAULTS=full: 400 rounds, otherwise 6. GWE_SEED=<seed> GWE_ROUNDS=1 runs one alone.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createOutbox } from '../../src/store/outbox.ts';
import { activeVersion, appTarball, FULL, installScript, leftovers, overlaps } from '../helpers/fault-rig.ts';
import type { Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { createRandom, pick } from '../helpers/random.ts';
import {
  closeRoundGateway,
  endAll,
  openRoundGateway,
  type RoundGateway,
  runOnce,
  runRounds,
} from '../helpers/round-rig.ts';
import { startSupervisord } from '../helpers/supervisord.ts';
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

interface Worker extends RoundGateway {
  /** What both are after the last round; nothing before the first. */
  version: string | undefined;
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
      Array.from({ length: WORKERS }, async (_, index) => ({
        ...(await openRoundGateway(platform, index, { watch_window: 0 })),
        version: undefined,
      })),
    );
  });
  after(async () => {
    for (const worker of workers) await closeRoundGateway(worker);
    await platform.close();
  });

  async function cutShort(worker: Worker, cut: Cut, random: () => number, logs: string[]): Promise<void> {
    for (let left = cut === 'none' ? 0 : cut === 'kill twice' ? 2 : 1; left > 0; left--) {
      const run = runOnce(worker);
      await Promise.race([delay(50 + random() * 2500), run.ended]);
      run.child.kill(cut === 'stop' ? 'SIGTERM' : 'SIGKILL');
      if (cut === 'power') await losePower(worker);
      await run.ended;
      logs.push(run.log());
    }
  }

  async function losePower(worker: Worker): Promise<void> {
    await endAll(worker, APPS);
    worker.supervisord = await startSupervisord(worker.gateway.root);
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
      const run = runOnce(worker);
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
    await runRounds({ name: 'together-rounds', seed: SEED, count: ROUNDS, workers, counts, round });
  });
});
