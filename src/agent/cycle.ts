/** One cycle of the agent: key, check-in, command. */
import { GweError, isDiskFault } from '../base/errors.ts';
import { createDataApi, createHybridMemory, type HybridMemory } from '../protocol/data.ts';
import type { Transport } from '../protocol/transport-types.ts';
import type { WritePace } from '../protocol/wire/write-pace.ts';
import { createCommandStore, readCommands } from '../store/command.ts';
import { listSetAside } from '../store/set-aside.ts';
import { type CheckInEnd, checkIn } from './check-in/check-in.ts';
import { hasSendable } from './check-in/next-report.ts';
import type { CheckInParts } from './check-in/parts.ts';
import { activateKey, settleIdentity, takeUpFormerKey } from './check-in/provisioner.ts';
import { setAsideDamaged } from './check-in/set-aside.ts';
import { tellFailure } from './check-in/tell-unkept.ts';
import type { CycleParts } from './commands/carry-out.ts';
import type { AgentContext } from './run/context.ts';
import { identityMark } from './run/device-key.ts';
import { composeContentApi, composeTransport, deviceKey } from './run/platform-connection.ts';
import { repairState } from './run/repair-state.ts';
import type { StatusWriter } from './run/run-status.ts';
import { tellLauncher } from './self/tell-launcher.ts';
import type { TrafficCounter } from './traffic/counter.ts';

/** What one cycle leaves for the next. */
export interface CycleState
  extends Pick<CheckInParts, 'memory' | 'delivery' | 'polls' | 'lock' | 'startedMs'> {
  traffic: TrafficCounter;
  hybrid: HybridMemory;
  pace: WritePace;
  status: StatusWriter;
  /** The mark of who this gateway was in the last pass. */
  whose: string | undefined;
  /** What has been logged about damaged files. */
  told: Set<string>;
}

/** One cycle: key, check-in, command. True if another check-in is wanted at once (a report or newer command waits). */
export async function runCycle(
  context: AgentContext,
  kept: CycleState,
  signal: AbortSignal,
): Promise<boolean> {
  repairState(context, kept.told);
  await context.clockFloor.hold();
  context.ledger.own();
  settleIdentity(context);
  const whose = identityMark(context);
  if (kept.whose !== undefined && kept.whose !== whose) forgetPlatform(context, kept);
  kept.whose = whose;
  const transport = composeTransport(context, kept.traffic);
  try {
    const data = createDataApi(transport, deviceKey(context), {
      clock: context.clock,
      signal,
      hybrid: kept.hybrid,
      pace: kept.pace,
      maxReplyBytes: context.settings().maxReplyBytes,
    });
    const commands = createCommandStore(context.layout.command);
    const parts: CycleParts = { context, data, commands, transport, signal, ...kept };
    setAsideDamaged(context, commands);
    await putBackEntries(context);
    if (context.device().cik === '') await requireKey(context, transport, signal);
    const { hasWork, hasMore, hasLister } = await checkInWithKey(parts).catch(installFetched(parts));
    kept.status.checkedIn();
    await context.clockFloor.settle();
    tellLauncher(context);
    if (hasLister) await lookForReleases(parts);
    const newest = context.outbox.newestKey();
    if (hasWork || context.journal.read()?.closed === false || context.budget.waiting() !== undefined) {
      const { carryOut } = await import('./commands/carry-out.ts');
      if (await carryOut(parts, hasWork).catch(tellWaiting(parts))) return true;
      parts.memory.toldWithoutDisk.delete(WORK_TOPIC);
    }
    const isNewer = context.outbox.newestKey() !== newest;
    return hasMore || (isNewer && hasSendable(parts));
  } finally {
    transport.close();
    context.ledger.save();
  }
}

/** Loaded by those alone that want release lists. */
async function lookForReleases({ context, transport, signal }: CycleParts): Promise<void> {
  const { lookDaily } = await import('./fetch/release-look.ts');
  await lookDaily(context, composeContentApi(context, transport), signal);
}

/** What has been fetched and is due is installed without the platform too. */
function installFetched(parts: CycleParts): (error: unknown) => Promise<never> {
  return async (error) => {
    const { context, commands, signal } = parts;
    const { current } = readCommands(commands);
    const isTimed = current?.notBefore !== undefined || current?.window !== undefined;
    const mayBeDue = current?.together !== undefined || isTimed || context.settings().updateWindow !== '';
    if (current !== undefined && mayBeDue && !signal.aborted) {
      const { carryOutFetched } = await import('./commands/carry-out.ts');
      await carryOutFetched(parts, current);
    }
    throw error;
  };
}

const WORK_TOPIC = 'work';

/**
 * A command that was taken over waits too where nothing can be written: without a lock, say. A write that fails once is
 * not told: the update goes on with the next start, and a report of its own tells how it ended.
 */
function tellWaiting(parts: CycleParts): (error: unknown) => Promise<never> {
  return async (error) => {
    if (isDiskFault(error) && error.code === 'STORE_READ_ONLY')
      await tellFailure(parts, WORK_TOPIC, error, 'the command waits until that is possible');
    throw error;
  };
}

/**
 * The platform, or the name by which it knows this gateway, has changed: what was learnt or sent before does not
 * count.
 */
function forgetPlatform(context: AgentContext, { hybrid, polls }: CycleState): void {
  Object.assign(hybrid, createHybridMemory());
  polls.sinceS = undefined;
  const commands = createCommandStore(context.layout.command);
  setAsideDamaged(context, commands);
  const { current, stuckDigest, stuckInterval } = commands.read();
  if (stuckDigest === undefined && stuckInterval === undefined) return;
  commands.write(current === undefined ? {} : { current });
}

/** Before the report, so that the report mentions it. */
async function putBackEntries(context: AgentContext): Promise<void> {
  if (listSetAside(context.layout).length === 0) return;
  const { restoreEntries } = await import('./effects/restore-entries.ts');
  await restoreEntries(context);
}

/** For a key that is refused a new one is requested, once. */
async function checkInWithKey(parts: CycleParts): Promise<CheckInEnd> {
  try {
    return await checkIn(parts);
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'PROTOCOL_UNAUTHORIZED') throw error;
    parts.context.log.warn(
      'provision.key-refused',
      {},
      'the platform refuses the stored key (401): trying former keys, then requesting another',
    );
    const { context, transport, signal } = parts;
    if (!(await takeUpFormerKey(context, transport, signal))) await requireKey(context, transport, signal);
    parts.memory.forget();
    parts.delivery.forget();
    return checkIn(parts);
  }
}

/** Throws PROTOCOL_REFUSED when the platform gives no key for now; the loop asks again later. */
async function requireKey(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings' | 'device'>,
  transport: Transport,
  signal: AbortSignal,
): Promise<void> {
  if (await activateKey(context, transport, signal)) return;
  throw new GweError('PROTOCOL_REFUSED', 'no key from the platform', {
    facts: { retryAfterMs: context.settings().activationRetryS * 1000 },
  });
}
