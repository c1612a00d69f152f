/**
 * An app says "not now" by a lease: run/gwe/leases/APP.json with owner, reason and expiry. Leases, not locks: one
 * that has expired or whose owner is gone does not hold, and none holds longer than `max_deferral`.
 */
import { join } from 'node:path';
import * as v from 'valibot';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { readProcessStat } from '../base/process.ts';
import type { Layout } from '../store/layout.ts';
import type { AgentContext } from './context.ts';

const LeaseSchema = v.object({
  owner: v.string(),
  reason: v.string(),
  /** Unix seconds. */
  expires: v.number(),
  /** When given, the lease ends with this process. */
  pid: v.optional(v.number()),
});
export type Lease = v.InferOutput<typeof LeaseSchema>;

const POLL_MS = 1000;

function leasePath(layout: Layout, app: string): string {
  return join(layout.leasesDirectory, `${app}.json`);
}

export function writeLease(layout: Layout, app: string, lease: Lease): void {
  ensureDirectory(layout.leasesDirectory, 0o755);
  writeFileDurable(leasePath(layout, app), `${JSON.stringify(lease)}\n`);
}

export function releaseLease(layout: Layout, app: string): void {
  removeFileDurable(leasePath(layout, app));
}

/** The lease that holds `app` now, if one does. A file that is no lease holds nothing. */
export function heldLease(layout: Layout, app: string, nowMs: number): Lease | undefined {
  let lease: Lease;
  try {
    lease = v.parse(LeaseSchema, JSON.parse(readTextBounded(leasePath(layout, app), 4096) ?? 'null'));
  } catch {
    return undefined;
  }
  const isOwnerGone = lease.pid !== undefined && readProcessStat(lease.pid) === undefined;
  return lease.expires * 1000 <= nowMs || isOwnerGone ? undefined : lease;
}

/**
 * Waits until no lease holds `app`, at most `max_deferral`. Returns what is worth noting, or `undefined` if there was
 * nothing to wait for. Throws CANCELLED when gwe is stopping.
 */
export async function waitForLease(
  context: AgentContext,
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
      return `${describeLease(lease)}, longer than max_deferral allows: went ahead after ${seconds(waitedMs)} s`;
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
  return `put off by ${lease.owner.slice(0, 64)} (${lease.reason.slice(0, 120)})`;
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}
