/** The check-in loop. Nothing that the platform, the network, the disk or an app does ends it. */
import { join } from 'node:path';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory } from '../base/fs.ts';
import { acquireLock, type Lock } from '../base/lock.ts';
import { createDataApi, createHybridMemory, type HybridMemory } from '../protocol/data.ts';
import { sweep } from '../store/versions.ts';
import { type RunnerDependencies, resumeTransaction, supersedeTransaction } from '../update/runner.ts';
import { type CheckInParts, checkIn, logCheckInFailure, retryAfterMs } from './check-in.ts';
import { type CommandStore, createCommandStore } from './command.ts';
import {
  type ComposeOptions,
  composeContentApi,
  composeContext,
  composeRunner,
  composeTransport,
} from './compose.ts';
import type { AgentContext } from './context.ts';
import { requireProduct, resolveSerial } from './identity.ts';
import { activateKey } from './provisioner.ts';
import { createReportMemory } from './report-memory.ts';
import { createSchedule } from './schedule.ts';
import { createTrafficCounter, type TrafficCounter } from './traffic.ts';
import { withTransactionLock, workOff } from './work.ts';

export interface AgentOptions extends ComposeOptions {
  /** One pass through the loop, then the end. */
  once: boolean;
  /** Is given a function that asks for a check-in at once (SIGHUP). */
  onWake?(wake: () => void): void;
}

/** More than one write a second is undefined behaviour of the platform (spec §1.2). */
const BETWEEN_CHECK_INS_MS = 1000;

/**
 * Runs until `signal` aborts, or for one pass. Resolves to true if the last check-in was a good one. Throws
 * CONFIG_NO_IDENTITY without a serial number or product, STORE_LOCKED if another agent runs on this root.
 */
export async function runAgent(options: AgentOptions): Promise<boolean> {
  const context = composeContext(options);
  requireIdentity(context);
  const lock = takeAgentLock(context);
  try {
    return await loop(context, options);
  } finally {
    lock.release();
  }
}

/** An interface that is not there yet may come; no interface and no uuid will not mend itself. */
function requireIdentity(context: AgentContext): void {
  const device = context.device();
  requireProduct(device);
  try {
    resolveSerial(device, context.layout.root);
  } catch (error) {
    if (error instanceof GweError && error.code === 'CONFIG_NO_IDENTITY') throw error;
    context.log.warn('identity.waiting', {}, describeError(error));
  }
}

function takeAgentLock(context: AgentContext): Lock {
  ensureDirectory(context.layout.runDirectory);
  ensureDirectory(context.layout.stateDirectory);
  const lock = acquireLock(context.layout.agentLock, 'agent');
  if ('release' in lock) return lock;
  throw new GweError(
    'STORE_LOCKED',
    `cannot run: another gwe (process ${lock.heldBy.pid}) runs on root '${context.layout.root}'; stop it first`,
  );
}

async function loop(context: AgentContext, options: AgentOptions): Promise<boolean> {
  const { signal, once } = options;
  const schedule = createSchedule(Math.random);
  const traffic = createTrafficCounter();
  const memory = createReportMemory(join(context.layout.runDirectory, 'reports.json'));
  const hybrid = createHybridMemory();
  const startedMs = context.clock.monotonicMs();
  let wake = new AbortController();
  options.onWake?.(() => wake.abort());
  context.log.info('agent.start', {
    version: context.gweVersion,
    root: context.layout.root,
    pid: process.pid,
  });
  await recover(context, signal);
  let isGood = false;
  while (!signal.aborted) {
    wake = new AbortController();
    const passStartedMs = context.clock.monotonicMs();
    try {
      const goOn = await pass(context, { traffic, memory, startedMs, hybrid }, signal);
      isGood = true;
      schedule.succeeded();
      if (goOn) {
        const spentMs = context.clock.monotonicMs() - passStartedMs;
        await context.clock.sleep(BETWEEN_CHECK_INS_MS - spentMs, signal);
        continue;
      }
    } catch (error) {
      if (signal.aborted) break;
      isGood = false;
      logCheckInFailure(context, error);
      schedule.failed(retryAfterMs(error));
    }
    if (once) break;
    const delayMs = schedule.delayMs(context.settings().updateIntervalS * 1000);
    context.log.debug('agent.sleep', { ms: Math.round(delayMs) });
    await context.clock.sleep(delayMs, AbortSignal.any([signal, wake.signal]));
  }
  context.log.info('agent.stop', {});
  return isGood;
}

/** Finishes or undoes what a power cut or kill left in the middle; needs no platform. */
async function recover(context: AgentContext, signal: AbortSignal): Promise<void> {
  try {
    const open = context.journal.read();
    sweep(context.layout, open === undefined || open.closed ? undefined : open.id);
    if (open === undefined || open.closed || open.state === 'planned' || open.state === 'downloading') return;
    const runner = composeRunner(context, undefined, signal);
    await withTransactionLock(context, () => resumeTransaction(runner));
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') {
      context.log.error('journal.set-aside', { kept: context.journal.setAside() }, describeError(error));
    } else {
      context.log.error('agent.recover', {}, describeError(error));
    }
  }
}

/** One pass: key, check-in, command. True if another check-in is wanted at once (a report is waiting). */
async function pass(
  context: AgentContext,
  kept: Pick<CheckInParts, 'memory' | 'startedMs'> & { traffic: TrafficCounter; hybrid: HybridMemory },
  signal: AbortSignal,
): Promise<boolean> {
  const transport = composeTransport(context, kept.traffic);
  try {
    const data = createDataApi(transport, () => context.device().cik || undefined, {
      clock: context.clock,
      signal,
      hybrid: kept.hybrid,
    });
    const commands = createCommandStore(join(context.layout.stateDirectory, 'command.json'));
    const parts: CheckInParts = { context, data, commands, ...kept };
    if (context.device().cik === '') await requireKey(context, transport, signal);
    const hasWork = await checkIn(parts).catch(async (error: unknown) => {
      if (!(error instanceof GweError) || error.code !== 'PROTOCOL_UNAUTHORIZED') throw error;
      context.log.warn(
        'provision.key-refused',
        {},
        'the platform refuses the stored key (401): asking for another',
      );
      await requireKey(context, transport, signal);
      kept.memory.forget();
      return checkIn(parts);
    });
    const content = composeContentApi(context, transport);
    const runner = composeRunner(context, content, signal);
    await withTransactionLock(context, () => continueTransaction(commands, runner));
    if (hasWork) await workOff(context, commands, runner);
    return context.outbox.size() > 0;
  } finally {
    transport.close();
  }
}

/** Goes on with an unfinished transaction, unless a newer command than the one it belongs to has been taken over. */
async function continueTransaction(commands: CommandStore, runner: RunnerDependencies): Promise<void> {
  const open = runner.journal.read();
  const command = commands.read().current;
  const isOfOldCommand = command !== undefined && open !== undefined && !open.id.startsWith(`${command.id}-`);
  if (isOfOldCommand && open.source.kind === 'content') await supersedeTransaction(runner);
  await resumeTransaction(runner);
}

/** Throws PROTOCOL_REFUSED when the platform gives no key for now; the loop asks again later. */
async function requireKey(
  context: AgentContext,
  transport: Parameters<typeof activateKey>[1],
  signal: AbortSignal,
): Promise<void> {
  if (await activateKey(context, transport, signal)) return;
  throw new GweError('PROTOCOL_REFUSED', 'no key from the platform', {
    facts: { retryAfterMs: context.settings().activationRetryS * 1000 },
  });
}
