/** The check-in loop. Nothing that the platform, the network, the disk or an app does ends it. */
import { join } from 'node:path';
import { uptimeMs } from '../base/clock.ts';
import { describeError, GweError } from '../base/errors.ts';
import { createHybridMemory } from '../protocol/data.ts';
import type { Transaction } from '../update/journal.ts';
import { takeAgentLock } from './agent-lock.ts';
import { logCheckInFailure, retryAfterMs } from './check-in.ts';
import { type ComposeOptions, composeContext } from './compose.ts';
import type { AgentContext } from './context.ts';
import { type AgentMemory, dropMemory, type ProcessControl, takeMemory, type Woken } from './handover.ts';
import { requireProduct, storeSerial } from './identity.ts';
import { createLongPolls, type LongPolls } from './long-poll.ts';
import { type Kept, pass } from './pass.ts';
import { createPollMemory } from './poll-memory.ts';
import { createReportMemory } from './report-memory.ts';
import { type Bed, createBed } from './rest.ts';
import { createStatusWriter, type RunStatus, readRunStatus } from './run-status.ts';
import { createSchedule, type Schedule } from './schedule.ts';
import { awaitsCheckIn } from './self-update.ts';
import { createTrafficCounter } from './traffic.ts';

export interface AgentOptions extends ComposeOptions {
  /** One pass through the loop, then the end. */
  once: boolean;
  /** What the entry of the program lends; without it gwe cannot be woken and stays what it is. */
  control?: ProcessControl;
  /** The line that this process would log at its end, before and after the time. */
  lastWords?: readonly [before: string, after: string];
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
  const woken = takeMemory(context);
  if (woken === undefined) requireIdentity(context);
  const lock = await takeAgentLock(context, { isOurs: woken !== undefined, once: wanted.once, signal });
  if (lock === undefined) return false;
  try {
    dropMemory(context.layout);
    return await loop(context, options, woken);
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

/** What lasts as long as the agent runs, also from one process to the next. */
interface Run {
  kept: Kept;
  schedule: Schedule;
  polls: LongPolls;
  /** On the clock that starts at boot. */
  startedUptimeMs: number;
}

function beginRun(context: AgentContext, memory: AgentMemory | undefined): Run {
  const { layout, clock } = context;
  const traffic = createTrafficCounter(memory === undefined ? {} : readRunStatus(layout)?.traffic);
  const startedUptimeMs = memory?.startedUptimeMs ?? uptimeMs();
  const reports = createReportMemory(join(layout.runDirectory, 'reports.json'));
  if (memory !== undefined) {
    const { toldWithoutDisk, ...flags } = memory.reports;
    Object.assign(reports, flags, { toldWithoutDisk: new Set(toldWithoutDisk) });
  }
  const kept: Kept = {
    traffic,
    status: createStatusWriter(context, traffic, memory !== undefined),
    memory: reports,
    polls: createPollMemory(),
    hybrid: memory?.hybrid ?? createHybridMemory(),
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
  return { startedUptimeMs, dueUptimeMs, schedule: schedule.past(), hybrid: kept.hybrid, reports };
}

async function loop(
  context: AgentContext,
  options: AgentOptions & { signal: AbortSignal },
  woken: Woken | undefined,
): Promise<boolean> {
  const { signal, once } = options;
  const run = beginRun(context, woken?.memory);
  const { kept, schedule, polls } = run;
  const bed = makeBed(context, options, run, woken === undefined);
  context.ledger.own();
  if (woken === undefined) await begin(context, signal);
  else await bed.restOut(woken);
  let isGood = false;
  while (!signal.aborted) {
    bed.rise();
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
      kept.status.failed(describeError(error));
      schedule.failed(retryAfterMs(error));
      giveUpOverdueStart(context, kept.startedMs);
    }
    if (once || signal.aborted) break;
    const delayMs = context.budget.stretch(schedule.delayMs(context.settings().updateIntervalS * 1000));
    context.log.debug('agent.sleep', { ms: Math.round(delayMs) });
    const isListening = isGood && polls.isWanted(delayMs);
    kept.status.resting(delayMs, isListening ? polling(polls.problem()) : undefined);
    await bed.rest(delayMs, isListening);
  }
  context.ledger.flush();
  context.log.info('agent.stop', {});
  return isGood;
}

function makeBed(
  context: AgentContext,
  { signal, control, lastWords = ['', ''] }: AgentOptions,
  run: Run,
  isFirst: boolean,
): Bed {
  const bed = createBed({
    context,
    signal,
    handover: control === undefined ? undefined : { control, lastWords, isFirst },
    memory: (dueUptimeMs) => memoryOf(run, dueUptimeMs),
    polls: run.polls,
  });
  control?.onWake(bed.wake);
  return bed;
}

async function begin(context: AgentContext, signal: AbortSignal): Promise<void> {
  const { gweVersion: version, layout } = context;
  context.log.info('agent.start', { version, root: layout.root, pid: process.pid });
  const { recover } = await import('./recover.ts');
  await recover(context, signal);
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
