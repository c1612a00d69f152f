/** Rollouts: the dry run, the start, and what people do with a rollout that is under way. */
import * as v from 'valibot';
import { needsApproval } from '../fleet/people/roles.ts';
import {
  abort,
  approve,
  finish,
  finishPreparing,
  goOn,
  pause,
  type Result,
  resume,
  submit,
} from '../fleet/rollout/operate.ts';
import { type Member, noCounts, type Rollout } from '../fleet/rollout/rollout.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { RolloutChanged, StoredRollout } from '../platform/storage/fleet-storage.ts';
import {
  type Answer,
  type ApiCall,
  bodyOf,
  type FleetContext,
  limitOf,
  lineOf,
  nameOf,
  type Request,
} from './call.ts';
import { showJob } from './patches/patch-calls.ts';
import { askForPatches, jobsOf } from './patches/patch-jobs.ts';
import { beginIfPrepared, hasOpenPatches } from './patches/prepare.ts';
import { endOlder, followOf } from './rollout-follow.ts';
import { type Planned, planOf, policyOf, SPEC, type Spec, showPlan } from './rollout-plan.ts';
import { Reasons, showRollout } from './rollout-view.ts';

const REASON = v.object({ reason: v.optional(lineOf(300)) });

export const ROLLOUT = '/products/{product}/rollouts/{rollout}';

export const rolloutCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: '/products/{product}/rollouts/plan',
    permission: 'rollout.plan',
    summary: 'Dry run: who is in, who is not and why, and the bytes',
    schema: SPEC,
    run: async (context, request) => ({
      body: showPlan(await planOf(context, request, bodyOf(SPEC, request.body))),
    }),
  },
  {
    method: 'POST',
    path: '/products/{product}/rollouts',
    permission: 'rollout.start',
    summary: 'Start a rollout',
    schema: SPEC,
    run: startRollout,
  },
  {
    method: 'GET',
    path: '/products/{product}/rollouts',
    permission: 'fleet.read',
    summary: 'Rollouts, the newest first',
    query: ['limit'],
    run: async ({ storage }, request) => {
      const found = await storage.listRollouts(nameOf(request, 'product'), limitOf(request.query));
      return { body: { rollouts: found.map((stored) => showRollout(stored, request.at)) } };
    },
  },
  {
    method: 'GET',
    path: ROLLOUT,
    permission: 'fleet.read',
    summary: 'One rollout: waves, what it waits for, failures by code',
    run: readRollout,
  },
  {
    method: 'GET',
    path: `${ROLLOUT}/members`,
    permission: 'fleet.read',
    summary: 'Its gateways by serial number',
    query: ['after', 'limit'],
    run: listMembers,
  },
  act('pause', 'rollout.pause', 'Show its command to nobody', pause),
  act('resume', 'rollout.resume', 'Go on after a pause or a stop', resume),
  act('go-on', 'rollout.go-on', 'Begin the next wave in spite of what this one lacks', goOn),
  act('finish', 'rollout.go-on', 'Take in no more gateways; for one that follows', finish),
  act('abort', 'rollout.abort', 'End it; it cannot be resumed', abort),
  act('approve', 'rollout.approve', "Approve another person's rollout", approve),
  {
    method: 'POST',
    path: `${ROLLOUT}/retry`,
    permission: 'rollout.retry',
    summary: 'Try again on the gateways on which it failed',
    run: async ({ storage }, request) => {
      const [product, id] = [nameOf(request, 'product'), nameOf(request, 'rollout')];
      return changed(await storage.retryRollout(product, id, request.audit('rollout.retry', id)), request);
    },
  },
];

type Acting = (rollout: Rollout, act: { by: string; at: number; reason?: string }) => Result;

function act(verb: string, permission: ApiCall['permission'], summary: string, run: Acting): ApiCall {
  return {
    method: 'POST',
    path: `${ROLLOUT}/${verb}`,
    permission,
    summary,
    schema: REASON,
    run: async (context, request) => {
      const { storage } = context;
      const { reason } = bodyOf(REASON, request.body ?? {});
      const [product, id] = [nameOf(request, 'product'), nameOf(request, 'rollout')];
      const step = { by: request.actor.name, at: request.at, ...(reason === undefined ? {} : { reason }) };
      const which = { product, id, revision: request.revision };
      const audit = request.audit(`rollout.${verb}`, id);
      const result = await storage.changeRollout(which, (rollout) => run(rollout, step), audit);
      if (result === 'changed') throw await otherwiseChanged(storage, which);
      if (typeof result === 'string' || 'refusal' in result || result.rollout.state !== 'preparing')
        return changed(result, request);
      await endOlder(context, request, result);
      await beginIfPrepared(storage, result, request.at);
      return changed((await storage.findRollout(product, id)) ?? 'unknown', request);
    },
  };
}

/** Says who has changed it meanwhile and how, so that two people who decide at once do not have to guess. */
async function otherwiseChanged(
  storage: FleetContext['storage'],
  { product, id, revision }: { product: string; id: string; revision?: number | undefined },
): Promise<Refusal> {
  const now = await storage.findRollout(product, id);
  if (now === undefined) return new Refusal(404, 'no such rollout');
  const { state, by, reason } = now.rollout;
  const why = reason === '' ? '' : `: ${reason}`;
  return new Refusal(
    412,
    `cannot change the rollout: it has changed since it was read (revision ${now.revision}, expected ${revision}). It is ${state} now, by ${by}${why}. Nothing was done; look at it, and decide again`,
  );
}

export function changed(result: RolloutChanged, request: Request): Answer {
  if (result === 'unknown') throw new Refusal(404, 'no such rollout');
  if (result === 'changed')
    throw new Refusal(412, 'cannot change the rollout: it has changed since it was read');
  if ('refusal' in result) throw new Refusal(409, result.refusal);
  return { body: showRollout(result, request.at), revision: result.revision };
}

async function startRollout(context: FleetContext, request: Request): Promise<Answer> {
  const spec = bodyOf(SPEC, request.body);
  if (spec.signed !== undefined && spec.signed.until <= request.at)
    throw new Refusal(422, 'cannot start the rollout: the signature of its command has ended; sign it again');
  const planned = await planOf(context, request, spec);
  if (planned.plan.waves.flat().length === 0 && spec.follow !== true) {
    const why = [...planned.plan.excluded]
      .map(([reason, serials]) => `${serials.length} ${reason}`)
      .join(', ');
    throw new Refusal(409, `cannot start the rollout: no gateway is in it${why === '' ? '' : ` (${why})`}`);
  }
  const product = nameOf(request, 'product');
  for (const artifact of planned.artifacts)
    await askForPatches(context.storage, product, artifact, planned.versions.get(artifact.app) ?? new Map());
  const waits = await hasOpenPatches(context.storage, product, planned);
  const stored = await createRollout(context, request, { spec, planned, waits });
  return { status: 201, body: showRollout(stored, request.at), revision: stored.revision };
}

export async function createRollout(
  context: FleetContext,
  request: Request,
  { spec, planned, waits }: { spec: Spec; planned: Planned; waits: boolean },
): Promise<StoredRollout> {
  const { storage } = context;
  const { id, artifacts, plan } = planned;
  const product = nameOf(request, 'product');
  const { name: by, grants } = request.actor;
  const step = { by, at: request.at };
  const follow = await followOf(context, product, spec);
  // How many it will touch is not known.
  const touched = follow.follow === undefined ? plan.waves.flat().length : Number.POSITIVE_INFINITY;
  const draft: Rollout = {
    id,
    artifacts,
    policy: { ...policyOf(spec, artifacts), ...follow },
    state: 'draft',
    wave: 0,
    waves: plan.waves.map(() => ({ openedAt: 0, lastTakenAt: 0, counts: noCounts() })),
    author: by,
    needsApproval: needsApproval(grants, product, touched),
    startedAt: request.at,
    since: request.at,
    by,
    reason: '',
    rollbackFailures: 0,
    acceptedBad: 0,
  };
  const submitted = must(submit(draft, step));
  const isReady = submitted.state === 'preparing' && !waits;
  const rollout = isReady ? must(finishPreparing(submitted, step)) : submitted;
  const name = spec.name ?? artifacts.map(({ app, version }) => `${app} ${version}`).join(', ');
  const audit = { ...request.audit('rollout.start', id), after: JSON.stringify(showPlan(planned)) };
  await storage.createRollout({ product, name, rollout }, plan.waves, audit);
  const stored = await storage.findRollout(product, id);
  if (stored === undefined) throw new Error('a rollout that was made is not in its table');
  if (rollout.state !== 'awaiting-approval') await endOlder(context, request, stored);
  return stored;
}

function must(result: Result): Rollout {
  if ('refusal' in result) throw new Error(result.refusal);
  return result.rollout;
}

export async function findRollout({ storage }: FleetContext, request: Request): Promise<StoredRollout> {
  const stored = await storage.findRollout(nameOf(request, 'product'), nameOf(request, 'rollout'));
  if (stored === undefined) throw new Refusal(404, 'no such rollout');
  return stored;
}

export async function eachMember(
  { storage }: FleetContext,
  id: string,
  take: (member: Member) => void,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const page = await storage.listMembers(id, { after, limit: 1000 });
    for (const member of page.items) take(member);
    if (page.next === undefined) return;
    after = page.next;
  }
}

async function readRollout(context: FleetContext, request: Request): Promise<Answer> {
  const stored = await findRollout(context, request);
  const reasons = new Reasons(stored.rollout, request.at);
  await eachMember(context, stored.rollout.id, (member) => reasons.add(member));
  const patches = await jobsOf(context.storage, stored.product, stored.rollout.artifacts);
  const body = { ...showRollout(stored, request.at), ...reasons.show(), patches: patches.map(showJob) };
  return { body, revision: stored.revision };
}

async function listMembers(context: FleetContext, request: Request): Promise<Answer> {
  const { rollout } = await findRollout(context, request);
  const page = { after: request.query.get('after') ?? undefined, limit: limitOf(request.query) };
  const { items, next } = await context.storage.listMembers(rollout.id, page);
  return { body: { members: items, next: next ?? null } };
}
