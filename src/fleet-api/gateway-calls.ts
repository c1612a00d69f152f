/** Gateways, tags, groups and events. */
import * as v from 'valibot';
import { parseFilter } from '../fleet/filter/filter.ts';
import { FilterError } from '../fleet/filter/tokens.ts';
import type { GatewayRecord } from '../fleet/gateway/record.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';
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

import { streamEvents } from './event-stream.ts';
import type { Walk } from './recent.ts';

type Chosen = (gateway: GatewayRecord, nowS: number) => boolean;

/** The filter that a text says. Refuses with 400, naming the place. */
function filterOf(text: string): Chosen {
  try {
    return parseFilter(text);
  } catch (error) {
    if (error instanceof FilterError) throw new Refusal(400, error.message);
    throw error;
  }
}

export const KEY = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected up to 64 letters, digits, _ . -'),
);
const TAGS = v.record(KEY, v.nullable(lineOf(256)));
const GROUP = v.object({ filter: lineOf(2000) });

export const gatewayCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/status',
    permission: 'fleet.read',
    summary: 'How the fleet is: counts, versions, what needs somebody',
    run: status,
  },
  {
    method: 'GET',
    path: '/products/{product}/devices',
    permission: 'fleet.read',
    summary: 'Gateways by serial number, those that a filter or a group chooses',
    query: ['filter', 'group', 'after', 'limit'],
    run: listDevices,
  },
  {
    method: 'GET',
    path: '/products/{product}/devices/{serial}',
    permission: 'fleet.read',
    summary: 'One gateway',
    run: async (context, request) => ({ body: showGateway(await findGateway(context, request), request.at) }),
  },
  {
    method: 'PATCH',
    path: '/products/{product}/devices/{serial}/tags',
    permission: 'gateway.tag',
    summary: 'Set tags; null removes one',
    schema: TAGS,
    run: tagDevice,
  },
  {
    method: 'GET',
    path: '/products/{product}/groups',
    permission: 'fleet.read',
    summary: 'Saved groups',
    run: async ({ storage }, request) => ({
      body: { groups: await storage.listGroups(nameOf(request, 'product')) },
    }),
  },
  {
    method: 'PUT',
    path: '/products/{product}/groups/{group}',
    permission: 'group.write',
    summary: 'Save a group by its filter',
    schema: GROUP,
    run: putGroup,
  },
  {
    method: 'GET',
    path: '/products/{product}/events',
    permission: 'fleet.read',
    summary:
      'Events after the one of a number, oldest first; as a stream, from Last-Event-ID on, to who accepts one, with a word when a rollout changes to who asks for it',
    query: ['after', 'limit', 'serial', 'rollouts'],
    gives: ['text/event-stream'],
    run: listEvents,
  },
];

async function requireProduct({ storage }: FleetContext, product: string): Promise<string> {
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  return product;
}

/** The filter of a query or a rollout: where both a group and a filter are given, both have to match. */
export async function chosenOf(
  context: FleetContext,
  product: string,
  { filter, group }: { filter?: string | undefined; group?: string | undefined },
): Promise<Chosen> {
  const own = filterOf(filter ?? '');
  if (group === undefined) return own;
  const saved = (await context.storage.listGroups(product)).find(({ name }) => name === group);
  if (saved === undefined) throw new Refusal(404, `no such group: '${group.slice(0, 64)}'`);
  const ofGroup = filterOf(saved.filter);
  return (gateway, nowS) => ofGroup(gateway, nowS) && own(gateway, nowS);
}

async function listDevices(context: FleetContext, request: Request): Promise<Answer> {
  const { query, at } = request;
  const product = await requireProduct(context, nameOf(request, 'product'));
  const [filter, group] = [query.get('filter') ?? undefined, query.get('group') ?? undefined];
  const chosen = await chosenOf(context, product, { filter, group });
  const limit = limitOf(query);
  const devices: unknown[] = [];
  let next = query.get('after') ?? undefined;
  // Where few gateways match, the number of those that are looked at for one answer is bounded too.
  for (let pages = 0; pages < MOST_LOOKED_THROUGH && devices.length < limit; pages++) {
    const page = { after: next, limit: limit - devices.length, chosen };
    const found = await context.storage.listGateways(product, page);
    for (const gateway of found.items) devices.push(showGateway(gateway, at));
    next = found.next;
    if (next === undefined) break;
  }
  return { body: { devices, next: next ?? null } };
}

/** Pages of the storage, of some hundred gateways each. */
const MOST_LOOKED_THROUGH = 25;

/** All gateways that match, a page at a time. */
export async function eachGateway(
  { storage }: FleetContext,
  product: string,
  chosen: Chosen,
  take: (gateway: FleetGateway) => void,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const page = await storage.listGateways(product, { after, limit: 1000, chosen });
    for (const gateway of page.items) take(gateway);
    if (page.next === undefined) return;
    after = page.next;
  }
}

async function findGateway({ storage }: FleetContext, request: Request): Promise<FleetGateway> {
  const found = await storage.findGateway(nameOf(request, 'product'), nameOf(request, 'serial'));
  if (found === undefined) throw new Refusal(404, 'no such device');
  return found;
}

function showGateway(gateway: FleetGateway, nowS: number): Record<string, unknown> {
  const { apps, tags, id: _, ...rest } = gateway;
  const isSilent = gateway.expectedBy > 0 && nowS > gateway.expectedBy;
  return { ...rest, isSilent, tags: Object.fromEntries(tags), apps: Object.fromEntries(apps) };
}

async function tagDevice(context: FleetContext, request: Request): Promise<Answer> {
  const [product, serial] = [nameOf(request, 'product'), nameOf(request, 'serial')];
  const before = await findGateway(context, request);
  const tags = bodyOf(TAGS, request.body);
  const facts = request.audit('gateway.tag', `${product}/${serial}`);
  const audit = {
    ...facts,
    before: JSON.stringify(Object.fromEntries(before.tags)),
    after: JSON.stringify(tags),
  };
  await context.storage.tagGateway(product, serial, tags, audit);
  return { body: showGateway(await findGateway(context, request), request.at) };
}

async function putGroup(context: FleetContext, request: Request): Promise<Answer> {
  const product = await requireProduct(context, nameOf(request, 'product'));
  const name = bodyOf(KEY, nameOf(request, 'group'));
  const { filter } = bodyOf(GROUP, request.body);
  filterOf(filter);
  const audit = { ...request.audit('group.write', `${product}/${name}`), after: filter };
  await context.storage.putGroup(product, { name, filter }, audit);
  return { body: { name, filter } };
}

async function listEvents(context: FleetContext, request: Request): Promise<Answer> {
  const product = await requireProduct(context, nameOf(request, 'product'));
  if (request.header('accept')?.includes('text/event-stream') === true)
    return streamEvents(context, request, product);
  const after = Number(request.query.get('after') ?? 0);
  if (!Number.isSafeInteger(after) || after < 0)
    throw new Refusal(400, 'cannot use after: expected the id of an event');
  const serial = request.query.get('serial') ?? undefined;
  const events = await context.storage.listEvents(product, { after, limit: limitOf(request.query), serial });
  return { body: { events } };
}

/** So many are named one by one; the rest is counted. */
const MOST_NAMED = 50;

async function status(context: FleetContext, request: Request): Promise<Answer> {
  const product = await requireProduct(context, nameOf(request, 'product'));
  const body = await context.recent.of(`status ${product}`, () => countStatus(context, product, request.at));
  return { body };
}

async function countStatus(context: FleetContext, product: string, at: number): Promise<Walk> {
  const counts = { gateways: 0, expected: 0, late: 0, silent: 0, neverSeen: 0, shared: 0, failing: 0 };
  const versions: Map<string, Map<string, number>> = new Map();
  const named: { serial: string; problems: string[] }[] = [];
  await eachGateway(
    context,
    product,
    () => true,
    (gateway) => {
      counts.gateways += 1;
      for (const [app, { version }] of gateway.apps) {
        const found = versions.get(app) ?? new Map<string, number>();
        versions.set(app, found.set(version, (found.get(version) ?? 0) + 1));
      }
      const problems = problemsOf(gateway, at);
      counts[hearing(gateway, at)] += 1;
      if (gateway.isShared) counts.shared += 1;
      if (problems.some((problem) => problem.startsWith('app '))) counts.failing += 1;
      if (problems.length > 0 && named.length < MOST_NAMED) named.push({ serial: gateway.serial, problems });
    },
  );
  const apps = Object.fromEntries([...versions].map(([app, found]) => [app, Object.fromEntries(found)]));
  const rollouts = (await context.storage.listRollouts(product, 20))
    .filter(({ rollout }) => rollout.state === 'paused' || rollout.state === 'held')
    .map(({ name, rollout }) => ({ id: rollout.id, name, state: rollout.state, reason: rollout.reason }));
  return { body: { ...counts, apps, problems: named, rollouts }, gateways: counts.gateways };
}

/** A gateway is late when it has missed a check-in by a tenth of its interval; it is silent after two intervals. */
function hearing(
  { lastSeenAt, expectedBy, intervalS }: FleetGateway,
  nowS: number,
): 'expected' | 'late' | 'silent' | 'neverSeen' {
  if (expectedBy > 0 && nowS > expectedBy) return 'silent';
  if (lastSeenAt === 0) return 'neverSeen';
  return intervalS > 0 && nowS > lastSeenAt + intervalS * 1.1 ? 'late' : 'expected';
}

const WELL: ReadonlySet<string> = new Set(['RUNNING', 'EXITED', 'STARTING', 'STOPPED']);
const BAD_ENDS: ReadonlySet<string> = new Set([
  'rejected',
  'failed-no-change',
  'rolled-back',
  'rollback-failed',
]);

function problemsOf(gateway: FleetGateway, nowS: number): string[] {
  const apps = [...gateway.apps].flatMap(([app, { version, status: found, lastOutcome }]) => [
    ...(WELL.has(found) ? [] : [`app ${app} ${version} is ${found}`]),
    ...(lastOutcome !== undefined && BAD_ENDS.has(lastOutcome)
      ? [`app ${app}: last update ${lastOutcome}`]
      : []),
  ]);
  const isSilent = gateway.expectedBy > 0 && nowS > gateway.expectedBy;
  return [
    ...(isSilent ? ['silent'] : []),
    ...(gateway.isShared ? [`two gateways use its key: ${gateway.sharedWhy ?? ''}`] : []),
    ...apps,
  ];
}
