/** One pass of the agent: key, check-in, command. */
import { join } from 'node:path';
import { GweError } from '../base/errors.ts';
import { createDataApi, type DataApi, type HybridMemory } from '../protocol/data.ts';
import type { Transport } from '../protocol/transport.ts';
import {
  isFetching,
  type RunnerDependencies,
  resumeTransaction,
  supersedeTransaction,
} from '../update/runner.ts';
import { isHeldBack, noteWait } from './budget-wait.ts';
import { type CheckInParts, checkIn, FETCH_ALIAS } from './check-in.ts';
import { type CommandStore, createCommandStore, digestText } from './command.ts';
import { composeContentApi, composeRunner, composeTransport } from './compose.ts';
import { confirmLaunch } from './confirm.ts';
import type { AgentContext } from './context.ts';
import { setAsideDamaged } from './damage.ts';
import { activateKey } from './provisioner.ts';
import type { StatusWriter } from './run-status.ts';
import type { TrafficCounter } from './traffic.ts';
import { behindCommandLine, withTransactionLock, workOff } from './work.ts';

/** What one pass leaves to the next. */
export interface Kept extends Pick<CheckInParts, 'memory' | 'startedMs'> {
  traffic: TrafficCounter;
  hybrid: HybridMemory;
  status: StatusWriter;
}

/** The parts of one pass. */
interface Pass extends CheckInParts {
  transport: Transport;
  signal: AbortSignal;
}

/** One pass: key, check-in, command. True if another check-in is wanted at once (a report or newer command waits). */
export async function pass(context: AgentContext, kept: Kept, signal: AbortSignal): Promise<boolean> {
  await context.clockFloor.hold();
  context.ledger.own();
  const transport = composeTransport(context, kept.traffic);
  try {
    const cik = (): string | undefined => context.device().cik || undefined;
    const data = createDataApi(transport, cik, {
      clock: context.clock,
      signal,
      hybrid: kept.hybrid,
      maxReplyBytes: context.settings().maxReplyBytes,
    });
    const commands = createCommandStore(join(context.layout.stateDirectory, 'command.json'));
    const parts: Pass = { context, data, commands, transport, signal, ...kept };
    setAsideDamaged(context, commands);
    if (context.device().cik === '') await requireKey(context, transport, signal);
    const hasWork = await checkInWithKey(parts);
    kept.status.checkedIn();
    await context.clockFloor.settle();
    confirmLaunch(context);
    return (await work(parts, hasWork)) || context.outbox.size() > 0;
  } finally {
    transport.close();
    context.ledger.save();
  }
}

/** A key that is refused is asked for anew, once. */
async function checkInWithKey(parts: Pass): Promise<boolean> {
  try {
    return await checkIn(parts);
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'PROTOCOL_UNAUTHORIZED') throw error;
    parts.context.log.warn(
      'provision.key-refused',
      {},
      'the platform refuses the stored key (401): asking for another',
    );
    await requireKey(parts.context, parts.transport, parts.signal);
    parts.memory.forget();
    return checkIn(parts);
  }
}

/** Goes on with what is under way and works off the command. True if a newer command has cut it short. */
async function work(parts: Pass, hasWork: boolean): Promise<boolean> {
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

/** Throws PROTOCOL_REFUSED when the platform gives no key for now; the loop asks again later. */
async function requireKey(context: AgentContext, transport: Transport, signal: AbortSignal): Promise<void> {
  if (await activateKey(context, transport, signal)) return;
  throw new GweError('PROTOCOL_REFUSED', 'no key from the platform', {
    facts: { retryAfterMs: context.settings().activationRetryS * 1000 },
  });
}
