/** Patch jobs, stored among the small records of the platform, and the workers that do them. */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { renderArtifactName } from '../../artifact/name.ts';
import {
  CLAIM_S,
  claimJob,
  commonVersions,
  endJob,
  newJob,
  PATCH_STATES,
  type PatchEnd,
  type PatchJob,
} from '../../fleet/patch/patch-job.ts';
import type { Artifact } from '../../fleet/rollout/rollout.ts';
import { eachItem, type PageRequest } from '../../platform/storage/page.ts';
import type { Storage } from '../../platform/storage/storage.ts';

const JOB_KIND = 'patch-job';
const WORKER_KIND = 'patch-worker';
/** How long an ended job is remembered. */
const KEPT_S = 180 * 86_400;
/** How long a worker that asked for work counts as present. */
const THERE_S = 300;

const JobSchema = v.object({
  app: v.string(),
  version: v.string(),
  from: v.string(),
  gateways: v.number(),
  of: v.string(),
  state: v.picklist(PATCH_STATES),
  worker: v.string(),
  claimedUntil: v.number(),
  claims: v.number(),
  reason: v.string(),
  name: v.string(),
  chunkedBytes: v.number(),
  patchedBytes: v.number(),
});

export interface StoredJob extends PatchJob {
  readonly id: string;
  readonly product: string;
}

/** Contains no `/` except the one before the job's own id. */
function prefixOf(product: string): string {
  return `${encodeURIComponent(product)}/`;
}

function idOf({ app, version, from }: Pick<PatchJob, 'app' | 'version' | 'from'>): string {
  return createHash('sha256').update(`${app}\n${version}\n${from}`).digest('hex').slice(0, 16);
}

function toStored(key: string, body: string): StoredJob {
  const [product = '', id = ''] = key.split('/');
  return { ...v.parse(JobSchema, JSON.parse(body)), id, product: decodeURIComponent(product) };
}

/** The jobs of one product, or of all. */
async function listAll(storage: Storage, product?: string): Promise<StoredJob[]> {
  const prefix = product === undefined ? '' : prefixOf(product);
  const found: StoredJob[] = [];
  const page = ({ after = prefix, limit }: PageRequest) => storage.listRecords(JOB_KIND, { after, limit });
  for await (const { key, body } of eachItem(page)) {
    if (!key.startsWith(prefix)) break;
    found.push(toStored(key, body));
  }
  return found;
}

/** Jobs of a product; the newest version of an app comes last. */
export async function listJobs(storage: Storage, product: string): Promise<StoredJob[]> {
  const jobs = await listAll(storage, product);
  const order = ({ app, version, from }: StoredJob): string => `${app}\n${version}\n${from}`;
  return jobs.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

export async function jobsOf(
  storage: Storage,
  product: string,
  artifacts: readonly Artifact[],
): Promise<StoredJob[]> {
  const jobs = await listJobs(storage, product);
  return jobs.filter((job) =>
    artifacts.some(({ app, version }) => app === job.app && version === job.version),
  );
}

export async function countWorkers(storage: Storage): Promise<number> {
  let count = 0;
  for await (const _ of eachItem((page) => storage.listRecords(WORKER_KIND, page))) count += 1;
  return count;
}

/**
 * Asks for patches to this artifact from the commonest versions, where there is a worker to make them. A patch that
 * has been made, or could not be made, is not asked for again while the two tarballs stay the same.
 */
export async function askForPatches(
  storage: Storage,
  product: string,
  { app, version }: Artifact,
  gateways: ReadonlyMap<string, number>,
): Promise<void> {
  if ((await countWorkers(storage)) === 0) return;
  const next = await storage.findContent(product, renderArtifactName({ name: app, version }));
  if (next?.hasBlob !== true) return;
  for (const [from, count] of commonVersions(gateways, version)) {
    const old = await storage.findContent(product, renderArtifactName({ name: app, version: from }));
    const job = newJob({ app, version, from, gateways: count, of: `${old?.updatedAt} ${next.updatedAt}` });
    const lacking =
      old?.hasBlob === true ? job : { ...job, state: 'without', reason: 'it is not in the content area' };
    const which = { kind: JOB_KIND, key: `${prefixOf(product)}${idOf(job)}` };
    await storage.changeRecord(which, (found, nowS) => {
      const known = found === undefined ? undefined : v.parse(JobSchema, JSON.parse(found));
      const now = known?.of === job.of ? { ...known, gateways: count } : lacking;
      return { result: undefined, put: { body: JSON.stringify(now), endsAt: nowS + KEPT_S } };
    });
  }
}

/** The next job for this worker; the job for the most gateways comes first. */
export async function claimNext(storage: Storage, worker: string): Promise<StoredJob | undefined> {
  await noteWorker(storage, worker, THERE_S);
  const open = (await listAll(storage)).filter(({ state }) => state === 'open');
  for (const { id, product } of open.sort((a, b) => b.gateways - a.gateways)) {
    const which = { kind: JOB_KIND, key: `${prefixOf(product)}${id}` };
    const claimed = await storage.changeRecord<StoredJob | undefined>(which, (found, nowS) => {
      if (found === undefined) return { result: undefined };
      const before = v.parse(JobSchema, JSON.parse(found));
      const after = claimJob(before, worker, nowS);
      if (after === before) return { result: undefined };
      const put = { body: JSON.stringify(after), endsAt: nowS + KEPT_S };
      return { put, result: after.state === 'open' ? { ...after, id, product } : undefined };
    });
    if (claimed === undefined) continue;
    await noteWorker(storage, worker, CLAIM_S);
    return claimed;
  }
  return undefined;
}

function noteWorker(storage: Storage, worker: string, seconds: number): Promise<void> {
  return storage.changeRecord({ kind: WORKER_KIND, key: worker }, (_, nowS) => ({
    result: undefined,
    put: { body: '', endsAt: nowS + seconds },
  }));
}

/** Resolves to the job after it; `undefined` if there is no such job or it has ended already. */
export function endStored(
  storage: Storage,
  { product, id }: { readonly product: string; readonly id: string },
  end: PatchEnd,
): Promise<StoredJob | undefined> {
  const which = { kind: JOB_KIND, key: `${prefixOf(product)}${id}` };
  return storage.changeRecord<StoredJob | undefined>(which, (found, nowS) => {
    const after = found === undefined ? undefined : endJob(v.parse(JobSchema, JSON.parse(found)), end);
    if (after === undefined) return { result: undefined };
    return {
      result: { ...after, id, product },
      put: { body: JSON.stringify(after), endsAt: nowS + KEPT_S },
    };
  });
}
