/** The lists that gwe's own management calls return: in pages, or whole as a stream. */
import { decodeForm } from '../../protocol/codec.ts';
import { formFields } from '../devices/provision-api.ts';
import { type Exchange, jsonReply, Refusal, type Reply, requireMethod } from '../http/exchange.ts';
import { jsonListReply } from '../http/json-stream.ts';
import type { Device, DeviceFilter, DeviceState } from '../storage/device-storage.ts';
import { eachItem, MAX_PAGE, type Page, type PageRequest } from '../storage/page.ts';
import type { Storage } from '../storage/storage.ts';

type Fields = ReadonlyMap<string, string>;

const STATES: readonly DeviceState[] = ['unused', 'notactivated', 'activated', 'expired'];

export async function deviceList(storage: Storage, exchange: Exchange, product: string): Promise<Reply> {
  const fields = await listFields(storage, exchange, product);
  const filter = filterOf(fields);
  const page = async (request: PageRequest): Promise<Page<unknown>> => {
    const { items, next } = await storage.listDevices(product, { ...request, ...filter });
    return { items: items.map(shownDevice), next };
  };
  return listReply(fields, page);
}

export async function contentList(storage: Storage, exchange: Exchange, product: string): Promise<Reply> {
  const fields = await listFields(storage, exchange, product);
  return listReply(fields, (request) => storage.listContent(product, request));
}

async function listFields(storage: Storage, exchange: Exchange, product: string): Promise<Fields> {
  requireMethod(exchange, 'GET');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  return formFields(decodeForm(exchange.query));
}

function shownDevice({ serial, state, rid, enabledAt, lastWriteAt, lastSeenAt }: Device) {
  return { serial, state, rid, enabledAt, lastWriteAt, lastSeenAt };
}

function filterOf(fields: Fields): DeviceFilter {
  const state = STATES.find((one) => one === fields.get('state'));
  if (state === undefined && fields.has('state'))
    throw new Refusal(400, `cannot list: expected as state one of ${STATES.join(', ')}`);
  return { prefix: fields.get('prefix'), state, seenBefore: numberOf(fields, 'seen_before', 0) };
}

function numberOf(fields: Fields, name: string, least: number): number | undefined {
  const text = fields.get(name);
  if (text === undefined) return undefined;
  if (/^\d{1,12}$/.test(text) && Number(text) >= least) return Number(text);
  throw new Refusal(400, `cannot list: expected a whole number from ${least} on as ${name}`);
}

async function listReply<T>(
  fields: Fields,
  page: (request: PageRequest) => Promise<Page<T>>,
): Promise<Reply> {
  const limit = numberOf(fields, 'limit', 1);
  if (limit === undefined) return jsonListReply(eachItem(page));
  const { items, next } = await page({ after: fields.get('after'), limit: Math.min(limit, MAX_PAGE) });
  const reply = jsonReply(items);
  if (next === undefined) return reply;
  return { ...reply, headers: { ...reply.headers, 'x-gwe-next': encodeURIComponent(next) } };
}
