/** How a gateway and a fleet were before: figures of a gateway from its reports, versions of a fleet day by day. */
import { figuresOf } from '../../fleet/gateway/figures.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import { type Answer, type ApiCall, type FleetContext, nameOf, type Request } from '../call.ts';
import { listDays, MOST_DAYS } from './days.ts';

export const historyCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/devices/{serial}/figures',
    permission: 'fleet.read',
    summary: 'Disk, memory, clock and data budget of a gateway over time, from the reports that are kept',
    run: figures,
  },
  {
    method: 'GET',
    path: '/products/{product}/days',
    permission: 'fleet.read',
    summary:
      'Versions by app, bytes of the month and what patches saved, once a day, of the last so many days; the oldest first',
    query: ['days'],
    run: days,
  },
];

/** How many reports of each kind are read, the newest ones: a few months of a gateway that sends one a day. */
const MOST_REPORTS = 200;

async function figures({ storage }: FleetContext, request: Request): Promise<Answer> {
  const found = await storage.findGateway(nameOf(request, 'product'), nameOf(request, 'serial'));
  if (found === undefined) throw new Refusal(404, 'no such device');
  const infos = await storage.history(found.id, 'device_info', MOST_REPORTS);
  const usages = await storage.history(found.id, 'usage_report', MOST_REPORTS);
  return { body: figuresOf(infos, usages) };
}

async function days({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const given = request.query.get('days') ?? '90';
  const count = Number(given);
  if (!Number.isInteger(count) || count < 1 || count > MOST_DAYS)
    throw new Refusal(
      400,
      `cannot use days: found '${given.slice(0, 40)}', expected a whole number from 1 to ${MOST_DAYS}`,
    );
  return { body: { days: await listDays(storage, product, { at: request.at, count }) } };
}
