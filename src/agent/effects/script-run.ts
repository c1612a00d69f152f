/** One run of a script, through as many starts of gwe as it takes: begun, found again, waited for, its result taken. */
import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { uptimeMs } from '../../base/clock.ts';
import { GweError } from '../../base/errors.ts';
import { lockHolder } from '../../base/lock.ts';
import { describeLeft, endSession, isRunning, signalOwnGroup } from '../../base/owned-processes.ts';
import { bootId } from '../../base/process.ts';
import {
  prepareScript,
  readScriptOutput,
  readScriptStatus,
  removeScriptFiles,
  type ScriptOptions,
  type ScriptOutput,
} from '../../base/script-process.ts';
import type { ScriptRecord, Transaction } from '../../update/journal.ts';
import type { AgentContext } from '../run/context.ts';

type ScriptContext = Pick<AgentContext, 'layout' | 'clock' | 'supervisor' | 'log'>;

/** How a script ended. `lost`: it was killed together with the shell that waits for it. */
type ScriptEnd = { kind: 'exit'; code: number } | { kind: 'timeout'; afterMs: number } | { kind: 'lost' };

export interface ScriptEnding {
  end: ScriptEnd;
  output: ScriptOutput;
  notes: string[];
}

export interface ScriptTask {
  argv: readonly string[];
  /** install.sh, setup.py or health.sh. */
  name: string;
  transaction: Transaction;
  options: Omit<ScriptOptions, 'directory'>;
  timeoutMs: number;
  /** gwe is to stop: the script goes on. */
  signal: AbortSignal;
  record(facts: Partial<Transaction>): void;
}

/** What the journal knows of an earlier start of the same task. */
export type Earlier =
  | { kind: 'none' }
  | { kind: 'running' | 'ended'; script: ScriptRecord }
  /** It did not come to its end, in this boot or by the end of another one. */
  | { kind: 'cut-off'; script: ScriptRecord; isOfThisBoot: boolean };

/** A script that was cut off is begun again up to so many starts. */
export const MOST_CUT_OFF_RUNS = 2;
const GRACE_MS = 5000;
const POLL_MS = 200;
/** A daemon may hold the pipe forever; what the script itself printed has long been read by then. */
const DRAIN_MS = 2000;
const DRAIN_POLL_MS = 10;
/** An answer of supervisord that is useful, not needed. */
const SUPERVISOR_MS = 1000;
/** By it what a script has started is told from others, as far as nothing worse than a word in a report hangs on it. */
export const TRANSACTION_VARIABLE = 'GWE_TRANSACTION';

export function findEarlier({ layout }: ScriptContext, task: ScriptTask): Earlier {
  const { script } = task.transaction;
  if (script === undefined || script.purpose !== purposeOf(task)) return { kind: 'none' };
  if (isRunning(script)) return { kind: 'running', script };
  if (readScriptStatus(join(layout.scriptsDirectory, script.id)) !== undefined)
    return { kind: 'ended', script };
  return { kind: 'cut-off', script, isOfThisBoot: script.bootId === bootId() };
}

function purposeOf({ transaction, name, options }: ScriptTask): string {
  return `${transaction.state} ${name} ${basename(options.cwd)}`;
}

/**
 * Goes on with the `earlier` start, or makes a new one, to the end. Throws CANCELLED where gwe is to stop meanwhile.
 */
export async function runTask(
  context: ScriptContext,
  task: ScriptTask,
  earlier: Earlier,
): Promise<ScriptEnding> {
  if (earlier.kind === 'none') return runOnce(context, task, 0);
  const { script } = earlier;
  if (earlier.kind !== 'cut-off') {
    const ending = await takeResult(context, task, script, undefined);
    // It may not have begun: gwe ended, or its disk failed, between the journal and the word to begin.
    if (ending.end.kind !== 'lost' || script.runs >= MOST_CUT_OFF_RUNS)
      return { ...ending, notes: [`${task.name} outlived gwe: gwe waited for its end`, ...ending.notes] };
  } else await endScript(context, task.transaction.id, script, false);
  const ending = await runOnce(context, task, script.runs);
  return { ...ending, notes: [`${task.name} was interrupted, and run again`, ...ending.notes] };
}

async function runOnce(context: ScriptContext, task: ScriptTask, runsBefore: number): Promise<ScriptEnding> {
  const started = await begin(context, task, runsBefore);
  return takeResult(context, task, started.script, started.exited);
}

async function begin(
  context: ScriptContext,
  task: ScriptTask,
  runsBefore: number,
): Promise<{ script: ScriptRecord; exited: Promise<void> }> {
  const id = randomBytes(6).toString('hex');
  const { scriptsDirectory } = context.layout;
  removeScriptFiles(scriptsDirectory, undefined);
  const started = await prepareScript(task.argv, { ...task.options, directory: join(scriptsDirectory, id) });
  const script: ScriptRecord = {
    ...started.runner,
    bootId: bootId(),
    purpose: purposeOf(task),
    id,
    collector: started.collector,
    startedUptimeMs: uptimeMs(),
    runs: runsBefore + 1,
  };
  try {
    task.record({ script });
  } catch (error) {
    started.abandon();
    throw error;
  }
  started.go();
  return { script, exited: started.exited };
}

async function takeResult(
  context: ScriptContext,
  task: ScriptTask,
  script: ScriptRecord,
  exited: Promise<void> | undefined,
): Promise<ScriptEnding> {
  const end = await waitForEnd(context, task, script, exited);
  const isGood = end.kind === 'exit' && end.code === 0;
  if (!isGood) await endScript(context, task.transaction.id, script, true);
  await drain(context, script);
  const output = readScriptOutput(join(context.layout.scriptsDirectory, script.id));
  const left = isGood ? findLeft(context, task.transaction.id, script) : [];
  const note = `${task.name} left running: ${left.join(', ')}: they were left alone (programs belong in supervisor.conf)`;
  return { end, output, notes: left.length > 0 ? [note] : [] };
}

async function waitForEnd(
  { layout, clock }: ScriptContext,
  { name, transaction, timeoutMs, signal }: ScriptTask,
  script: ScriptRecord,
  exited: Promise<void> | undefined,
): Promise<ScriptEnd> {
  const spentMs = exited === undefined ? Math.max(0, uptimeMs() - script.startedUptimeMs) : 0;
  const endMs = clock.monotonicMs() + timeoutMs - spentMs;
  for (;;) {
    // In this order: it writes its status before it is gone.
    const isAlive = isRunning(script);
    const code = readScriptStatus(join(layout.scriptsDirectory, script.id));
    if (code !== undefined) return { kind: 'exit', code };
    if (!isAlive) return { kind: 'lost' };
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) return { kind: 'timeout', afterMs: timeoutMs };
    if (signal.aborted)
      throw new GweError(
        'CANCELLED',
        `stopped while ${name} of '${transaction.app}' runs: it keeps running, and the next start takes its result`,
      );
    const settled = new AbortController();
    const pauseMs = exited === undefined ? Math.min(POLL_MS, leftMs) : leftMs;
    const pause = clock.sleep(pauseMs, AbortSignal.any([signal, settled.signal]));
    await Promise.race(exited === undefined ? [pause] : [exited, pause]);
    settled.abort();
  }
}

function findLeft({ layout }: ScriptContext, transactionId: string, script: ScriptRecord): string[] {
  if (script.bootId !== bootId()) return [];
  const agent = lockHolder(layout.agentLock)?.pid;
  const guarded = agent === undefined ? [] : [agent];
  return describeLeft(script, { mark: markOf(transactionId), guarded });
}

/** Waits until all that was printed is in the files; what a daemon prints later is let go. */
async function drain({ clock }: ScriptContext, { collector, bootId: boot }: ScriptRecord): Promise<void> {
  if (collector === undefined) return;
  const session = { ...collector, bootId: boot };
  const endMs = clock.monotonicMs() + DRAIN_MS;
  while (isRunning(session) && clock.monotonicMs() < endMs) await clock.sleep(DRAIN_POLL_MS);
  signalOwnGroup(session, 'SIGTERM');
}

/** Ends what is left of a script in the session that was made for it. */
async function endScript(
  context: ScriptContext,
  transactionId: string,
  script: ScriptRecord,
  isSeen: boolean,
): Promise<void> {
  const guarded = await guardedPids(context);
  const mark = markOf(transactionId);
  await endSession(script, { mark, isSeen, guarded, graceMs: GRACE_MS, clock: context.clock });
}

/**
 * Ends what a script that failed or was interrupted has left, in a state that is over. What a successful one left is
 * not touched.
 */
export async function endFailedScript(
  context: ScriptContext,
  { id, script, state }: Transaction,
): Promise<void> {
  if (script === undefined || script.purpose.startsWith(`${state} `)) return;
  if (readScriptStatus(join(context.layout.scriptsDirectory, script.id)) === 0) return;
  await endScript(context, id, script, false);
}

function markOf(transactionId: string): string {
  return `${TRANSACTION_VARIABLE}=${transactionId}`;
}

/** The agent may be another process, and supervisord need not be above this one. */
async function guardedPids(context: ScriptContext): Promise<number[]> {
  const agent = lockHolder(context.layout.agentLock)?.pid;
  const supervisord = await context
    .supervisor(SUPERVISOR_MS)
    .getPid()
    .catch(() => undefined);
  return [agent, supervisord].filter((pid) => pid !== undefined);
}
