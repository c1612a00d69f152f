/**
 * Rounds of install, update, bad update and cut, on a gateway with a real supervisord, one round on the remains of
 * the other. After each of them everything must be true. GWE_FAULTS=full: 2,000 rounds, otherwise 8. Every round has
 * a seed, and says it when it fails: GWE_SEED=<seed> GWE_ROUNDS=1 runs that one alone.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createOutbox } from '../../src/store/outbox.ts';
import {
  appEntries,
  appTarball,
  type Entries,
  FULL,
  installCommand,
  installScript,
  leftovers,
  overlaps,
} from '../helpers/fault-rig.ts';
import { noise } from '../helpers/fault-updates.ts';
import type { Gateway } from '../helpers/gateway.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { createRandom, pick } from '../helpers/random.ts';
import { pretendReboot, RESTARTS, takeReboot } from '../helpers/restarting-scripts.ts';
import {
  closeRoundGateway,
  endAll,
  openRoundGateway,
  type RoundGateway,
  type Run,
  runOnce,
  runRounds,
} from '../helpers/round-rig.ts';
import { startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const ROUNDS = Number(process.env.GWE_ROUNDS ?? (FULL ? 2000 : 8));
const SEED = Number(process.env.GWE_SEED ?? Math.floor(Math.random() * 1_000_000_000));
/** An install.sh that restarts gwe or the gateway needs some of them, of the new version and of the one before. */
const MOST_STARTS = 10;
const WORKERS = Math.min(FULL ? 8 : 5, ROUNDS);

/** What an artifact turns out to be. */
const KINDS = [
  'good',
  'chunks',
  'chunks',
  'dies',
  'install fails',
  'one-off',
  'again',
  'restarts gwe',
  'restarts supervisord',
  'reboots',
] as const;
type Kind = (typeof KINDS)[number];
const CUTS = ['none', 'kill', 'kill twice', 'stop', 'supervisord'] as const;
type Cut = (typeof CUTS)[number];
/** Another program's entry in conf.d: well, broken from before the command on, or broken by install.sh. */
const NEIGHBOURS = ['well', 'well', 'well', 'broken', 'breaks'] as const;
type Neighbour = (typeof NEIGHBOURS)[number];

interface Worker extends RoundGateway {
  /** The newest artifact that was installed; commanded again by `again`. */
  last: { version: string; kind: Kind } | undefined;
}

/** Breaks the neighbour's entry in the middle of an update, in the rounds that ask for it. */
const BREAK = '[ -e "$root/break" ] && cp "$root/break" "$root/etc/supervisor/conf.d/other.conf"';
const BROKEN_ENTRY = '[program:other]\ncommand = /bin/true\nnumprocs = abc\n';

function tarball(version: string, extra: Entries = {}): Buffer {
  return appTarball(version, { 'install.sh': installScript(BREAK), ...extra });
}

function artifact(version: string, kind: Kind): Buffer | Promise<Buffer> {
  const program = (command: string, retries: number): string =>
    `[supervisord]\ncommand = ${command}\nstartretries = ${retries}\n`;
  switch (kind) {
    case 'dies':
      return tarball(version, { 'supervisor.conf': program('/bin/false', 0) });
    case 'install fails':
      return tarball(version, {
        'install.sh': installScript(`${BREAK}\n[ -e "$root/run" ] && rm -f "$root/script.pid" && exit 3`),
        'supervisor.conf': program('/bin/sleep 1000', 3),
      });
    case 'one-off':
      return tarball(version);
    case 'chunks': {
      const entries = appEntries(version, {
        'install.sh': installScript(BREAK),
        'supervisor.conf': program('/bin/sleep 1000', 3),
        // The same in all of them, and of each its own.
        'data/common': { content: noise('common', 150_000) },
        'data/own': { content: noise(version, 20_000) },
      });
      return makeIndexed({ name: 'one', version }, entries);
    }
    case 'restarts gwe':
    case 'restarts supervisord':
    case 'reboots':
      return tarball(version, {
        'install.sh': installScript(`${BREAK}\n${RESTARTS[kind]}`),
        'supervisor.conf': program('/bin/sleep 1000', 3),
      });
    default:
      return tarball(version, { 'supervisor.conf': program('/bin/sleep 1000', 3) });
  }
}

describe(`random rounds (GWE_SEED=${SEED})`, () => {
  let platform: TestPlatform;
  let workers: Worker[];
  const counts = new Map<string, number>();

  before(async () => {
    platform = await startPlatform();
    workers = await Promise.all(
      Array.from({ length: WORKERS }, async (_, index) => ({
        ...(await openRoundGateway(platform, index, {})),
        last: undefined,
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
      await Promise.race([delay(50 + random() * 1500), run.ended]);
      if (cut === 'supervisord') await losePower(worker, run);
      else run.child.kill(cut === 'stop' ? 'SIGTERM' : 'SIGKILL');
      await run.ended;
      await rebootIfAsked(worker);
      logs.push(run.log());
    }
  }

  /** True where install.sh wanted it: gwe, it and supervisord are gone, and come back in another boot. */
  async function rebootIfAsked(worker: Worker): Promise<boolean> {
    if (!takeReboot(worker.gateway.root)) return false;
    await endAll(worker, ['one']);
    pretendReboot(worker.gateway.root);
    worker.supervisord = await startSupervisord(worker.gateway.root);
    return true;
  }

  /** The whole gateway goes down: gwe, supervisord and its programs. Then supervisord is back. */
  async function losePower(worker: Worker, run: Run): Promise<void> {
    run.child.kill('SIGKILL');
    await endAll(worker, ['one']);
    await run.ended;
    worker.supervisord = await startSupervisord(worker.gateway.root);
  }

  /** A stop by install.sh is a clean end, with the update in its middle. */
  function isAtRest({ root }: Gateway): boolean {
    const journal = join(root, 'var/lib/gwe/journal.json');
    return !existsSync(journal) || JSON.parse(readFileSync(journal, 'utf8')).transaction.closed === true;
  }

  function spoil({ root }: Gateway, neighbour: Neighbour): void {
    if (neighbour === 'broken') writeFileSync(join(root, 'etc/supervisor/conf.d/other.conf'), BROKEN_ENTRY);
    if (neighbour === 'breaks') writeFileSync(join(root, 'break'), BROKEN_ENTRY);
  }

  function repairNeighbour({ root }: Gateway): void {
    for (const path of ['etc/supervisor/conf.d/other.conf', 'break'])
      rmSync(join(root, path), { force: true });
  }

  async function round(worker: Worker, seed: number): Promise<string[]> {
    const random = createRandom(seed);
    const kind = worker.last === undefined ? 'good' : pick(KINDS, random);
    const cut = pick(CUTS, random);
    const { gateway } = worker;
    // With a broken entry supervisord itself would not come back from a power cut.
    const isWell = worker.last === undefined || cut === 'supervisord';
    const neighbour = isWell ? 'well' : pick(NEIGHBOURS, random);
    const { product, serial } = gateway;
    const reports = () => platform.history(product, serial, 'fetch_status');
    const isAgain = kind === 'again' && worker.last !== undefined;
    const target = isAgain && worker.last !== undefined ? worker.last : { version: `${seed}`, kind };
    const name = `one.v${target.version}.tar.gz`;
    const meta = kind === 'chunks' ? '' : undefined;
    if (!isAgain) await platform.putContent(product, name, await artifact(target.version, kind), meta);
    const before = await reports();
    spoil(gateway, neighbour);
    await platform.write(product, serial, 'engine_fetch', installCommand(name));
    const logs: string[] = [];
    await cutShort(worker, cut, random, logs);
    for (let tries = 0; tries < MOST_STARTS; tries++) {
      const run = runOnce(worker);
      const status = await run.ended;
      logs.push(run.log());
      if (!(await rebootIfAsked(worker)) && status === 0 && isAtRest(gateway)) break;
    }
    const told = (await reports()).slice(0, -before.length || undefined);
    repairNeighbour(gateway);
    const found = await check(
      worker,
      { ...target, neighbour },
      told.map(({ value }) => JSON.parse(value)),
    );
    const key = `${kind}, ${cut}, neighbour ${neighbour}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (found.length > 0 && process.env.GWE_FAULT_LOGS !== undefined) console.log(logs.join('\n---\n'));
    return found.map((sentence) => `GWE_SEED=${seed} (${key}): ${sentence}`);
  }

  async function check(
    worker: Worker,
    target: { version: string; kind: Kind; neighbour: Neighbour },
    told: Record<string, unknown>[],
  ): Promise<string[]> {
    const { gateway } = worker;
    const violations = [...leftovers(gateway.root), ...overlaps(gateway.root)];
    const [report] = told;
    if (told.length !== 1 || report === undefined) return [...violations, `${told.length} reports`];
    const active = gateway.active('one')?.split('-')[0] ?? '';
    const isNew = report.outcome === 'installed' || report.outcome === 'unchanged';
    // A one-off needs nothing of supervisord; no program can be changed beside an entry that cannot be read.
    const isInTheWay = target.neighbour !== 'well' && target.kind !== 'one-off';
    const isGood = target.kind !== 'dies' && target.kind !== 'install fails' && !isInTheWay;
    if (report.outcome === 'rollback-failed') violations.push(`${report.outcome}: ${report.rollback}`);
    if (isInTheWay && target.neighbour === 'broken' && report.outcome !== 'failed-no-change')
      violations.push(`'${report.outcome}' with a broken neighbour`);
    if (isNew !== isGood)
      violations.push(`'${report.outcome}' of a '${target.kind}': ${report.code} ${report.reason}`);
    if (report.active !== active) violations.push(`reports ${report.active}, 'current' is ${active}`);
    if (isNew) worker.last = { version: target.version, kind: target.kind };
    if (active !== (worker.last?.version ?? ''))
      violations.push(`'current' is ${active}, expected ${worker.last?.version}`);
    violations.push(...(await checkProgram(worker)), ...checkRecords(gateway, active, isNew));
    return violations;
  }

  async function checkProgram({ gateway, supervisord, last }: Worker): Promise<string[]> {
    const entry = existsSync(join(gateway.root, 'etc/supervisor/conf.d/one.conf'));
    const info = await supervisord.processInfo('one');
    if (last === undefined || last.kind === 'one-off')
      return info === undefined && !entry ? [] : [`a one-off runs: ${info?.statename}`];
    if (info === undefined || !entry) return ['the program is not there'];
    await until(async () => (await supervisord.processInfo('one'))?.statename !== 'STARTING');
    const state = (await supervisord.processInfo('one'))?.statename;
    return state === 'RUNNING' ? [] : [`the program is ${state}`];
  }

  function checkRecords(gateway: Gateway, active: string, isNew: boolean): string[] {
    const state = join(gateway.root, 'var/lib/gwe');
    const { apps } = JSON.parse(readFileSync(join(state, 'installed.json'), 'utf8'));
    const { transaction } = JSON.parse(readFileSync(join(state, 'journal.json'), 'utf8'));
    const kept = gateway.versions('one').filter((name) => !name.startsWith('.') && name !== 'previous');
    const violations: string[] = [];
    if (apps.one?.active?.version !== (active === '' ? undefined : active))
      violations.push(`installed.json: ${apps.one?.active?.version}`);
    if (!transaction.closed) violations.push(`the journal is open in ${transaction.state}`);
    if (createOutbox(join(state, 'outbox')).size() > 0) violations.push('an unsent report');
    // What failed last is only cleared away by the next success.
    if (kept.length > (isNew ? 2 : 3)) violations.push(`${kept.length} versions are kept`);
    return violations;
  }

  test(`${ROUNDS} rounds of install, update, bad update and cut`, async () => {
    await runRounds({ name: 'random-rounds', seed: SEED, count: ROUNDS, workers, counts, round });
  });
});
