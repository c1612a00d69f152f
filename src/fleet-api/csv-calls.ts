/** Lists of gateways in and out, and gateways on hold. */
import { Readable } from 'node:stream';
import * as v from 'valibot';
import { Refusal } from '../platform/http/exchange.ts';
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
import { parseImport, renderExport } from './csv.ts';
import { chosenOf } from './gateway-calls.ts';

const HOLD = v.object({ reason: v.nullable(v.pipe(lineOf(300), v.minLength(1))) });

export const csvCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: '/products/{product}/devices/import',
    permission: 'gateway.import',
    summary:
      'Add serial numbers and set tags by a table: serial,tag.NAME,...; all rows are checked before any is taken',
    query: ['enable'],
    takes: 'text/csv',
    run: importDevices,
  },
  {
    method: 'GET',
    path: '/products/{product}/devices.csv',
    permission: 'fleet.read',
    summary: 'Gateways as a table, those that a filter or a group chooses',
    query: ['filter', 'group'],
    gives: ['text/csv'],
    run: exportDevices,
  },
  {
    method: 'PUT',
    path: '/products/{product}/devices/{serial}/hold',
    permission: 'gateway.hold',
    summary: 'Keep rollouts off a gateway, with the reason; null lets it go',
    schema: HOLD,
    run: holdDevice,
  },
  {
    method: 'DELETE',
    path: '/products/{product}/devices/{serial}',
    permission: 'gateway.remove',
    summary: 'Remove a gateway with all that is known of it; its key opens nothing more',
    run: removeDevice,
  },
];

/** So many share a commit, which costs as much as that of one. */
const ROWS_TOGETHER = 64;

async function importDevices({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const { rows, ignored } = parseImport(String(request.body));
  const counts = { rows: rows.length, added: 0, tagged: 0, enabled: 0 };
  const isEnabled = request.query.get('enable') === 'true';
  const importRow = async ({ serial, tags }: (typeof rows)[number]): Promise<void> => {
    const there = await storage.findDevice(product, serial);
    if (there === undefined) {
      // Another import may have added it at the same time; it is there in either case.
      await storage.addDevices(product, [{ serial, extra: '' }]);
      counts.added += 1;
    }
    if (isEnabled && there?.state !== 'activated') {
      const call = { product, serial, connection: request.address, unlessActivated: true };
      if ((await storage.enableDevice(call)) !== 'activated') counts.enabled += 1;
    }
    if (Object.keys(tags).length === 0) return;
    const audit = { ...request.audit('gateway.import', `${product}/${serial}`), after: JSON.stringify(tags) };
    if (await storage.tagGateway(product, serial, tags, audit)) counts.tagged += 1;
  };
  for (let from = 0; from < rows.length; from += ROWS_TOGETHER)
    await Promise.all(rows.slice(from, from + ROWS_TOGETHER).map(importRow));
  return { body: { ...counts, ignored } };
}

const MOST_KEYS = 50;

async function exportDevices(context: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  const { storage } = context;
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const [filter, group] = [request.query.get('filter') ?? undefined, request.query.get('group') ?? undefined];
  const chosen = await chosenOf(context, product, { filter, group });
  async function* pages(): AsyncGenerator<FleetGateway[]> {
    for (let after: string | undefined; ; ) {
      const page = await storage.listGateways(product, { after, limit: 400, chosen });
      yield page.items;
      if (page.next === undefined) return;
      after = page.next;
    }
  }
  // The columns come first, so all the tags have to be found before the first row.
  const keys = new Set<string>();
  for await (const page of pages())
    for (const { tags } of page) for (const key of tags.keys()) if (keys.size < MOST_KEYS) keys.add(key);
  const stream = Readable.from(renderExport(pages(), [...keys].sort(), request.at), { objectMode: false });
  const headers = { 'content-type': 'text/csv; charset=utf-8', 'cache-control': 'no-store' };
  return { body: undefined, reply: { status: 200, headers, body: { stream } } };
}

async function holdDevice({ storage }: FleetContext, request: Request): Promise<Answer> {
  const { reason } = bodyOf(HOLD, request.body);
  const [product, serial] = [nameOf(request, 'product'), nameOf(request, 'serial')];
  const facts = request.audit('gateway.hold', `${product}/${serial}`);
  const audit = { ...facts, after: reason ?? '' };
  if (!(await storage.holdGateway(product, serial, reason ?? undefined, audit)))
    throw new Refusal(404, 'no such device');
  return { body: { serial, hold: reason } };
}

async function removeDevice({ storage }: FleetContext, request: Request): Promise<Answer> {
  const [product, serial] = [nameOf(request, 'product'), nameOf(request, 'serial')];
  const audit = request.audit('gateway.remove', `${product}/${serial}`);
  if ((await storage.removeDevices(product, [serial])) !== undefined)
    throw new Refusal(404, 'no such device');
  await storage.changeRecord({ kind: 'removed', key: `${product}/${serial}` }, () => ({
    result: undefined,
    audit,
  }));
  return { body: { serial, removed: true } };
}
