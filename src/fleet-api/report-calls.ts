/** What a fleet has cost and done: bytes by purpose, updates by day and outcome. */
import { Refusal } from '../platform/http/exchange.ts';
import { type Answer, type ApiCall, type FleetContext, nameOf, type Request } from './call.ts';
import { eachGateway } from './gateway-calls.ts';
import type { Walk } from './recent.ts';

export const reportCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/traffic',
    permission: 'fleet.read',
    summary: 'Bytes of the gateways by their own ledgers: this month, by purpose, and who has used the most',
    run: traffic,
  },
  {
    method: 'GET',
    path: '/products/{product}/updates',
    permission: 'fleet.read',
    summary: 'Ends of updates by day, outcome and code, of the last so many days',
    query: ['days'],
    run: updates,
  },
];

const MOST_NAMED = 20;

async function traffic(context: FleetContext, request: Request): Promise<Answer> {
  const product = await productOf(context, request);
  const body = await context.recent.of(`traffic ${product}`, () =>
    countTraffic(context, product, request.at),
  );
  return { body };
}

async function countTraffic(context: FleetContext, product: string, at: number): Promise<Walk> {
  const month = new Date(at * 1000).toISOString().slice(0, 7);
  const purposes = new Map<string, number>();
  const most: { serial: string; bytes: number }[] = [];
  const sums = { gateways: 0, reporting: 0, monthBytes: 0 };
  const take = (serial: string, bytes: number): void => {
    most.push({ serial, bytes });
    if (most.length >= 2 * MOST_NAMED) keepMost();
  };
  const keepMost = (): void => {
    most.sort((a, b) => b.bytes - a.bytes);
    most.length = Math.min(most.length, MOST_NAMED);
  };
  await eachGateway(
    context,
    product,
    () => true,
    ({ serial, traffic: own }) => {
      sums.gateways += 1;
      if (own === undefined) return;
      sums.reporting += 1;
      for (const [purpose, bytes] of own.purposes)
        purposes.set(purpose, (purposes.get(purpose) ?? 0) + bytes);
      if (own.month !== month) return;
      sums.monthBytes += own.monthBytes;
      take(serial, own.monthBytes);
    },
  );
  keepMost();
  const body = { month, ...sums, purposes: Object.fromEntries(purposes), most };
  return { body, gateways: sums.gateways };
}

const DAY_S = 86_400;
const MOST_DAYS = 366;
const MOST_EVENTS = 200_000;

async function updates(context: FleetContext, request: Request): Promise<Answer> {
  const product = await productOf(context, request);
  const days = Number(request.query.get('days') ?? 30);
  if (!Number.isInteger(days) || days < 1 || days > MOST_DAYS)
    throw new Refusal(400, `cannot use days: expected a whole number from 1 to ${MOST_DAYS}`);
  const first = Math.floor(request.at / DAY_S) - days + 1;
  const byDay = Array.from({ length: days }, (_, at) => ({ day: (first + at) * DAY_S, good: 0, bad: 0 }));
  const codes = new Map<string, number>();
  let [after, seen] = [await firstEventOf(context, product, first * DAY_S), 0];
  for (; seen < MOST_EVENTS; ) {
    const events = await context.storage.listEvents(product, { after, limit: 1000 });
    for (const { kind, at, outcome, code } of events) {
      const row = byDay[Math.floor(at / DAY_S) - first];
      if (kind !== 'update' || row === undefined) continue;
      const isGood = outcome === 'installed' || outcome === 'unchanged';
      row[isGood ? 'good' : 'bad'] += 1;
      if (!isGood) codes.set(code || outcome, (codes.get(code || outcome) ?? 0) + 1);
    }
    seen += events.length;
    after = events.at(-1)?.id ?? after;
    if (events.length < 1000) break;
  }
  return { body: { days: byDay, codes: Object.fromEntries(codes), isAll: seen < MOST_EVENTS } };
}

/** The number of an event before all those since `atS`: numbers grow with time, so it is found by bisection. */
async function firstEventOf({ storage }: FleetContext, product: string, atS: number): Promise<number> {
  let [low, high] = [0, await storage.lastEventId()];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [event] = await storage.listEvents(product, { after: middle, limit: 1 });
    if (event === undefined || event.at >= atS) high = middle;
    else low = event.id;
  }
  return low;
}

async function productOf({ storage }: FleetContext, request: Request): Promise<string> {
  const product = nameOf(request, 'product');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  return product;
}
