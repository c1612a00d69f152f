/** One pass of the agent: key, check-in, command. */
import { join } from 'node:path';
import { GweError } from '../base/errors.ts';
import { createDataApi, type HybridMemory } from '../protocol/data.ts';
import type { Transport } from '../protocol/transport.ts';
import type { Pass } from './carry-out.ts';
import { type CheckInParts, checkIn } from './check-in.ts';
import { createCommandStore } from './command.ts';
import { composeTransport } from './compose.ts';
import { confirmLaunch } from './confirm.ts';
import type { AgentContext } from './context.ts';
import { setAsideDamaged } from './damage.ts';
import { activateKey } from './provisioner.ts';
import type { StatusWriter } from './run-status.ts';
import type { TrafficCounter } from './traffic.ts';

/** What one pass leaves to the next. */
export interface Kept extends Pick<CheckInParts, 'memory' | 'polls' | 'startedMs'> {
  traffic: TrafficCounter;
  hybrid: HybridMemory;
  status: StatusWriter;
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
    if (hasWork || context.journal.read()?.closed === false || context.budget.waiting() !== undefined) {
      const { carryOut } = await import('./carry-out.ts');
      if (await carryOut(parts, hasWork)) return true;
    }
    return context.outbox.size() > 0;
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

/** Throws PROTOCOL_REFUSED when the platform gives no key for now; the loop asks again later. */
async function requireKey(context: AgentContext, transport: Transport, signal: AbortSignal): Promise<void> {
  if (await activateKey(context, transport, signal)) return;
  throw new GweError('PROTOCOL_REFUSED', 'no key from the platform', {
    facts: { retryAfterMs: context.settings().activationRetryS * 1000 },
  });
}
