/**
 * The undo of a rollout. Where its command was signed, so is each command that takes it back: the versions that gateways
 * go back to are asked for first, and signed where the key is.
 */
import * as v from 'valibot';
import { renderArtifactName } from '../artifact/name.ts';
import { abort } from '../fleet/rollout/operate.ts';
import { planUndo } from '../fleet/rollout/plan.ts';
import type { Artifact, Member, Rollout } from '../fleet/rollout/rollout.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';
import { type Answer, type ApiCall, bodyOf, type FleetContext, nameOf, type Request } from './call.ts';
import { eachGateway } from './gateway-calls.ts';
import { changed, createRollout, eachMember, findRollout, ROLLOUT } from './rollout-calls.ts';
import { planOf, SIGNED, type Spec } from './rollout-plan.ts';
import { showRollout } from './rollout-view.ts';

/** Versions that some gateways go back to, and who has signed the command that installs them. */
const WAY_BACK = v.object({ artifacts: v.pipe(v.array(v.string()), v.maxLength(8)), signed: SIGNED });
const UNDO = v.object({ signed: v.optional(v.pipe(v.array(WAY_BACK), v.maxLength(1000))) });

export const undoCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: `${ROLLOUT}/undo/plan`,
    permission: 'rollout.plan',
    summary: 'Dry run: which gateways would go back to what, and whether that has to be signed',
    run: planWaysBack,
  },
  {
    method: 'POST',
    path: `${ROLLOUT}/undo`,
    permission: 'rollout.undo',
    summary:
      'Roll each gateway that has it back to the version that it had; where it was signed, with a signature for each way back',
    schema: UNDO,
    run: undoRollout,
  },
];

type WaysBack = ReturnType<typeof planUndo>;
type Signatures = ReadonlyMap<string, Spec['signed']>;

async function planWaysBack(context: FleetContext, request: Request): Promise<Answer> {
  const { rollout } = await findRollout(context, request);
  const { steps, unknown } = await findWaysBack(context, request, rollout);
  const shown = steps.map(({ artifacts, serials }) => ({
    artifacts: idsOf(artifacts),
    gateways: serials.length,
    first: serials.slice(0, 10),
  }));
  return { body: { isSigned: rollout.policy.signed !== undefined, steps: shown, unknown } };
}

/**
 * Starts one rollout for each version that gateways go back to, with all gateways at once: the version is known to be
 * bad, so there are no waves.
 */
async function undoRollout(context: FleetContext, request: Request): Promise<Answer> {
  const { signed = [] } = bodyOf(UNDO, request.body ?? {});
  const signatures: Signatures = new Map(signed.map((one) => [one.artifacts.join(' '), one.signed]));
  const { rollout, name } = await findRollout(context, request);
  requireSignatures(request, rollout, { ways: await findWaysBack(context, request, rollout), signatures });
  await end(context, request, rollout);
  const { steps, unknown } = await findWaysBack(context, request, rollout);
  const rollouts: unknown[] = [];
  // A gateway that ended meanwhile may have had a version that nobody has signed a way back to.
  const unsigned: string[] = [];
  for (const { artifacts, serials } of steps) {
    const ids = idsOf(artifacts);
    const signature = signatures.get(ids.join(' '));
    if (signature === undefined && rollout.policy.signed !== undefined) {
      unsigned.push(...serials);
      continue;
    }
    const spec: Spec = {
      name: `undo of ${name}`.slice(0, 128),
      artifacts: ids,
      serials: [...serials],
      waves: [{ share: 1 }],
      soakS: 0,
      ...(signature === undefined ? {} : { signed: signature }),
    };
    const planned = await planOf(context, request, spec);
    if (planned.plan.waves.flat().length === 0) continue;
    rollouts.push(
      showRollout(await createRollout(context, request, { spec, planned, waits: false }), request.at),
    );
  }
  return { status: 201, body: { rollouts, unknown, unsigned } };
}

function idsOf(artifacts: readonly Artifact[]): string[] {
  return artifacts.map(({ app, version }) => renderArtifactName({ name: app, version }));
}

function requireSignatures(
  { names, at }: Request,
  { id, policy }: Rollout,
  { ways, signatures }: { ways: WaysBack; signatures: Signatures },
): void {
  if ([...signatures.values()].some((signed) => signed !== undefined && signed.until <= at))
    throw new Refusal(422, `cannot undo rollout '${id}': a signature of a way back has ended; sign it again`);
  if (policy.signed === undefined) return;
  const missing = ways.steps
    .map(({ artifacts }) => idsOf(artifacts))
    .filter((ids) => !signatures.has(ids.join(' ')));
  if (missing.length === 0) return;
  throw new Refusal(
    409,
    `cannot undo rollout '${id}': it was signed, and the way back to ${missing.map((ids) => ids.join(' ')).join(', ')} is not, so gateways with require_signed_commands would refuse it; 'gwe fleet rollout undo ${names.product} ${id} --sign-key FILE' signs it, on your machine`,
  );
}

async function end({ storage }: FleetContext, request: Request, { id }: Rollout): Promise<void> {
  const ended = await storage.changeRollout(
    { product: nameOf(request, 'product'), id },
    (now) =>
      now.state === 'done'
        ? { rollout: now }
        : abort(now, { by: request.actor.name, at: request.at, reason: 'undone' }),
    request.audit('rollout.undo', id),
  );
  changed(ended, request);
}

async function findWaysBack(
  context: FleetContext,
  request: Request,
  { id, artifacts }: Rollout,
): Promise<WaysBack> {
  const gateways = new Map<string, FleetGateway>();
  await eachGateway(
    context,
    nameOf(request, 'product'),
    () => true,
    (gateway) => gateways.set(gateway.serial, gateway),
  );
  const members: Member[] = [];
  await eachMember(context, id, (member) => {
    if (!hasLeft(gateways.get(member.serial), member, artifacts)) members.push(member);
  });
  const versions = new Map(artifacts.map(({ app, version }) => [app, version]));
  return planUndo(artifacts, members, (serial, app) => {
    const found = gateways.get(serial)?.apps.get(app);
    // What a gateway shows that has not shown the new version yet is the version that it had.
    return found === undefined || found.version === versions.get(app) ? found?.previous : found.version;
  });
}

/** It has shown the versions of the rollout, and has others by now: it went back already, or on. */
function hasLeft(
  gateway: FleetGateway | undefined,
  { state }: Member,
  artifacts: readonly Artifact[],
): boolean {
  if (gateway === undefined || state !== 'succeeded') return false;
  return artifacts.every(({ app, version }) => (gateway.apps.get(app)?.version ?? version) !== version);
}
