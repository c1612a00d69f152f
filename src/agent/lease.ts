/**
 * An app says "not now" by a lease: run/gwe/leases/APP.json with owner, reason and expiry. Leases, not locks: one
 * that has expired or whose owner is gone does not hold, and none holds longer than `max_deferral`.
 */
import { join } from 'node:path';
import * as v from 'valibot';
import { APP_NAME_PATTERN } from '../artifact/name.ts';
import { uptimeMs } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import {
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';
import { bootId, readProcessStat } from '../base/process.ts';
import type { Layout } from '../store/layout.ts';
import type { AgentContext } from './context.ts';

const LeaseSchema = v.object({
  owner: v.string(),
  reason: v.string(),
  /** Unix seconds. */
  expires: v.number(),
  /** When given, the lease ends with this process. */
  pid: v.optional(v.number()),
  /** What start of it is meant: pids are used again. */
  startTicks: v.optional(v.string()),
  /** The expiry on the clock that starts at boot. Where it is given it counts instead of `expires`: it cannot jump. */
  uptime: v.optional(v.object({ bootId: v.string(), untilMs: v.number() })),
});
export type Lease = v.InferOutput<typeof LeaseSchema>;

const POLL_MS = 1000;

function leasePath(layout: Layout, app: string): string {
  return join(layout.leasesDirectory, `${app}.json`);
}

/** What a new lease says. */
export interface LeaseWish {
  owner: string;
  reason: string;
  seconds: number;
  pid?: number;
}

/** Puts updates of `app` off from now on, in the place of the lease that it has. Throws STORE_IO for a pid of none. */
export function takeLease(layout: Layout, app: string, wish: LeaseWish, nowMs: number): Lease {
  const { owner, reason, seconds: forSeconds, pid } = wish;
  const process = pid === undefined ? undefined : readProcessStat(pid);
  if (pid !== undefined && process === undefined)
    throw new GweError('STORE_IO', `cannot lease '${app}': there is no process ${pid}`);
  const lease: Lease = {
    owner,
    reason,
    expires: Math.ceil(nowMs / 1000) + forSeconds,
    uptime: { bootId: bootId(), untilMs: uptimeMs() + forSeconds * 1000 },
    ...(process === undefined ? {} : { pid: process.pid, startTicks: process.startTicks }),
  };
  ensureDirectory(layout.leasesDirectory, 0o755);
  writeFileDurable(leasePath(layout, app), `${JSON.stringify(lease)}\n`);
  return lease;
}

/** Every lease that holds now, by app. */
export function listLeases(layout: Layout, nowMs: number): { app: string; lease: Lease; leftMs: number }[] {
  return listDirectory(layout.leasesDirectory).flatMap((name) => {
    const app = name.endsWith('.json') ? name.slice(0, -'.json'.length) : '';
    const lease = APP_NAME_PATTERN.test(app) ? heldLease(layout, app, nowMs) : undefined;
    return lease === undefined ? [] : [{ app, lease, leftMs: leftMs(lease, nowMs) }];
  });
}

/** One that is not there is fine. */
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
  return leftMs(lease, nowMs) <= 0 || isOwnerGone(lease) ? undefined : lease;
}

function isOwnerGone({ pid, startTicks }: Lease): boolean {
  if (pid === undefined) return false;
  const owner = readProcessStat(pid);
  return owner === undefined || (startTicks !== undefined && owner.startTicks !== startTicks);
}

function leftMs({ uptime, expires }: Lease, nowMs: number): number {
  if (uptime === undefined) return expires * 1000 - nowMs;
  return uptime.bootId === bootId() ? uptime.untilMs - uptimeMs() : 0;
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
