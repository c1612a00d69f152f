/** The update core on a root of its own with its real effects, journal and store; time and supervisord are fakes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { composeRunner } from '../../src/agent/effects/compose-runner.ts';
import { composeContext } from '../../src/agent/run/compose.ts';
import type { AgentContext } from '../../src/agent/run/context.ts';
import { composeContentApi, composeTransport } from '../../src/agent/run/platform-connection.ts';
import { createTrafficCounter } from '../../src/agent/traffic/counter.ts';
import type { Clock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import type { ContentApi } from '../../src/protocol/content-api.ts';
import { createLayout } from '../../src/store/layout.ts';
import type { Transaction } from '../../src/update/journal.ts';
import type { RunnerDependencies } from '../../src/update/runner.ts';
import type { UpdateState } from '../../src/update/state-machine.ts';
import { createFakeSupervisor, type FakeSupervisor } from './fake-supervisor.ts';
import { activeVersion, isOfDownload, leftovers } from './fault-rig.ts';

export interface World {
  root: string;
  context: AgentContext;
  supervisor: FakeSupervisor;
  content: ContentApi;
  /** Distinct states in the order in which they were journalled. */
  chain: UpdateState[];
  clock: ScaledClock;
  /** How often a fault came to pass. */
  hits: number;
}

export interface ScaledClock extends Clock {
  /** Deadlines of many seconds come at once: something hangs. */
  isImpatient: boolean;
  /** The process is dead: nothing of it goes on after a pause. */
  isStopped: boolean;
}

/** Short pauses take a millisecond; long ones last until they are cancelled. */
function createScaledClock(): ScaledClock {
  let nowMs = 0;
  const clock: ScaledClock = {
    isImpatient: false,
    isStopped: false,
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
      if (clock.isStopped) await new Promise(() => undefined);
      nowMs += ms;
    },
  };
  return clock;
}

/** What a process holds in memory; created at every start, from what the start `before` it has left. */
export function openWorld(root: string, before?: World): World {
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
  // The line to the platform is a real one, and so are its deadlines.
  const transport = composeTransport(composed, createTrafficCounter());
  const content = { ...composeContentApi(context, transport), clock };
  const hits = before?.hits ?? 0;
  return { root, context: { ...context, journal }, supervisor, content, chain, clock, hits };
}

export function runnerOf(world: World): RunnerDependencies {
  return composeRunner(world.context, world.content, new AbortController().signal);
}

export interface Wanted {
  version: string;
  /** The version before, and after an update that came to nothing. */
  from: string;
  /** What the program of each version is started by. */
  commands: Readonly<Record<string, string>>;
}

/** Disk, supervisord, records and report after the end of an update of `one`, each against the others. */
export function contradictions(world: World, wanted: Wanted): string[] {
  const { root, context, chain } = world;
  const { version, from } = wanted;
  const last = chain.at(-1);
  const active = activeVersion(root);
  if ('violation' in active) return [active.violation];
  const violations = programFaults(world, wanted, active.version);
  if (last !== 'rollback-failed' && active.version !== (last === 'committed' ? version : from))
    violations.push(`${last}, but 'current' is ${active.version}`);
  if (context.installed.get('one').active?.version !== active.version)
    violations.push(`installed.json disagrees with 'current', which is ${active.version}`);
  if (context.journal.read()?.closed !== true) violations.push('the journal is open');
  const told = readReports(context);
  const outcomes: Record<string, string> = { committed: 'installed', failed: 'failed-no-change' };
  if (told.length !== 1) violations.push(`${told.length} reports`);
  if (told[0]?.outcome !== (outcomes[last ?? ''] ?? last))
    violations.push(`${last} is reported as ${told[0]?.outcome}`);
  if (told[0]?.active !== active.version)
    violations.push(`reports ${told[0]?.active}, 'current' is ${active.version}`);
  return [...violations, ...remains(world, version)];
}

function programFaults({ supervisor, chain }: World, { commands }: Wanted, active: string): string[] {
  if (chain.at(-1) === 'rollback-failed') return [];
  const group = supervisor.groups.get('one');
  const runs = Object.keys(commands).find((one) => group?.text.includes(commands[one] ?? '?') === true);
  if (group?.statename === 'RUNNING' && runs === active) return [];
  return [`supervisord: ${group?.statename} ${runs}, 'current' is ${active}`];
}

/**
 * What a download that was given up got so far stays for the next command, and a version that failed until the next
 * success; nothing else does.
 */
function remains({ root, context, chain }: World, version: string): string[] {
  const last = chain.at(-1);
  const found = leftovers(root).filter((path) => last !== 'failed' || !isOfDownload(path));
  if (last !== 'rolled-back') return found;
  const kept = readdirSync(join(root, 'opt/gwe/apps/one')).filter((name) => name.startsWith(`${version}-`));
  const failed = context.installed.get('one').refused.map(({ digest }) => `${version}-${digest.slice(0, 8)}`);
  if (kept.join() !== failed.join()) found.push(`kept are ${kept}, expected what failed: ${failed}`);
  return found;
}

function readReports({ outbox }: AgentContext): Record<string, unknown>[] {
  const first = outbox.oldest();
  return outbox.keys().map((key) => (key === first?.key ? JSON.parse(first.value) : { key }));
}
