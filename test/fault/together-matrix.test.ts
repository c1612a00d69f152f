/**
 * The disk is gone from each of its changes on, and supervisord with it, as when the power goes, while a command is carried
 * out whose apps are installed together, or one that is fetched now and installed later. After the next start, without the
 * platform, all of its apps are the new ones or all are the old; after the next check-in everything is told. GWE_FAULTS=full:
 * at every change, else at some of them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { carryOutFetched } from '../../src/agent/commands/carry-out.ts';
import { runEntries } from '../../src/agent/commands/run-entries.ts';
import { recover } from '../../src/agent/effects/recover.ts';
import type { AgentContext } from '../../src/agent/run/context.ts';
import { saveEngineConfig, saveGatewayConfig } from '../../src/config/config-files.ts';
import { type Command, createCommandStore } from '../../src/store/command.ts';
import { createLayout } from '../../src/store/layout.ts';
import { resumeTransaction } from '../../src/update/runner.ts';
import { type DiskFault, type DiskFaults, installDiskFaults } from '../helpers/disk-faults.ts';
import { noAnswer } from '../helpers/fake-supervisor.ts';
import { activeVersion, appTarball, FULL, leftovers, printTotals } from '../helpers/fault-rig.ts';
import { openWorld, runnerOf, type World } from '../helpers/matrix-world.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';

const APPS = ['one', 'two'];
/** Version 3 does not stay up. */
const PROGRAMS: Readonly<Record<string, string>> = {
  '1': '/bin/sleep',
  '2': '/bin/sleep',
  '3': '/bin/false',
};
/** Of the test's clock, which stands there at each start. */
const NOW_S = 1_700_000_000;
const LATER_S = 3600;
/** A gateway that dies so often in one update is not what this is about. */
const MOST_STARTS = 6;
/** Between two cuts where not each change is tried. */
const STRIDE = 61;

interface Scenario {
  name: string;
  /** Of `one` and `two`. */
  versions: readonly (string | undefined)[];
  command: Partial<Command>;
  expected: readonly string[];
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'two good apps together',
    versions: ['2', '2'],
    command: { together: 'fetching' },
    expected: ['2', '2'],
  },
  {
    name: 'the second of two does not stay up',
    versions: ['2', '3'],
    command: { together: 'fetching' },
    expected: ['1', '1'],
  },
  {
    name: 'one that is fetched now and installed later',
    versions: ['2'],
    command: { notBefore: NOW_S + LATER_S },
    expected: ['2', '1'],
  },
];

describe('the power goes at each change of the disk', () => {
  let platform: TestPlatform;
  let template: string;
  let disk: DiskFaults;
  const totals = { cuts: 0, violations: 0 };
  const startedMs = performance.now();

  before(async () => {
    platform = await startPlatform();
    await platform.addDevice('p1', 'gw-1');
    for (const app of APPS)
      for (const [version, program] of Object.entries(PROGRAMS)) {
        const text = `[supervisord]\ncommand = ${program} 10${version}\nstartretries = 0\n`;
        await platform.putContent(
          'p1',
          `${app}.v${version}.tar.gz`,
          appTarball(version, { 'supervisor.conf': text }),
        );
      }
    template = await makeTemplate();
    disk = installDiskFaults();
  });
  after(async () => {
    disk.restore();
    rmSync(template, { recursive: true, force: true });
    await platform.close();
    printTotals('together-matrix', startedMs, totals.violations, `${totals.cuts} cuts`);
  });

  async function makeTemplate(): Promise<string> {
    const root = mkdtempSync(join(tmpdir(), 'gwe-together-'));
    const layout = createLayout(root);
    for (const directory of ['programsDirectory', 'runDirectory', 'stateDirectory'] as const)
      mkdirSync(layout[directory], { recursive: true });
    mkdirSync(join(root, 'etc/gwe'), { recursive: true });
    const cik = await platform.activate('p1', 'gw-1');
    saveGatewayConfig(layout.gatewayConfig, { cik, model: 'p1', vendor: 'p1', uuid: 'gw-1' });
    saveEngineConfig(layout.engineConfig, { platformUrl: platform.url, settleTimeS: 0, startDeadlineS: 5 });
    const world = openWorld(root);
    const entries = APPS.map((app) => ({ contentId: `${app}.v1.tar.gz` }));
    const commands = createCommandStore(layout.command);
    commands.write({ current: { id: 'c0', digest: 'd0', clear: 'shown', entries, next: 0 } });
    await runEntries(world.context, commands, runnerOf(world));
    for (const key of world.context.outbox.keys()) world.context.outbox.remove(key);
    return root;
  }

  async function openRoot(): Promise<World> {
    const root = join(mkdtempSync(join(tmpdir(), 'gwe-cut-')), 'root');
    execFileSync('cp', ['-a', template, root]);
    const world = openWorld(root);
    await world.supervisor.client.reloadConfig();
    for (const app of APPS) await world.supervisor.client.addProcessGroup(app);
    return world;
  }

  function later(context: AgentContext, ms: number): AgentContext {
    return { ...context, clock: { ...context.clock, wallMs: () => context.clock.wallMs() + ms } };
  }

  /** A start of gwe: what was begun is finished by itself, then a check-in at each of the times. */
  async function start(world: World, scenario: Scenario, seen: (active: string[]) => void): Promise<void> {
    const commands = createCommandStore(world.context.layout.command);
    const { signal } = new AbortController();
    for (const ms of [0, 2 * LATER_S * 1000]) {
      const context = later(world.context, ms);
      const runner = runnerOf({ ...world, context });
      await recover(context, signal);
      const { current } = commands.read();
      const hasBegun = current?.together === 'installing' || current?.together === 'taking-back';
      if (hasBegun) await carryOutFetched({ context, commands, signal }, current);
      if (scenario.command.together !== undefined) seen(actives(world));
      if (context.journal.read()?.closed === false) await resumeTransaction(runner);
      await runEntries(context, commands, runner);
    }
  }

  function actives({ root }: World): string[] {
    return APPS.map((app) => {
      const found = activeVersion(root, app);
      return 'version' in found ? found.version : found.violation;
    });
  }

  /** What is wrong after a cut at change number `cut`; `undefined` where there are not so many changes. */
  async function cutAt(scenario: Scenario, cut: number): Promise<string[] | undefined> {
    let world = await openRoot();
    const { root } = world;
    const entries = scenario.versions.map((version, index) => ({
      contentId: `${APPS[index]}.v${version}.tar.gz`,
    }));
    const command = {
      id: 'c1',
      digest: 'd1',
      clear: 'shown',
      entries,
      next: 0,
      ...scenario.command,
    } as const;
    const commands = createCommandStore(world.context.layout.command);
    commands.write({ current: command });
    const found: string[] = [];
    const notBetween = (active: string[]): void => {
      const isWhole = new Set(active).size === 1 || active.join() === scenario.expected.join();
      if (!isWhole) found.push(`after a start without the platform: ${active}`);
    };
    const fault: DiskFault = { code: 'EIO', hits: 0, spare: cut };
    disk.set(root, fault);
    world.supervisor.fault = () => (fault.hits > 0 ? noAnswer() : undefined);
    await start(world, scenario, () => undefined).catch(() => undefined);
    disk.set(root, undefined);
    world.clock.isStopped = true;
    world.supervisor.fault = undefined;
    const isOver = fault.hits === 0;
    // Once in any case: a start clears away what the one before had begun to write.
    for (
      let starts = 0;
      starts === 0 || (starts < MOST_STARTS && commands.read().current !== undefined);
      starts++
    ) {
      // Whose it was is dead.
      rmSync(world.context.layout.transactionLock, { force: true });
      world = openWorld(root, world);
      await start(world, scenario, notBetween);
    }
    found.push(...(await judge(world, scenario)));
    rmSync(join(root, '..'), { recursive: true, force: true });
    return isOver ? (found.length > 0 ? found : undefined) : found;
  }

  async function judge(world: World, { expected, versions }: Scenario): Promise<string[]> {
    const { context, supervisor, root } = world;
    const found = leftovers(root);
    const active = actives(world);
    // A disk that failed at the wrong moment may have ended an install.sh: then all is as before, and told so.
    if (active.join() !== expected.join() && active.join() !== '1,1')
      found.push(`active are ${active}, expected ${expected}, or what was there before`);
    for (const [index, app] of APPS.entries()) {
      const group = supervisor.groups.get(app);
      if (group?.statename !== 'RUNNING' || !group.text.includes(`10${active[index]}`))
        found.push(`supervisord has ${app} ${group?.statename}: ${group?.text}`);
      if (context.installed.get(app).active?.version !== active[index])
        found.push(`installed.json differs in ${app}`);
    }
    if (context.journal.read()?.closed !== true) found.push('the journal is open');
    if (createCommandStore(context.layout.command).read().current !== undefined)
      found.push('the command is not over');
    if (context.parked.all().length > 0) found.push('something is parked');
    const told = [...new Set(context.outbox.keys().filter((key) => !key.endsWith('-wait')))];
    const ids = versions.map((_, index) => `c1-0${index}`);
    if (told.length !== ids.length) found.push(`told are ${told}`);
    for (const [index, id] of ids.entries()) {
      const report = JSON.parse(context.outbox.oldest((key) => key !== id)?.value ?? '{}');
      // One that was taken back is told twice, first that it went well.
      const isSingle = context.outbox.keys().filter((key) => key === id).length === 1;
      if (isSingle && (report.outcome === 'installed') !== (active[index] !== '1'))
        found.push(`${id} is told as ${report.outcome} ${report.code}, active is ${active[index]}`);
    }
    return found;
  }

  for (const scenario of SCENARIOS)
    test(scenario.name, async () => {
      const violations: string[] = [];
      for (let cut = 0; violations.length < 5; cut += FULL ? 1 : STRIDE) {
        const found = await cutAt(scenario, cut);
        if (found === undefined) break;
        totals.cuts++;
        violations.push(...found.map((sentence) => `cut at change ${cut}: ${sentence}`));
      }
      totals.violations += violations.length;
      assert.deepEqual(violations, []);
    });
});
