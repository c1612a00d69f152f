/** Patches: which ones exist, what they save, and the calls by which a worker gets work and brings results. */
import * as v from 'valibot';
import { matchArtifactName } from '../../artifact/name.ts';
import { savedBytes } from '../../fleet/patch/patch-job.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import {
  type Answer,
  type ApiCall,
  bodyOf,
  type FleetContext,
  lineOf,
  nameOf,
  type Request,
} from '../call.ts';
import { eachGateway } from '../gateway-calls.ts';
import { askForPatches, claimNext, countWorkers, endStored, listJobs, type StoredJob } from './patch-jobs.ts';
import { beginPrepared } from './prepare.ts';

const BYTES = v.pipe(v.number(), v.integer(), v.minValue(0));
const WORKER = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'expected up to 64 letters, digits, _ . : -'),
);
const ASK = v.object({ artifact: lineOf(160) });
const CLAIM = v.object({ worker: WORKER });
const END = v.object({
  state: v.picklist(['made', 'without']),
  reason: v.optional(lineOf(300), ''),
  name: v.optional(lineOf(300), ''),
  chunkedBytes: v.optional(BYTES, 0),
  patchedBytes: v.optional(BYTES, 0),
});

export const patchCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/patches',
    permission: 'fleet.read',
    summary: 'Patches that were asked for, what they save, and how many workers there are',
    run: async ({ storage }, request) => ({ body: await showPatches(storage, nameOf(request, 'product')) }),
  },
  {
    method: 'POST',
    path: '/products/{product}/patches',
    permission: 'content.write',
    summary: 'Ask for patches to a tarball from the versions that the fleet runs',
    schema: ASK,
    run: askFor,
  },
  {
    method: 'POST',
    path: '/products/{product}/patches/{patch}/end',
    permission: 'content.write',
    summary: 'Tell that a patch has been made and uploaded, or why there is none',
    schema: END,
    run: end,
  },
  {
    method: 'POST',
    path: '/patches/claim',
    permission: 'content.write',
    summary: 'For a worker: the next patch that is to be made',
    schema: CLAIM,
    run: async ({ storage }, request) => {
      const job = await claimNext(storage, bodyOf(CLAIM, request.body).worker);
      return { body: { patch: job === undefined ? null : showJob(job) } };
    },
  },
];

async function showPatches(
  storage: FleetContext['storage'],
  product: string,
): Promise<Record<string, unknown>> {
  const jobs = await listJobs(storage, product);
  return { workers: await countWorkers(storage), patches: jobs.map(showJob) };
}

export function showJob(job: StoredJob): Record<string, unknown> {
  const { id, product, app, version, from, gateways, state, reason, name, chunkedBytes, patchedBytes } = job;
  const about = { id, product, app, version, from, gateways, state, reason, name };
  return { ...about, chunkedBytes, patchedBytes, savesBytes: savedBytes(job) };
}

async function askFor(context: FleetContext, request: Request): Promise<Answer> {
  const { artifact } = bodyOf(ASK, request.body);
  const name = matchArtifactName(artifact);
  if (name === undefined)
    throw new Refusal(422, `cannot make patches to '${artifact}': expected NAME.vVERSION.tar.gz`);
  const product = nameOf(request, 'product');
  const { storage } = context;
  const counts = new Map<string, number>();
  await eachGateway(
    context,
    product,
    () => true,
    ({ apps }) => {
      const version = apps.get(name.name)?.version;
      if (version !== undefined) counts.set(version, (counts.get(version) ?? 0) + 1);
    },
  );
  await askForPatches(storage, product, { app: name.name, version: name.version }, counts);
  const { workers, patches } = await showPatches(storage, product);
  return { body: { workers, patches } };
}

async function end({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  const ended = await endStored(
    storage,
    { product, id: nameOf(request, 'patch') },
    bodyOf(END, request.body),
  );
  if (ended === undefined) throw new Refusal(409, 'cannot end this patch: there is none, or it has ended');
  await beginPrepared(storage, product, request.at);
  return { body: showJob(ended) };
}
