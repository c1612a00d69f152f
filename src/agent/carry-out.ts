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
import { type CheckInParts, FETCH_ALIAS } from './check-in.ts';
import { type CommandStore, digestText } from './command.ts';
import { composeContentApi } from './compose.ts';
import { composeRunner } from './compose-runner.ts';
import type { AgentContext } from './context.ts';
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

/**
 * While bytes are being fetched, which may take days, looks for another command now and then and cuts the download
 * short for it. What has been fetched stays; the next check-in takes the newer command over.
 */
async function watchForNewer(parts: Pass, newer: AbortController, done: AbortSignal): Promise<void> {
  const { context, data, commands } = parts;
  while (!done.aborted) {
    const pauseMs = Math.min(context.settings().updateIntervalS * 1000, LONGEST_WATCH_PAUSE_MS);
    await context.clock.sleep(pauseMs, done);
    if (done.aborted || !isDownloading(context)) continue;
    const text = await readCommand(data);
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

/** The present command, or nothing where it cannot be read: a download is not given up for that. */
async function readCommand(data: DataApi): Promise<string> {
  try {
    return (await data.readAliases([FETCH_ALIAS])).values.get(FETCH_ALIAS) ?? '';
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
