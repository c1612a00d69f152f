/** The check-in loop. Nothing that the platform, the network, the disk or an app does may end it. */
import { uptimeMs } from '../base/clock.ts';
import { describeError, GweError } from '../base/errors.ts';
import { retryAfterMs } from '../protocol/answer.ts';
import { createHybridMemory } from '../protocol/data.ts';
import { createWritePace } from '../protocol/wire/write-pace.ts';
import { createCommandStore, readCommands } from '../store/command.ts';
import type { Transaction } from '../update/journal.ts';
import { logCheckInFailure } from './check-in/check-in.ts';
import { createPollMemory } from './check-in/poll-memory.ts';
import { type CycleState, runCycle } from './cycle.ts';
import {
  type AgentMemory,
  dropMemory,
  type ProcessControl,
  takeMemory,
  type Woken,
} from './idle/handover.ts';
import { createIdleWait, type IdleWait } from './idle/idle-wait.ts';
import { createLongPolls, type LongPolls } from './idle/long-poll.ts';
import { createSchedule, type Schedule } from './idle/schedule.ts';
import { createDelivery } from './reports/delivery.ts';
import { createReportMemory } from './reports/sent.ts';
import { type AgentLock, takeAgentLock } from './run/agent-lock.ts';
import { commandDueInMs } from './run/command-time.ts';
import { type ComposeOptions, composeContext } from './run/compose.ts';
import type { AgentContext } from './run/context.ts';
import { identityMark } from './run/device-key.ts';
import { requireProduct, storeSerial } from './run/identity.ts';
import { createStatusWriter, type RunStatus, readRunStatus } from './run/run-status.ts';
import { awaitsCheckIn } from './self/awaits-check-in.ts';
import { createTrafficCounter } from './traffic/counter.ts';

interface AgentOptions extends ComposeOptions {
  /** One cycle of the loop, then it ends. */
  once: boolean;
  /** What `main.ts` provides; without it gwe cannot be woken, and stays in memory. */
  control?: ProcessControl;
  /** The line that this process would log at its end, before and after the time. */
  lastWords?: readonly [before: string, after: string];
}

/**
 * From a check-in that followed another at once to a third. An update's report follows at once; how often an alias
 * may be written is kept where it is written.
 */
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
  const woken = takeMemory(context);
  if (woken === undefined) requireIdentity(context);
  const lock = await takeAgentLock(context, { isOurs: woken !== undefined, once: wanted.once, signal });
  if (lock === undefined) return false;
  try {
    dropMemory(context.layout);
    return await loop(context, { ...options, lock }, woken);
  } finally {
    lock.release();
  }
}

/**
 * An interface that is not there yet may come; a missing setting for interface and uuid will not appear without an
 * operator.
 */
function requireIdentity(context: Pick<AgentContext, 'layout' | 'log' | 'device'>): void {
  const device = context.device();
  try {
    storeSerial(context);
  } catch (error) {
    if (error instanceof GweError && error.code === 'CONFIG_NO_IDENTITY') throw error;
    context.log.warn('identity.waiting', {}, describeError(error));
  }
  requireProduct(device);
}

/** What lasts as long as the agent runs, also from one process to the next. */
interface Run {
  kept: CycleState;
  schedule: Schedule;
  polls: LongPolls;
  /** On the clock that starts at boot. */
  startedUptimeMs: number;
}

function beginRun(context: AgentContext, lock: AgentLock, memory: AgentMemory | undefined): Run {
  const { layout, clock } = context;
  const traffic = createTrafficCounter(memory === undefined ? {} : readRunStatus(layout)?.traffic);
  const startedUptimeMs = memory?.startedUptimeMs ?? uptimeMs();
  const reports = createReportMemory(
    layout.sentReports,
    () => identityMark(context),
    () => context.settings().reportAlways,
  );
  if (memory !== undefined) {
    const { toldWithoutDisk, ...flags } = memory.reports;
    Object.assign(reports, flags, { toldWithoutDisk: new Set(toldWithoutDisk) });
  }
  const kept: CycleState = {
    traffic,
    status: createStatusWriter(context, traffic, memory !== undefined),
    memory: reports,
    delivery: createDelivery(layout.delivery),
    lock,
    polls: createPollMemory(),
    whose: memory?.whose,
    told: new Set(),
    hybrid: memory?.hybrid ?? createHybridMemory(),
    pace: createWritePace(clock),
    startedMs: clock.monotonicMs() - (uptimeMs() - startedUptimeMs),
  };
  const onProblem = (problem: string | undefined): void => kept.status.polling(polling(problem));
  return {
    kept,
    polls: createLongPolls({ context, memory: kept.polls, traffic, onProblem }),
    schedule: createSchedule(Math.random, memory?.schedule),
    startedUptimeMs,
  };
}

function polling(problem: string | undefined): NonNullable<RunStatus['longPoll']> {
  return problem === undefined ? {} : { problem };
}

function memoryOf({ kept, schedule, startedUptimeMs }: Run, dueUptimeMs: number): AgentMemory {
  const { isInDoubt, hasToldUndefined, toldWithoutDisk } = kept.memory;
  const reports = { isInDoubt, hasToldUndefined, toldWithoutDisk: [...toldWithoutDisk] };
  const { hybrid, whose } = kept;
  return { startedUptimeMs, dueUptimeMs, schedule: schedule.past(), hybrid, whose, reports };
}

async function loop(
  context: AgentContext,
  options: AgentOptions & { signal: AbortSignal; lock: AgentLock },
  woken: Woken | undefined,
): Promise<boolean> {
  const { signal, once } = options;
  const run = beginRun(context, options.lock, woken?.memory);
  const { kept, schedule, polls } = run;
  const idleWait = composeIdleWait(context, options, run, woken === undefined);
  context.ledger.own();
  if (woken === undefined) await begin(context, signal);
  else await idleWait.resumeWait(woken);
  let isGood = false;
  let isFollowing = false;
  while (!signal.aborted) {
    idleWait.beginCheckIn();
    const passStartedMs = context.clock.monotonicMs();
    try {
      const goOn = await runCycle(context, kept, signal);
      isGood = true;
      schedule.succeeded();
      if (goOn) {
        const spentMs = context.clock.monotonicMs() - passStartedMs;
        if (isFollowing) await context.clock.sleep(BETWEEN_CHECK_INS_MS - spentMs, signal);
        isFollowing = true;
        continue;
      }
    } catch (error) {
      if (signal.aborted) break;
      isGood = false;
      logCheckInFailure(context, error);
      kept.status.failed(describeError(error));
      schedule.failed(retryAfterMs(error));
      giveUpOverdueStart(context, kept.startedMs);
    }
    if (once || signal.aborted) break;
    const pauseMs = context.budget.stretch(schedule.delayMs(context.settings().updateIntervalS * 1000));
    // What has been fetched is installed on time, however rarely the gateway checks in.
    const delayMs = Math.min(pauseMs, commandDueInMs(context) ?? pauseMs);
    context.log.debug('agent.sleep', { ms: Math.round(delayMs) });
    isFollowing = false;
    const isListening = isGood && polls.isWanted(delayMs);
    kept.status.resting(delayMs, isListening ? polling(polls.problem()) : undefined);
    await idleWait.wait(delayMs, isListening);
  }
  context.ledger.flush();
  context.log.info('agent.stop', {});
  return isGood;
}

function composeIdleWait(
  context: AgentContext,
  { signal, control, lastWords = ['', ''] }: AgentOptions,
  run: Run,
  isFirst: boolean,
): IdleWait {
  const idleWait = createIdleWait({
    context,
    signal,
    handover: control === undefined ? undefined : { control, lastWords, isFirst },
    memory: (dueUptimeMs) => memoryOf(run, dueUptimeMs),
    polls: run.polls,
  });
  control?.onWake(idleWait.wake);
  return idleWait;
}

async function begin(context: AgentContext, signal: AbortSignal): Promise<void> {
  const { gweVersion: version, layout } = context;
  context.log.info('agent.start', { version, root: layout.root, pid: process.pid });
  const { recover } = await import('./effects/recover.ts');
  await recover(context, signal);
  await finishTogether(context, signal);
}

/** Apps of one command of which some are the new ones: the others follow, or all go back, before anything else is heard. */
async function finishTogether(context: AgentContext, signal: AbortSignal): Promise<void> {
  const commands = createCommandStore(context.layout.command);
  const { current } = readCommands(commands);
  if (signal.aborted || (current?.together !== 'installing' && current?.together !== 'taking-back')) return;
  try {
    const { carryOutFetched } = await import('./commands/carry-out.ts');
    await carryOutFetched({ context, commands, signal }, current);
  } catch (error) {
    if (!signal.aborted) context.log.error('agent.recover', {}, describeError(error));
  }
}

/**
 * A new gwe that cannot check in ends itself, so that the launcher counts the start and, after three, restores the
 * previous version.
 */
function giveUpOverdueStart(
  context: Pick<AgentContext, 'clock' | 'log' | 'env' | 'gweVersion' | 'settings' | 'journal' | 'restart'>,
  startedMs: number,
): void {
  const open = readJournal(context);
  if (open === undefined || open.closed || !awaitsCheckIn(context, open)) return;
  const spentMs = context.clock.monotonicMs() - startedMs;
  if (spentMs < context.settings().selfUpdateDeadlineS * 1000) return;
  context.log.error(
    'self-update.overdue',
    { version: context.gweVersion, ms: Math.round(spentMs) },
    'no check-in: giving up this start',
  );
  context.restart();
}

/** If it cannot be read, the next pass sets it aside. */
function readJournal(context: Pick<AgentContext, 'journal'>): Transaction | undefined {
  try {
    return context.journal.read();
  } catch {
    return undefined;
  }
}
