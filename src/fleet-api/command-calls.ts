/**
 * What a person has many gateways do at once: the answer says for each gateway that it was done, or why it was left
 * out.
 */
import * as v from 'valibot';
import { matchArtifactName } from '../artifact/name.ts';
import { needsApproval } from '../fleet/people/roles.ts';
import { Refusal } from '../platform/http/exchange.ts';
import { checkName } from '../platform/http/names.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';
import {
  type Answer,
  type ApiCall,
  bodyOf,
  type FleetContext,
  lineOf,
  nameOf,
  type Request,
} from './call.ts';
import { KEY } from './gateway-calls.ts';

/** The most gateways of one request; for more of them, a client sends several requests. */
const MOST_SERIALS = 500;
const MOST_INTERVAL_S = 31_536_000;
const SERIALS = v.pipe(v.array(lineOf(255)), v.minLength(1), v.maxLength(MOST_SERIALS));
const TAG = v.object({ serials: SERIALS, tags: v.record(KEY, v.nullable(lineOf(256))) });
const HOLD = v.object({ serials: SERIALS, reason: v.nullable(v.pipe(lineOf(300), v.minLength(1))) });
const INTERVAL = v.object({
  serials: SERIALS,
  seconds: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MOST_INTERVAL_S)),
});
const INSTALL = v.object({
  serials: SERIALS,
  artifacts: v.pipe(v.array(lineOf(255)), v.minLength(1), v.maxLength(16)),
  /** How many gateways there are in all, where this request is one of several. */
  of: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});

export const commandCalls: readonly ApiCall[] = [
  {
    method: 'PUT',
    path: '/products/{product}',
    permission: 'gateway.import',
    summary: 'Make a product; nothing where there is one',
    run: makeProduct,
  },
  {
    method: 'POST',
    path: '/products/{product}/devices/tags',
    permission: 'gateway.tag',
    summary: 'Set tags of many gateways; null removes one',
    schema: TAG,
    run: tagMany,
  },
  {
    method: 'POST',
    path: '/products/{product}/devices/hold',
    permission: 'gateway.hold',
    summary: 'Keep rollouts and commands off many gateways, with the reason; null lets them go',
    schema: HOLD,
    run: holdMany,
  },
  {
    method: 'POST',
    path: '/products/{product}/devices/interval',
    permission: 'gateway.command',
    summary: 'Have many gateways check in every so many seconds, from their next check-in on',
    schema: INTERVAL,
    run: changeInterval,
  },
  {
    method: 'POST',
    path: '/products/{product}/devices/install',
    permission: 'gateway.command',
    summary: 'Command an installation on many gateways at once; those on hold are left out',
    schema: INSTALL,
    run: install,
  },
];

async function makeProduct({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = checkName('product', nameOf(request, 'product'));
  const isNew = await storage.createProduct(product);
  const audit = request.audit('product.add', product);
  if (isNew)
    await storage.changeRecord({ kind: 'noted', key: product }, () => ({ result: undefined, audit }));
  return { status: isNew ? 201 : 200, body: { product, isNew } };
}

/** Resolves to the reason why a gateway was left out; `undefined` where the act was done. */
type Act = (gateway: FleetGateway) => Promise<string | undefined>;

async function each(
  { storage }: FleetContext,
  product: string,
  serials: readonly string[],
  act: Act,
): Promise<Answer> {
  let done = 0;
  const leftOut: { serial: string; reason: string }[] = [];
  for (const serial of new Set(serials)) {
    const gateway = await storage.findGateway(product, serial);
    const reason = gateway === undefined ? 'no such device' : await act(gateway);
    if (reason === undefined) done += 1;
    else leftOut.push({ serial, reason });
  }
  return { body: { done, leftOut } };
}

function tagMany(context: FleetContext, request: Request): Promise<Answer> {
  const { serials, tags } = bodyOf(TAG, request.body);
  const product = nameOf(request, 'product');
  return each(context, product, serials, async ({ serial, tags: before }) => {
    const audit = {
      ...request.audit('gateway.tag', `${product}/${serial}`),
      before: JSON.stringify(Object.fromEntries(before)),
      after: JSON.stringify(tags),
    };
    return (await context.storage.tagGateway(product, serial, tags, audit)) ? undefined : 'no such device';
  });
}

function holdMany(context: FleetContext, request: Request): Promise<Answer> {
  const { serials, reason } = bodyOf(HOLD, request.body);
  const product = nameOf(request, 'product');
  return each(context, product, serials, async ({ serial }) => {
    const audit = { ...request.audit('gateway.hold', `${product}/${serial}`), after: reason ?? '' };
    const isThere = await context.storage.holdGateway(product, serial, reason ?? undefined, audit);
    return isThere ? undefined : 'no such device';
  });
}

function changeInterval(context: FleetContext, request: Request): Promise<Answer> {
  const { serials, seconds } = bodyOf(INTERVAL, request.body);
  const write = { alias: 'update_interval', value: String(seconds), action: 'gateway.interval' };
  return each(context, nameOf(request, 'product'), serials, (gateway) =>
    writeAlias(context, request, gateway, write),
  );
}

async function install(context: FleetContext, request: Request): Promise<Answer> {
  const { serials, artifacts, of = serials.length } = bodyOf(INSTALL, request.body);
  const product = nameOf(request, 'product');
  if (needsApproval(request.actor.grants, product, Math.max(of, serials.length)))
    throw new Refusal(
      403,
      `cannot command ${of} gateways at once: start a rollout, which somebody else approves`,
    );
  for (const id of artifacts) {
    const item = await context.storage.findContent(product, id);
    if (matchArtifactName(id) !== undefined && item?.hasBlob === true) continue;
    throw new Refusal(
      409,
      `cannot command '${id.slice(0, 80)}': expected a tarball that is in the content area`,
    );
  }
  const value = JSON.stringify({ install: artifacts.map((name) => ({ name })) });
  const write = { alias: 'engine_fetch', value, action: 'gateway.command' };
  return each(context, product, serials, async (gateway) =>
    gateway.hold === undefined ? writeAlias(context, request, gateway, write) : `on hold: ${gateway.hold}`,
  );
}

interface Write {
  readonly alias: string;
  readonly value: string;
  readonly action: string;
}

/** Writes as the operator, with an entry in the audit. */
export async function writeAlias(
  { storage }: FleetContext,
  request: Request,
  { product, serial, id }: FleetGateway,
  { alias, value, action }: Write,
): Promise<string | undefined> {
  if ((await storage.write(id, [[alias, value]], 'operator')) === 'too-much')
    return 'it has more values than a gateway may';
  const audit = { ...request.audit(action, `${product}/${serial}`), after: value };
  await storage.changeRecord({ kind: 'noted', key: audit.target }, () => ({ result: undefined, audit }));
  return undefined;
}
