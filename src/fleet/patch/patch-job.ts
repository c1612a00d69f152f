/** Patches made by a worker of the platform: which pairs of versions are worth one, and how far each patch is. */

/** At most this many older versions get a patch. */
const MOST_VERSIONS = 8;
/** A version gets a patch if it runs on this share of the gateways that have the app, or on this many gateways. */
const LEAST_SHARE = 0.01;
const LEAST_GATEWAYS = 20;

/** The versions in use that are worth a patch, the commonest first, with the number of their gateways. */
export function commonVersions(
  gateways: Iterable<readonly [version: string, gateways: number]>,
  version: string,
): (readonly [from: string, gateways: number])[] {
  const found = [...gateways];
  const all = found.reduce((sum, [, count]) => sum + count, 0);
  return found
    .filter(([other, count]) => other !== version && (count >= LEAST_GATEWAYS || count >= all * LEAST_SHARE))
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST_VERSIONS);
}

export const PATCH_STATES = ['open', 'made', 'without'] as const;

export interface PatchJob {
  readonly app: string;
  readonly version: string;
  readonly from: string;
  /** How many gateways run `from`. */
  readonly gateways: number;
  /** Identifies the two tarballs as they were when the patch was asked for: another upload makes another pair. */
  readonly of: string;
  readonly state: (typeof PATCH_STATES)[number];
  /** The worker that makes it, until when (Unix seconds), and how many workers have begun it. */
  readonly worker: string;
  readonly claimedUntil: number;
  readonly claims: number;
  /** Why there is no patch. */
  readonly reason: string;
  /** Content id of the patch. */
  readonly name: string;
  /** What a gateway with `from` fetches without the patch, and with it. */
  readonly chunkedBytes: number;
  readonly patchedBytes: number;
}

export function newJob(about: Pick<PatchJob, 'app' | 'version' | 'from' | 'gateways' | 'of'>): PatchJob {
  const idle = { state: 'open', worker: '', claimedUntil: 0, claims: 0 } as const;
  return { ...about, ...idle, reason: '', name: '', chunkedBytes: 0, patchedBytes: 0 };
}

/** A worker has 15 minutes to make the patch, and the rest to fetch the tarballs and bring the result. */
export const CLAIM_S = 30 * 60;
/** How often a pair is tried that ends its worker, perhaps by running out of memory. */
const MOST_CLAIMS = 2;

/** The job as claimed by this worker, or unchanged if it cannot be claimed. */
export function claimJob(job: PatchJob, worker: string, nowS: number): PatchJob {
  if (job.state !== 'open' || job.claimedUntil > nowS) return job;
  if (job.claims >= MOST_CLAIMS)
    return { ...job, state: 'without', reason: `${MOST_CLAIMS} workers began it and did not come back` };
  return { ...job, worker, claimedUntil: nowS + CLAIM_S, claims: job.claims + 1 };
}

/** What a worker reports when it has finished. */
export type PatchEnd = Pick<PatchJob, 'reason' | 'name' | 'chunkedBytes' | 'patchedBytes'> & {
  readonly state: 'made' | 'without';
};

/** The first result for a pair is final, whoever brings it; `undefined` if there is one already. */
export function endJob(job: PatchJob, end: PatchEnd): PatchJob | undefined {
  return job.state === 'open' ? { ...job, ...end, claimedUntil: 0 } : undefined;
}

/** Bytes that the patch saves on each gateway. */
export function savedBytes({ state, chunkedBytes, patchedBytes }: PatchJob): number {
  return state === 'made' ? Math.max(0, chunkedBytes - patchedBytes) : 0;
}
