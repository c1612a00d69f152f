/** The check-in loop. Nothing that the platform, the network, the disk or an app does ends it. */
import { join } from 'node:path';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory } from '../base/fs.ts';
import { acquireLock, type Lock } from '../base/lock.ts';
import { createHybridMemory } from '../protocol/data.ts';
import type { Transaction } from '../update/journal.ts';
import { logCheckInFailure, retryAfterMs } from './check-in.ts';
import { type ComposeOptions, composeContext } from './compose.ts';
import type { AgentContext } from './context.ts';
import { requireProduct, storeSerial } from './identity.ts';
import { type Kept, pass } from './pass.ts';
import { recover, takeBackLoopers } from './recover.ts';
import { createReportMemory } from './report-memory.ts';
import { createStatusWriter } from './run-status.ts';
import { createSchedule } from './schedule.ts';
import { awaitsCheckIn } from './self-update.ts';
import { createTrafficCounter } from './traffic.ts';

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
export async function runAgent(wanted: AgentOptions): Promise<boolean> {
  const restarting = new AbortController();
  const signal = AbortSignal.any([wanted.signal, restarting.signal]);
  const options = { ...wanted, signal, restart: () => restarting.abort() };
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
  try {
    storeSerial(context);
  } catch (error) {
    if (error instanceof GweError && error.code === 'CONFIG_NO_IDENTITY') throw error;
    context.log.warn('identity.waiting', {}, describeError(error));
  }
  requireProduct(device);
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
  const status = createStatusWriter(context, traffic);
  const kept: Kept = {
    traffic,
    status,
    memory: createReportMemory(join(context.layout.runDirectory, 'reports.json')),
    hybrid: createHybridMemory(),
    startedMs: context.clock.monotonicMs(),
  };
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
      const goOn = await pass(context, kept, signal);
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
      status.failed(describeError(error));
      schedule.failed(retryAfterMs(error));
      giveUpOverdueStart(context, kept.startedMs);
    }
    if (once || signal.aborted) break;
    const delayMs = context.budget.stretch(schedule.delayMs(context.settings().updateIntervalS * 1000));
    context.log.debug('agent.sleep', { ms: Math.round(delayMs) });
    status.resting(delayMs);
    await rest(context, delayMs, signal, wake.signal);
  }
  context.ledger.flush();
  context.log.info('agent.stop', {});
  return isGood;
}

/**
 * A new gwe that cannot come to a check-in ends itself, so that the launcher counts its start and goes back to the
 * one before after three.
 */
function giveUpOverdueStart(context: AgentContext, startedMs: number): void {
  const open = readJournal(context);
  if (open === undefined || open.closed || !awaitsCheckIn(context, open)) return;
  const spentMs = context.clock.monotonicMs() - startedMs;
  if (spentMs < context.settings().selfUpdateDeadlineS * 1000) return;
  context.log.error(
    'self-update.overdue',
    { version: context.gweVersion, ms: Math.round(spentMs) },
    'no check-in: giving this start up',
  );
  context.restart();
}

/** Where it cannot be read the next pass puts it aside. */
function readJournal(context: AgentContext): Transaction | undefined {
  try {
    return context.journal.read();
  } catch {
    return undefined;
  }
}

/** Between two looks at programs that have just been updated. */
const WATCH_POLL_MS = 2000;

/**
 * Sleeps until the next check-in, a wake-up or the end. While an update is being watched it looks at its program now
 * and then, and ends early when it took one back: that report should not wait.
 */
async function rest(
  context: AgentContext,
  delayMs: number,
  signal: AbortSignal,
  wake: AbortSignal,
): Promise<void> {
  const { clock, watcher } = context;
  const endMs = clock.monotonicMs() + delayMs;
  const until = AbortSignal.any([signal, wake]);
  while (!until.aborted && clock.monotonicMs() < endMs) {
    if (watcher.isOpen() && (await takeBackLoopers(context, signal))) return;
    const leftMs = endMs - clock.monotonicMs();
    await clock.sleep(watcher.isOpen() ? Math.min(leftMs, WATCH_POLL_MS) : leftMs, until);
  }
}
