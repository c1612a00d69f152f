/** What a check-in brought, or an earlier one left: updates, one after the other. */
import { GweError } from '../base/errors.ts';
import type { DataApi } from '../protocol/data.ts';
import type { Transport } from '../protocol/transport.ts';
import {
  isFetching,
  type RunnerDependencies,
  resumeTransaction,
  supersedeTransaction,
} from '../update/runner.ts';
import { isHeldBack, noteWait } from './budget-wait.ts';
import { type CheckInParts, FETCH_ALIAS, STATUS_ALIAS } from './check-in.ts';
import { type CommandStore, digestText } from './command.ts';
import { composeContentApi } from './compose.ts';
import { composeRunner } from './compose-runner.ts';
import type { AgentContext } from './context.ts';
import { createProgressReports } from './progress-reports.ts';
import { behindCommandLine, withTransactionLock, workOff } from './work.ts';

/** The parts of one pass of the agent. */
export interface Pass extends CheckInParts {
  transport: Transport;
  signal: AbortSignal;
}

/** Goes on with what is under way and works off the command. True if a newer command has cut it short. */
export async function carryOut(parts: Pass, hasWork: boolean): Promise<boolean> {
  const { context, commands, transport } = parts;
  if (isHeldBack(context, commands)) return false;
  const newer = new AbortController();
  const done = new AbortController();
  const signal = AbortSignal.any([parts.signal, newer.signal]);
  const runner = composeRunner(context, composeContentApi(context, transport), signal);
  const watching = watchForNewer(parts, newer, done.signal);
  try {
    if (context.journal.read()?.closed === false) {
      const wait = behindCommandLine(context, parts.signal);
      await withTransactionLock(context, () => continueTransaction(commands, runner), wait);
    }
    if (hasWork) await workOff(context, commands, runner);
    return false;
  } catch (error) {
    if (newer.signal.aborted && !parts.signal.aborted) return true;
    if (noteWait(context, error)) return false;
    throw error;
  } finally {
    done.abort();
    await watching;
  }
}

const LONGEST_WATCH_PAUSE_MS = 300_000;
const SHORTEST_WATCH_PAUSE_MS = 1000;

/**
 * Tells how far an update is that takes long. While bytes are being fetched, which may take days, it also looks for
 * another command now and then and cuts the download short for it. What has been fetched stays; the next check-in takes
 * the newer command over.
 */
async function watchForNewer(parts: Pass, newer: AbortController, done: AbortSignal): Promise<void> {
  const { context, data, commands } = parts;
  const { clock } = context;
  const reports = createProgressReports(context);
  let lookedMs = clock.monotonicMs();
  while (!done.aborted) {
    const { updateIntervalS, progressIntervalS } = context.settings();
    const lookMs = Math.min(updateIntervalS * 1000, LONGEST_WATCH_PAUSE_MS);
    const dueMs = lookedMs + lookMs - clock.monotonicMs();
    const pauseMs = progressIntervalS === 0 ? dueMs : Math.min(dueMs, progressIntervalS * 1000);
    await clock.sleep(Math.max(pauseMs, SHORTEST_WATCH_PAUSE_MS), done);
    if (done.aborted) return;
    const isDue = clock.monotonicMs() >= lookedMs + lookMs;
    if (isDue) lookedMs = clock.monotonicMs();
    const isLooking = isDue && isDownloading(context);
    const text = await tellAndLook(data, reports.next(), isLooking);
    if (!isLooking) continue;
    const { current, stuckDigest } = commands.read();
    const digest = digestText(text);
    const isNewer = text !== '' && digest !== current?.digest && digest !== stuckDigest;
    if (isNewer && isDownloading(context)) newer.abort();
  }
}

function isDownloading(context: AgentContext): boolean {
  const open = context.journal.read();
  return open !== undefined && !open.closed && isFetching(open.state);
}

/**
 * Sends `report`, if there is one, and reads the present command, if that `isLooking`: in one request. Nothing where it
 * cannot be read: a download is not given up for that.
 */
async function tellAndLook(data: DataApi, report: string | undefined, isLooking: boolean): Promise<string> {
  const writes = report === undefined ? [] : [[STATUS_ALIAS, report] as const];
  try {
    if (isLooking && report === undefined)
      return (await data.readAliases([FETCH_ALIAS])).values.get(FETCH_ALIAS) ?? '';
    if (isLooking) return (await data.exchange(writes, [FETCH_ALIAS])).values.get(FETCH_ALIAS) ?? '';
    if (report !== undefined) await data.writeAliases(writes);
    return '';
  } catch (error) {
    if (error instanceof GweError) return '';
    throw error;
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
