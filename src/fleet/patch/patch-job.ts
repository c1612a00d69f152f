/** Patches that a worker of the platform makes: which pairs of versions are worth one, and how far each is. */

/** As many versions are worth a patch at the most. */
const MOST_VERSIONS = 8;
/** The share of the gateways with the app, or their number: a version that fewer run gets no patch. */
const LEAST_SHARE = 0.01;
const LEAST_GATEWAYS = 20;

/** Those that run, the commonest first, with the number of their gateways. */
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
  /** That run `from`. */
  readonly gateways: number;
  /** Identifies the two tarballs as they were when it was asked for: another upload makes it another pair. */
  readonly of: string;
  readonly state: (typeof PATCH_STATES)[number];
  /** Who makes it, until when in Unix seconds, and how many have begun. */
  readonly worker: string;
  readonly claimedUntil: number;
  readonly claims: number;
  /** Why there is none. */
  readonly reason: string;
  /** Content id of the patch. */
  readonly name: string;
  /** What a gateway with `from` fetches without it and with it. */
  readonly chunkedBytes: number;
  readonly patchedBytes: number;
}

export function newJob(about: Pick<PatchJob, 'app' | 'version' | 'from' | 'gateways' | 'of'>): PatchJob {
  const idle = { state: 'open', worker: '', claimedUntil: 0, claims: 0 } as const;
  return { ...about, ...idle, reason: '', name: '', chunkedBytes: 0, patchedBytes: 0 };
}

/** A worker has 15 minutes for the patch, and some to fetch the tarballs and bring the result. */
export const CLAIM_S = 30 * 60;
/** How often a pair that ends its worker, perhaps by its memory, is tried. */
const MOST_CLAIMS = 2;

/** The job as this worker has it, or as it is when nobody gets it. */
export function claimJob(job: PatchJob, worker: string, nowS: number): PatchJob {
  if (job.state !== 'open' || job.claimedUntil > nowS) return job;
  if (job.claims >= MOST_CLAIMS)
    return { ...job, state: 'without', reason: `${MOST_CLAIMS} workers began it and did not come back` };
  return { ...job, worker, claimedUntil: nowS + CLAIM_S, claims: job.claims + 1 };
}

/** What a worker says of its end. */
export type PatchEnd = Pick<PatchJob, 'reason' | 'name' | 'chunkedBytes' | 'patchedBytes'> & {
  readonly state: 'made' | 'without';
};

/** An end is final for the pair, whoever brings it; `undefined` where it has one already. */
export function endJob(job: PatchJob, end: PatchEnd): PatchJob | undefined {
  return job.state === 'open' ? { ...job, ...end, claimedUntil: 0 } : undefined;
}

/** Bytes that it saves on each gateway. */
export function savedBytes({ state, chunkedBytes, patchedBytes }: PatchJob): number {
  return state === 'made' ? Math.max(0, chunkedBytes - patchedBytes) : 0;
}
