/** What this check-in or an earlier one brought: updates, one after the other. */
import { GweError } from '../../base/errors.ts';
import type { DataApi } from '../../protocol/data.ts';
import { FETCH_ALIAS, STATUS_ALIAS } from '../../protocol/messages.ts';
import type { Transport } from '../../protocol/transport-types.ts';
import { type Command, type CommandStore, digestText, entryId } from '../../store/command.ts';
import {
  isFetching,
  type RunnerDependencies,
  resumeTransaction,
  supersedeTransaction,
} from '../../update/runner.ts';
import { mayBeItsBody } from '../check-in/body-fault.ts';
import type { CheckInParts } from '../check-in/parts.ts';
import { composeRunner } from '../effects/compose-runner.ts';
import { createProgressReports } from '../reports/progress-report.ts';
import type { AgentContext } from '../run/context.ts';
import { composeContentApi } from '../run/platform-connection.ts';
import { behindCommandLine, withTransactionLock } from '../run/transaction-lock.ts';
import { isHeldBack, noteWait } from './budget-wait.ts';
import { hasEnded, isParked } from './entry.ts';
import { runEntries } from './run-entries.ts';

/** The parts of one cycle of the agent. */
export interface CycleParts extends CheckInParts {
  transport: Transport;
  signal: AbortSignal;
}

/** Continues what is under way and carries out the command. True if a newer command has interrupted it. */
export async function carryOut(parts: CycleParts, hasWork: boolean): Promise<boolean> {
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
    if (hasWork) await runEntries(context, commands, runner);
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

/** Where the platform is out of reach: entries that are due and need nothing of it any more. */
export async function carryOutFetched(
  { context, commands, signal }: Pick<CycleParts, 'context' | 'commands' | 'signal'>,
  command: Command,
): Promise<void> {
  const isHere = command.entries.every(({ log }, index) => {
    const id = entryId(command, index);
    return log !== undefined || index < command.next || isParked(context, id) || hasEnded(context, id);
  });
  if (!isHere || context.journal.read()?.closed === false) return;
  await runEntries(context, commands, composeRunner(context, undefined, signal));
}

const LONGEST_WATCH_PAUSE_MS = 300_000;
const SHORTEST_WATCH_PAUSE_MS = 1000;

/**
 * Reports the progress of a long update. While bytes are being fetched, which may take days, it also looks for
 * another command now and then, and interrupts the download for it. What has been fetched stays; the next check-in
 * takes the newer command over.
 */
async function watchForNewer(parts: CycleParts, newer: AbortController, done: AbortSignal): Promise<void> {
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

function isDownloading(context: Pick<AgentContext, 'journal'>): boolean {
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
    if (report !== undefined && !isLooking) await data.writeAliases(writes);
    if (isLooking && report !== undefined) {
      // A report that is refused does not keep a command from being seen.
      const told = await data.exchange(writes, [FETCH_ALIAS]).catch((error: unknown) => {
        if (!mayBeItsBody(error)) throw error;
        return undefined;
      });
      if (told !== undefined) return told.values.get(FETCH_ALIAS) ?? '';
    }
    if (isLooking) return (await data.readAliases([FETCH_ALIAS])).values.get(FETCH_ALIAS) ?? '';
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
