/**
 * Calls of gwe's own, below `/gwe/v1/products/PRODUCT`, that the One Platform protocol does not have. All take the
 * admin token; answers are JSON.
 *
 *     GET  /devices[?limit=N&after=SERIAL][&prefix=P][&state=S][&seen_before=UNIX]
 *                                                 [{serial, state, rid, enabledAt, lastWriteAt, lastSeenAt}]
 *     POST /devices/SERIAL/values   form body     204; writes as the operator
 *     GET  /devices/SERIAL/values?alias           form body, or 204, as a device would read it
 *     GET  /devices/SERIAL/history?alias=A[&limit=N]   [{value, timestamp, writer}], newest first
 *     PUT  /content/ID?meta=M&sha256=HEX   blob   the item; creates or replaces in one step
 *     GET  /content[?limit=N&after=ID]            [{id, contentType, sizeBytes, updatedAt, meta, isProtected}]
 *
 * Lists are in the order of their names. With `limit` (1 to 1000) they come in pages: while there is more, the header
 * `X-Gwe-Next` has the `after` of the next page, percent-encoded. A page may have fewer than were asked for.
 */
import { decodeForm, decodeNames, encodeForm } from '../../protocol/codec.ts';
import { MAX_ALIASES_PER_REQUEST, MAX_HISTORY_ENTRIES } from '../bounds.ts';
import { type ApiContext, writeForm } from '../devices/device-api.ts';
import { formFields } from '../devices/provision-api.ts';
import {
  type Exchange,
  header,
  jsonReply,
  NO_CONTENT,
  Refusal,
  type Reply,
  requireMethod,
  textReply,
} from '../http/exchange.ts';
import { checkAlias, checkMeta, checkName, safeContentType } from '../http/names.ts';
import { receiveUpload } from '../http/upload.ts';
import type { Device } from '../storage/device-storage.ts';
import type { Storage } from '../storage/storage.ts';
import { contentList, deviceList } from './admin-lists.ts';

/** `rest` is what follows `/gwe/v1/products/`. */
export async function serveAdmin(
  context: ApiContext,
  exchange: Exchange,
  rest: readonly string[],
): Promise<Reply> {
  const [product = '', area, name, action] = rest;
  checkName('product', product);
  if (area === 'content' && name === undefined) return contentList(context.storage, exchange, product);
  if (area === 'content') return contentPut(context.storage, exchange, product, rest.slice(2).join('/'));
  if (area === 'devices' && name === undefined) return deviceList(context.storage, exchange, product);
  if (area === 'devices' && rest.length === 4) {
    const device = await findDevice(context.storage, product, name ?? '');
    if (action === 'values') return deviceValues(context, exchange, device);
    if (action === 'history') return deviceHistory(context.storage, exchange, device);
  }
  throw new Refusal(404, 'cannot find this path');
}

async function findDevice(storage: Storage, product: string, serial: string): Promise<Device> {
  const device = await storage.findDevice(product, serial);
  if (device === undefined) throw new Refusal(404, 'no such device');
  return device;
}

async function deviceValues(context: ApiContext, exchange: Exchange, device: Device): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST');
  if (exchange.method === 'POST') {
    await writeForm(context, exchange, device);
    return NO_CONTENT;
  }
  const aliases = decodeNames(exchange.query).slice(0, MAX_ALIASES_PER_REQUEST).map(checkAlias);
  const values = await context.storage.read(device.id, aliases);
  if (values.length === 0) return NO_CONTENT;
  const form = encodeForm(values.map((value) => [value.alias, value.value]));
  return textReply(200, form, 'application/x-www-form-urlencoded; charset=utf-8');
}

async function deviceHistory(storage: Storage, exchange: Exchange, device: Device): Promise<Reply> {
  requireMethod(exchange, 'GET');
  const fields = formFields(decodeForm(exchange.query));
  const limit = Number(fields.get('limit') ?? MAX_HISTORY_ENTRIES);
  if (!Number.isInteger(limit) || limit < 1)
    throw new Refusal(400, 'cannot list history: limit is not a number above 0');
  const alias = checkAlias(fields.get('alias') ?? '');
  return jsonReply(await storage.history(device.id, alias, Math.min(limit, MAX_HISTORY_ENTRIES)));
}

async function contentPut(storage: Storage, exchange: Exchange, product: string, id: string): Promise<Reply> {
  requireMethod(exchange, 'PUT');
  checkName('content id', id);
  const fields = formFields(decodeForm(exchange.query));
  const meta = checkMeta(fields.get('meta') ?? '');
  const upload = await receiveUpload(storage, exchange);
  try {
    const expected = fields.get('sha256') ?? upload.sha256;
    if (expected.toLowerCase() !== upload.sha256) {
      throw new Refusal(
        400,
        `cannot store content: received sha256 ${upload.sha256}, expected the one named`,
      );
    }
    const contentType = safeContentType(header(exchange, 'content-type'));
    return jsonReply(await storage.putContent(product, id, { contentType, meta }, upload));
  } finally {
    await upload.discard();
  }
}
