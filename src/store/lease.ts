import * as v from 'valibot';
import { APP_NAME_PATTERN } from '../artifact/name.ts';
import { uptimeMs } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { listDirectory } from '../base/fs.ts';
import { bootId, readProcessStat } from '../base/process.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import { type Layout, leaseFile } from './layout.ts';

/**
 * An app says "not now" by a lease: run/gwe/leases/APP.json with owner, reason and expiry. Leases, not locks: one
 * that has expired or whose owner is gone does not hold, and none holds longer than `max_deferral`.
 */

const LARGEST_LEASE_BYTES = 4096;

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

function storedLease(layout: Layout, app: string): StoredFile<Lease> {
  return storedFile(leaseFile(layout, app), { schema: LeaseSchema, limitBytes: LARGEST_LEASE_BYTES });
}

/** What a new lease says. */
interface LeaseWish {
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
    throw new GweError('STORE_IO', `cannot take a lease for '${app}': there is no process ${pid}`);
  const lease: Lease = {
    owner,
    reason,
    expires: Math.ceil(nowMs / 1000) + forSeconds,
    uptime: { bootId: bootId(), untilMs: uptimeMs() + forSeconds * 1000 },
    ...(process === undefined ? {} : { pid: process.pid, startTicks: process.startTicks }),
  };
  storedLease(layout, app).write(lease);
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
  storedLease(layout, app).remove();
}

/** The lease that holds `app` now, if one does. A file that is no lease holds nothing. */
export function heldLease(layout: Layout, app: string, nowMs: number): Lease | undefined {
  const lease = storedLease(layout, app).readOr(undefined);
  return lease === undefined || leftMs(lease, nowMs) <= 0 || isOwnerGone(lease) ? undefined : lease;
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
