/**
 * Every working state of the transition table, times every way to be cut short in it. The table says what must follow;
 * the disk, supervisord and the report must agree with it. Real effects, journal and store; time and supervisord are fakes.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  composeContentApi,
  composeContext,
  composeRunner,
  composeTransport,
} from '../../src/agent/compose.ts';
import type { AgentContext } from '../../src/agent/context.ts';
import { createTrafficCounter } from '../../src/agent/traffic.ts';
import type { Clock } from '../../src/base/clock.ts';
import { GweError } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/log.ts';
import { saveEngineConfig, saveGatewayConfig } from '../../src/config/files.ts';
import type { ContentApi } from '../../src/protocol/content.ts';
import { createLayout } from '../../src/store/layout.ts';
import type { Transaction } from '../../src/update/journal.ts';
import {
  isFinal,
  nextState,
  TRANSITIONS,
  type UpdateState,
  WORKING_STATES,
  type WorkingState,
} from '../../src/update/machine.ts';
import type { UpdateEffects } from '../../src/update/ports.ts';
import { type RunnerDependencies, resumeTransaction, runTransaction } from '../../src/update/runner.ts';
import { type DiskFaults, installDiskFaults } from '../helpers/disk-faults.ts';
import { createFakeSupervisor, type FakeSupervisor, noAnswer } from '../helpers/fake-supervisor.ts';
import { activeVersion, appTarball, FULL, leftovers } from '../helpers/fault-rig.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';

const FAULTS = [
  'kill before',
  'kill after',
  'kill twice',
  'kill at five starts',
  'EIO',
  'ENOSPC',
  'EROFS',
  'short write',
  'dropped socket',
  'hang',
] as const;
type FaultName = (typeof FAULTS)[number];

interface World {
  root: string;
  context: AgentContext;
  supervisor: FakeSupervisor;
  content: ContentApi;
  /** Distinct states in the order in which they were journalled. */
  chain: UpdateState[];
  clock: ScaledClock;
  /** A fault came to pass. */
  hits: number;
}

interface ScaledClock extends Clock {
  /** Deadlines of many seconds come at once: something hangs. */
  isImpatient: boolean;
}

/** Short pauses take a millisecond; long ones last until they are cancelled. */
function createScaledClock(): ScaledClock {
  let nowMs = 0;
  const clock: ScaledClock = {
    isImpatient: false,
    wallMs: () => 1_700_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    async sleep(ms, signal) {
      if (signal?.aborted) return;
      const isLong = ms >= 30_000;
      if (isLong && !clock.isImpatient) {
        await new Promise<void>((resolve) =>
          signal?.addEventListener('abort', () => resolve(), { once: true }),
        );
        return;
      }
      await delay(isLong ? 50 : 1, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      nowMs += ms;
    },
  };
  return clock;
}

const COMMANDS: Readonly<Record<string, string>> = {
  '1': '/bin/sleep 1001',
  '2': '/bin/sleep 1002',
  '3': '/bin/false 1003',
};

function programApp(version: string): Buffer {
  return appTarball(version, { 'supervisor.conf': `[supervisord]\ncommand = ${COMMANDS[version]}\n` });
}

/** The whole way through the table when every state's work succeeds; to the end by rollback for version 3. */
function wayOf(version: string): UpdateState[] {
  const way: UpdateState[] = ['planned'];
  for (let at: UpdateState = 'planned'; !isFinal(at); way.push(at))
    at = nextState(at, version === '3' && at === 'probing' ? 'failed' : 'done');
  return way;
}

/** The way when the work of `state` fails for good. */
function wayOfFailure(version: string, state: WorkingState): UpdateState[] {
  const way = wayOf(version);
  const until = way.slice(0, way.indexOf(state) + 1);
  for (let at: UpdateState = nextState(state, 'failed'); ; at = nextState(at, 'done')) {
    until.push(at);
    if (isFinal(at)) return until;
  }
}

describe('every state times every fault', () => {
  let platform: TestPlatform;
  let template: string;
  let disk: DiskFaults;
  const totals = { cells: 0, hits: 0 };

  before(async () => {
    platform = await startPlatform();
    for (const version of ['1', '2', '3'])
      await platform.putContent('p1', `one.v${version}.tar.gz`, programApp(version));
    await platform.addDevice('p1', 'gw-1');
    template = mkdtempSync(join(tmpdir(), 'gwe-matrix-'));
    const layout = createLayout(template);
    for (const directory of [
      layout.programsDirectory,
      layout.runDirectory,
      layout.stateDirectory,
      join(template, 'etc/gwe'),
    ])
      mkdirSync(directory, { recursive: true });
    const cik = await platform.activate('p1', 'gw-1');
    saveGatewayConfig(layout.gatewayConfig, { cik, model: 'p1', vendor: 'p1', uuid: 'gw-1' });
    saveEngineConfig(layout.engineConfig, { platformUrl: platform.url, settleTimeS: 0, startDeadlineS: 5 });
    const world = openWorld(template);
    const first = await runTransaction(startOf('1'), runnerOf(world));
    assert.equal(first.state, 'committed', JSON.stringify(first));
    for (const name of readdirSync(layout.outboxDirectory)) rmSync(join(layout.outboxDirectory, name));
    disk = installDiskFaults();
  });
  after(async () => {
    disk.restore();
    rmSync(template, { recursive: true, force: true });
    await platform.close();
    console.log(`crash-matrix: ${totals.cells} cells, ${totals.hits} in which the fault came to pass`);
  });

  function startOf(version: string) {
    const contentId = `one.v${version}.tar.gz`;
    return {
      id: `tx-${version}`,
      app: 'one',
      version,
      contentId,
      source: { kind: 'content' },
      commandDigest: 'c',
    } as const;
  }

  /** What a process holds in memory; made anew at every start. */
  function openWorld(root: string, before?: World): World {
    const layout = createLayout(root);
    const clock = createScaledClock();
    const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
    const signal = new AbortController().signal;
    const composed = composeContext({ layout, log, env: process.env, gweVersion: '0', signal });
    const supervisor = before?.supervisor ?? createFakeSupervisor(layout.programsDirectory);
    const context: AgentContext = { ...composed, clock, supervisor: () => supervisor.client };
    const chain = before?.chain ?? [];
    const journal = {
      ...composed.journal,
      write(transaction: Transaction) {
        composed.journal.write(transaction);
        if (chain.at(-1) !== transaction.state) chain.push(transaction.state);
      },
    };
    const transport = composeTransport(context, createTrafficCounter());
    const content = { ...composeContentApi(context, transport), clock };
    return {
      root,
      context: { ...context, journal },
      supervisor,
      content,
      chain,
      clock,
      hits: before?.hits ?? 0,
    };
  }

  function runnerOf(world: World): RunnerDependencies {
    return composeRunner(world.context, world.content, new AbortController().signal);
  }

  /** The fault in `state` at start number `start`; `die` never comes back. */
  function spoil(
    world: World,
    effects: UpdateEffects,
    state: WorkingState,
    fault: FaultName,
    start: number,
    die: () => Promise<never>,
  ): UpdateEffects {
    const work = effects[state];
    const kills: Partial<Record<FaultName, number>> = {
      'kill before': 1,
      'kill twice': 2,
      'kill at five starts': 5,
    };
    const spoiled: UpdateEffects[WorkingState] = async (effect) => {
      if (start <= (kills[fault] ?? 0)) return die();
      switch (fault) {
        case 'kill after':
          if (start > 1) return work(effect);
          await work(effect);
          return die();
        case 'EIO':
        case 'ENOSPC':
        case 'EROFS':
        case 'short write': {
          if (start > 1) return work(effect);
          const broken = { code: fault === 'short write' ? 'short' : fault, hits: 0 } as const;
          disk.set(world.root, broken);
          try {
            return await work(effect);
          } finally {
            disk.set(world.root, undefined);
            world.hits += broken.hits;
          }
        }
        case 'dropped socket':
          return start > 1 ? work(effect) : dropSocket(world, () => work(effect));
        case 'hang':
          return start > 1 ? work(effect) : hang(world, state, () => work(effect), die);
        default:
          return work(effect);
      }
    };
    return { ...effects, [state]: spoiled };
  }

  /** The first call to supervisord is lost on its way. */
  async function dropSocket<T>(world: World, work: () => Promise<T>): Promise<T> {
    let isDropped = false;
    world.supervisor.fault = () => {
      if (isDropped) return undefined;
      isDropped = true;
      world.hits++;
      return noAnswer();
    };
    try {
      return await work();
    } finally {
      world.supervisor.fault = undefined;
    }
  }

  /** Whatever the state waits for does not come: its own deadline ends it, or where it waits for nothing, a kill. */
  async function hang<T>(
    world: World,
    state: WorkingState,
    work: () => Promise<T>,
    die: () => Promise<never>,
  ): Promise<T> {
    if (state === 'verified' || state === 'staged' || state === 'planned' || state === 'downloading')
      return die();
    world.hits++;
    world.clock.isImpatient = true;
    world.supervisor.fault = (call) =>
      state === 'installing' || call === 'readLogTail' ? undefined : noAnswer();
    if (state === 'installing') writeFileSync(join(world.root, 'hang'), '');
    try {
      return await work();
    } finally {
      world.supervisor.fault = undefined;
      world.clock.isImpatient = false;
      rmSync(join(world.root, 'hang'), { force: true });
    }
  }

  /** Runs one cell to its end and returns what is there. */
  async function run(version: string, state: WorkingState, fault: FaultName): Promise<World> {
    const home = mkdtempSync(join(tmpdir(), 'gwe-cell-'));
    const root = join(home, 'root');
    execFileSync('cp', ['-a', template, root]);
    let world = openWorld(root);
    world.chain.length = 0;
    await world.supervisor.client.reloadConfig();
    await world.supervisor.client.addProcessGroup('one');
    for (let start = 1; start <= 12; start++) {
      let died: () => void = () => undefined;
      const death = new Promise<'died'>((resolve) => {
        died = () => resolve('died');
      });
      const die = (): Promise<never> => {
        world.hits++;
        died();
        return new Promise(() => undefined);
      };
      const plain = runnerOf(world);
      const effects = spoil(world, plain.ports.effects, state, fault, start, die);
      const deps = {
        ...plain,
        ports: { ...plain.ports, effects: cutOffline(world, effects, state, fault, start) },
      };
      const going = start === 1 ? runTransaction(startOf(version), deps) : resumeTransaction(deps);
      const ended = await Promise.race([going.catch((error: unknown) => error), death]);
      if (ended !== 'died' && !(ended instanceof Error)) return world;
      if (ended instanceof Error && !(ended instanceof GweError)) throw ended;
      world = openWorld(root, world);
    }
    throw new Error('no end after 12 starts');
  }

  /** For the two states that fetch, the platform's line is what drops. */
  function cutOffline(
    world: World,
    effects: UpdateEffects,
    state: WorkingState,
    fault: FaultName,
    start: number,
  ): UpdateEffects {
    const isCut =
      fault === 'dropped socket' && start === 1 && (state === 'planned' || state === 'downloading');
    if (!isCut) return effects;
    const spoiled = async (): Promise<never> => {
      world.hits++;
      throw new GweError('PROTOCOL_OFFLINE', 'cannot GET: the connection was reset');
    };
    return { ...effects, [state]: spoiled };
  }

  function expected(version: string, state: WorkingState, fault: FaultName, hits: number): UpdateState[] {
    const isFetching = state === 'planned' || state === 'downloading';
    const failure = wayOfFailure(version, state);
    switch (fault) {
      case 'kill at five starts':
        return isFetching ? wayOf(version) : failure;
      case 'EIO':
      case 'ENOSPC':
      case 'EROFS':
        return hits > 0 ? failure : wayOf(version);
      case 'dropped socket':
        return hits > 0 && !isFetching && state !== 'probing' ? failure : wayOf(version);
      case 'hang':
        return hits > 0 && !isFetching && state !== 'verified' && state !== 'staged'
          ? failure
          : wayOf(version);
      default:
        return wayOf(version);
    }
  }

  /** Disk, supervisord, records and report, each against the others. */
  function check(world: World, version: string, state: WorkingState): string[] {
    const { root, context, supervisor, chain } = world;
    const last = chain.at(-1);
    const violations = leftovers(root).filter(
      (path) => state !== 'downloading' || !path.includes('/downloads/'),
    );
    const active = activeVersion(root);
    if ('violation' in active) return [...violations, active.violation];
    if (last !== 'rollback-failed' && active.version !== (last === 'committed' ? version : '1'))
      violations.push(`${last}, but 'current' is ${active.version}`);
    const group = supervisor.groups.get('one');
    const runs = Object.keys(COMMANDS).find((one) => group?.text.includes(COMMANDS[one] ?? '?') === true);
    if (last !== 'rollback-failed' && (group?.statename !== 'RUNNING' || runs !== active.version))
      violations.push(`supervisord: ${group?.statename} ${runs}, 'current' is ${active.version}`);
    const kept = readdirSync(join(root, 'opt/gwe/apps/one')).filter((name) => name.startsWith(`${version}-`));
    if (last === 'rolled-back' && kept.length > 0)
      violations.push(`what was taken back is still there: ${kept}`);
    const names = readdirSync(context.layout.outboxDirectory);
    if (names.length !== 1) violations.push(`${names.length} reports`);
    const report = JSON.parse(readFileSync(join(context.layout.outboxDirectory, names[0] ?? ''), 'utf8')) as {
      value: string;
    };
    const told = JSON.parse(report.value) as Record<string, unknown>;
    const outcomes: Record<string, string> = { committed: 'installed', failed: 'failed-no-change' };
    if (told.outcome !== (outcomes[last ?? ''] ?? last))
      violations.push(`${last} is reported as ${told.outcome}`);
    if (told.active !== active.version)
      violations.push(`reports ${told.active}, 'current' is ${active.version}`);
    if (context.installed.get('one').active?.version !== active.version)
      violations.push(
        `installed.json: ${context.installed.get('one').active?.version}, 'current' is ${active.version}`,
      );
    if (context.journal.read()?.closed !== true) violations.push('the journal is open');
    return violations;
  }

  for (const [row, state] of WORKING_STATES.entries()) {
    const version = Object.values(TRANSITIONS[state]).includes('rolled-back') ? '3' : '2';
    for (const [column, fault] of FAULTS.entries()) {
      if (!FULL && (row + column) % 3 !== 0) continue;
      test(`${state}: ${fault}`, async () => {
        const world = await run(version, state, fault);
        totals.cells++;
        if (world.hits > 0) totals.hits++;
        assert.deepEqual(world.chain, expected(version, state, fault, world.hits));
        assert.deepEqual(check(world, version, state), []);
        rmSync(join(world.root, '..'), { recursive: true, force: true });
      });
    }
  }
});
