/** Waits for an app that has said "not now". */
import { GweError } from '../../base/errors.ts';
import { heldLease, type Lease } from '../../store/lease.ts';
import type { AgentContext } from '../run/context.ts';

const POLL_MS = 1000;

/**
 * Waits until no lease holds `app`, at most `max_deferral`. Returns what is worth noting, or `undefined` if there was
 * nothing to wait for. Throws CANCELLED when gwe is stopping.
 */
export async function waitForLease(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings'>,
  app: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { clock, layout, log } = context;
  const startedMs = clock.monotonicMs();
  const longestMs = context.settings().maxDeferralS * 1000;
  let last: Lease | undefined;
  for (
    let lease = heldLease(layout, app, clock.wallMs());
    lease !== undefined;
    lease = heldLease(layout, app, clock.wallMs())
  ) {
    const waitedMs = clock.monotonicMs() - startedMs;
    if (waitedMs >= longestMs)
      return `${describeLease(lease)}, longer than max_deferral allows: the update went ahead after ${seconds(waitedMs)} s`;
    if (last === undefined) log.info('update.deferred', { app, owner: lease.owner }, lease.reason);
    last = lease;
    await clock.sleep(Math.min(POLL_MS, longestMs - waitedMs), signal);
    if (signal.aborted)
      throw new GweError('CANCELLED', `cannot wait for the lease of '${app}': gwe is stopping`);
  }
  return last === undefined
    ? undefined
    : `${describeLease(last)} for ${seconds(clock.monotonicMs() - startedMs)} s`;
}

function describeLease(lease: Lease): string {
  return `postponed by ${lease.owner.slice(0, 64)} (${lease.reason.slice(0, 120)})`;
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}
