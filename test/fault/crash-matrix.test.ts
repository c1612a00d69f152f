/**
 * Every working state of the transition table, times every way to be cut short in it. The table says what must follow;
 * the disk, supervisord and the report must agree with it. Real effects, journal, store and line to the platform; time and
 * supervisord are fakes (test/fault/supervisord-line.test.ts has the real one). GWE_FAULTS=full: every cell, else a third.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GweError } from '../../src/base/errors.ts';
import { saveEngineConfig, saveGatewayConfig } from '../../src/config/config-files.ts';
import { createLayout } from '../../src/store/layout.ts';
import { resumeTransaction, runTransaction } from '../../src/update/runner.ts';
import {
  isFinal,
  nextState,
  TRANSITIONS,
  type UpdateState,
  WORKING_STATES,
  type WorkingState,
} from '../../src/update/state-machine.ts';
import { installDiskFaults } from '../helpers/disk-faults.ts';
import { startFaultProxy } from '../helpers/fault-proxy.ts';
import { appEntries, appTarball, FULL, printTotals } from '../helpers/fault-rig.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { FAULTS, type FaultName, isFetching, spoil, type Tools } from '../helpers/matrix-faults.ts';
import { contradictions, openWorld, runnerOf, type World } from '../helpers/matrix-world.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';

/** Version 1 is there before, 2 is good, 3 does not stay up, 4 is fetched by chunks. */
const COMMANDS: Readonly<Record<string, string>> = {
  '1': '/bin/sleep 1001',
  '2': '/bin/sleep 1002',
  '3': '/bin/false 1003',
  '4': '/bin/sleep 1004',
};

async function programApp(version: string): Promise<Buffer> {
  const program = { 'supervisor.conf': `[supervisord]\ncommand = ${COMMANDS[version]}\n` };
  if (version !== '4') return appTarball(version, program);
  const blob = { content: randomBytes(100_000) };
  return makeIndexed({ name: 'one', version }, appEntries(version, { ...program, 'data/blob': blob }));
}

/** Every state with the version that goes through it; of the states before `promoted` also the one by chunks. */
const ROWS: readonly (readonly [WorkingState, string])[] = WORKING_STATES.flatMap((state) => {
  const next = Object.values(TRANSITIONS[state]);
  const isBefore = next.includes('failed') && state !== 'promoted';
  const rows: [WorkingState, string][] = [[state, next.includes('rolled-back') ? '3' : '2']];
  return isBefore ? [...rows, [state, '4']] : rows;
});

/** The whole way through the table when every state's work succeeds; to the end by rollback for version 3. */
function wayOf(version: string): UpdateState[] {
  const way: UpdateState[] = ['planned'];
  for (let at: UpdateState = 'planned'; !isFinal(at); way.push(at))
    at = nextState(at, version === '3' && at === 'probing' ? 'failed' : 'done');
  return way;
}

/** The path when the work of `state` fails permanently. */
function wayOfFailure(version: string, state: WorkingState): UpdateState[] {
  const way = wayOf(version);
  const until = way.slice(0, way.indexOf(state) + 1);
  for (let at: UpdateState = nextState(state, 'failed'); ; at = nextState(at, 'done')) {
    until.push(at);
    if (isFinal(at)) return until;
  }
}

function expected(version: string, state: WorkingState, fault: FaultName, hits: number): UpdateState[] {
  switch (fault) {
    case 'kill at five starts':
      return isFetching(state) ? wayOf(version) : wayOfFailure(version, state);
    case 'EIO':
    case 'ENOSPC':
    case 'EROFS':
      // Going back is tried again when the disk is well.
      return hits > 0 && state !== 'rolling-back' ? wayOfFailure(version, state) : wayOf(version);
    case 'dropped socket':
      // A probe asks again, and so does who puts an entry in or back; what the platform does not give is asked for again.
      return hits > 0 && !isFetching(state) && !['activating', 'probing', 'rolling-back'].includes(state)
        ? wayOfFailure(version, state)
        : wayOf(version);
    case 'hang':
      return hits > 0 && !isFetching(state) && state !== 'verified' && state !== 'staged'
        ? wayOfFailure(version, state)
        : wayOf(version);
    default:
      return wayOf(version);
  }
}

function startOf(version: string) {
  const contentId = `one.v${version}.tar.gz`;
  const source = { kind: 'content' } as const;
  return { id: `tx-${version}`, app: 'one', version, contentId, source, commandDigest: 'c' };
}

/** A root with version 1 installed, whose agent talks to `platformUrl`. */
async function makeTemplate(platform: TestPlatform, platformUrl: string): Promise<string> {
  const template = mkdtempSync(join(tmpdir(), 'gwe-matrix-'));
  const layout = createLayout(template);
  const { programsDirectory, runDirectory, stateDirectory } = layout;
  for (const directory of [programsDirectory, runDirectory, stateDirectory, join(template, 'etc/gwe')])
    mkdirSync(directory, { recursive: true });
  const cik = await platform.activate('p1', 'gw-1');
  saveGatewayConfig(layout.gatewayConfig, { cik, model: 'p1', vendor: 'p1', uuid: 'gw-1' });
  saveEngineConfig(layout.engineConfig, { platformUrl, settleTimeS: 0, startDeadlineS: 5, httpTimeoutS: 1 });
  const first = await runTransaction(startOf('1'), runnerOf(openWorld(template)));
  assert.equal(first.state, 'committed', JSON.stringify(first));
  const { outbox } = openWorld(template).context;
  for (const key of outbox.keys()) outbox.remove(key);
  outbox.prepare();
  return template;
}

const MOST_STARTS = 12;

describe('every state times every fault', () => {
  let platform: TestPlatform;
  let template: string;
  let tools: Omit<Tools, 'tarball'>;
  const tarballs = new Map<string, Buffer>();
  const totals = { cells: 0, hits: 0, violations: 0 };
  const startedMs = performance.now();

  before(async () => {
    platform = await startPlatform();
    for (const version of Object.keys(COMMANDS)) {
      const bytes = await programApp(version);
      tarballs.set(version, bytes);
      // The digest of the whole tarball, which stands in the meta by default, has the whole fetched.
      await platform.putContent('p1', `one.v${version}.tar.gz`, bytes, version === '4' ? '' : undefined);
    }
    await platform.addDevice('p1', 'gw-1');
    const line = await startFaultProxy(platform.url);
    template = await makeTemplate(platform, line.url);
    tools = { disk: installDiskFaults(), line };
  });
  after(async () => {
    tools.disk.restore();
    rmSync(template, { recursive: true, force: true });
    await tools.line.close();
    await platform.close();
    const { cells, hits, violations } = totals;
    printTotals('crash-matrix', startedMs, violations, `${cells} cells, the fault came to pass in ${hits}`);
  });

  /** Starts the update again and again, as after each crash, until it has come to an end. */
  async function run(version: string, state: WorkingState, fault: FaultName): Promise<World> {
    const root = join(mkdtempSync(join(tmpdir(), 'gwe-cell-')), 'root');
    execFileSync('cp', ['-a', template, root]);
    let world = openWorld(root);
    world.chain.length = 0;
    await world.supervisor.client.reloadConfig();
    await world.supervisor.client.addProcessGroup('one');
    for (let start = 1; start <= MOST_STARTS; start++) {
      const ended = await startOnce(world, version, { state, fault, start });
      if (ended === 'ended') return world;
      world = openWorld(root, world);
    }
    throw new Error(`no end after ${MOST_STARTS} starts`);
  }

  async function startOnce(
    world: World,
    version: string,
    at: { state: WorkingState; fault: FaultName; start: number },
  ): Promise<'ended' | 'cut short'> {
    let died: () => void = () => undefined;
    const death = new Promise<'died'>((resolve) => {
      died = () => resolve('died');
    });
    const die = (): Promise<never> => {
      world.hits++;
      world.clock.isStopped = true;
      died();
      return new Promise(() => undefined);
    };
    const plain = runnerOf(world);
    const tarball = tarballs.get(version) ?? Buffer.alloc(0);
    const effects = spoil({ ...tools, tarball }, world, plain.ports.effects, at, die);
    const deps = { ...plain, ports: { ...plain.ports, effects } };
    const going = at.start === 1 ? runTransaction(startOf(version), deps) : resumeTransaction(deps);
    const ended = await Promise.race([going.catch((error: unknown) => error), death]);
    if (ended !== 'died' && !(ended instanceof Error)) return 'ended';
    if (ended instanceof Error && !(ended instanceof GweError)) throw ended;
    return 'cut short';
  }

  for (const [row, [state, version]] of ROWS.entries()) {
    for (const [column, fault] of FAULTS.entries()) {
      if (!FULL && (row + column) % 3 !== 0) continue;
      test(`${state}${version === '4' ? ' by chunks' : ''}: ${fault}`, async () => {
        totals.violations++;
        const world = await run(version, state, fault);
        totals.cells++;
        if (world.hits > 0) totals.hits++;
        assert.deepEqual(world.chain, expected(version, state, fault, world.hits));
        assert.deepEqual(contradictions(world, { version, from: '1', commands: COMMANDS }), []);
        if (isFetching(state) && (fault === 'dropped socket' || fault === 'hang'))
          assert.equal(world.hits, 1, 'the line was at fault');
        totals.violations--;
        rmSync(join(world.root, '..'), { recursive: true, force: true });
      });
    }
  }
});
