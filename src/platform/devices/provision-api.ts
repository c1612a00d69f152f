/** Activation and the content area as a device sees them (one-platform.md §2.1-2.3). */

import { decodeForm, type FormPair, renderContentInfo, renderContentList } from '../../protocol/codec.ts';
import { readBody } from '../http/body.ts';
import { type Exchange, header, NO_CONTENT, Refusal, type Reply, textReply } from '../http/exchange.ts';
import { checkName } from '../http/names.ts';
import { parseRange } from '../http/range-request.ts';
import type { ContentItem } from '../storage/content-storage.ts';
import type { Device } from '../storage/device-storage.ts';
import { eachItem } from '../storage/page.ts';
import type { Storage } from '../storage/storage.ts';
import { type ApiContext, authenticateDevice } from './device-api.ts';

const MAX_ACTIVATE_BYTES = 4096;
const CSV = 'text/csv; charset=utf-8';

/** `POST /provision/activate` with the triple, or with `id=` alone. */
export async function serveActivate(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const { ofAddress, ofSerial } = context.activationFailures;
  ofAddress.check(exchange.address);
  const body = await readBody(exchange, MAX_ACTIVATE_BYTES, context.bodyLimits, exchange.address);
  const fields = formFields(decodeForm(body));
  // Many gateways may be behind one address: failures are counted by name too, so that wrong names do not keep the
  // others out.
  const who = `${exchange.address} ${fields.get('sn') ?? fields.get('id') ?? ''}`;
  ofSerial.check(who);
  try {
    return await activate(context, exchange, fields);
  } catch (error) {
    // Whoever finds the name of a device that is in its window gets its key, so guessing names has to be slow.
    if (error instanceof Refusal) {
      ofAddress.count(exchange.address);
      ofSerial.count(who);
    }
    throw error;
  }
}

async function activate(
  context: ApiContext,
  exchange: Exchange,
  fields: ReadonlyMap<string, string>,
): Promise<Reply> {
  const { vendor, product, serial } = await resolveIdentity(context.storage, exchange, fields);
  const connection = exchange.address;
  const result = await context.storage.activate({ vendor, product, serial, connection });
  if (result.kind === 'unknown') throw new Refusal(404, 'cannot activate: this identity is not known here');
  // Here, too, the first to come with the name gets the key, so guessing names has to be slow.
  if (result.kind === 'activated' && result.isAgain) context.activationFailures.ofAddress.count(connection);
  if (result.kind === 'activated') return textReply(200, result.cik);
  throw new Refusal(
    409,
    `cannot activate: the serial number is ${result.state}, expected one that was enabled in the last 24 hours`,
  );
}

/** The last value of each name in a form. */
export function formFields(pairs: readonly FormPair[]): ReadonlyMap<string, string> {
  return new Map(pairs);
}

interface Identity {
  vendor: string;
  product: string;
  serial: string;
}

async function resolveIdentity(
  storage: Storage,
  exchange: Exchange,
  fields: ReadonlyMap<string, string>,
): Promise<Identity> {
  const id = fields.get('id');
  if (id !== undefined && !fields.has('model')) {
    const serial = checkName('identity', id);
    const product = await productOfIdentity(storage, exchange, serial);
    return { vendor: product, product, serial };
  }
  const product = checkName('model', fields.get('model') ?? '');
  const vendor = checkName('vendor', fields.get('vendor') ?? '');
  return { vendor, product, serial: checkName('serial number', fields.get('sn') ?? '') };
}

/**
 * A Device2 request names the product by the host (`PRODUCT.m2...`); on a bare host, only one product may have this
 * serial number.
 */
async function productOfIdentity(storage: Storage, exchange: Exchange, serial: string): Promise<string> {
  const label = header(exchange, 'host')?.split('.')[0] ?? '';
  if (label !== '' && (await storage.hasProduct(label))) return label;
  const products = await storage.findProductsOfSerial(serial);
  if (products.length > 1) {
    throw new Refusal(409, 'cannot activate: several products have this identity; send vendor, model and sn');
  }
  const [product] = products;
  if (product === undefined) throw new Refusal(404, 'cannot activate: this identity is not known here');
  return product;
}

/** `GET /provision/download`: list, info, get. */
export async function serveDownload(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  const fields = formFields(decodeForm(exchange.query));
  const id = fields.get('id');
  const isInfo = fields.get('info') === 'true';
  if (!isOwnProduct(device, fields)) {
    throw new Refusal(isInfo ? 400 : 403, 'cannot read content: the key is not of this vendor and model');
  }
  if (id === undefined) return deviceList(context.storage, device);
  const item = await context.storage.findContent(device.product, id);
  if (item === undefined || !item.hasBlob) throw new Refusal(404, 'cannot read content: no item has this id');
  if (item.isProtected)
    throw new Refusal(403, 'cannot read content: it is protected and this device is in no group of it');
  return isInfo
    ? textReply(200, renderContentInfo(item), CSV)
    : sendContent(context.storage, exchange, device.product, id);
}

/** The query may leave both out (Device2); what it does name must be what the device was activated under. */
function isOwnProduct(device: Device, fields: ReadonlyMap<string, string>): boolean {
  return (
    (fields.get('model') ?? device.product) === device.product &&
    (fields.get('vendor') ?? device.vendor) === device.vendor
  );
}

async function deviceList(storage: Storage, device: Device): Promise<Reply> {
  return listReply(storage, device.product, isVisibleToDevices);
}

export function isVisibleToDevices(item: ContentItem): boolean {
  return item.hasBlob && !item.isProtected;
}

/** The requested ids among a product's content. */
export async function listReply(
  storage: Storage,
  product: string,
  isWanted: (item: ContentItem) => boolean,
): Promise<Reply> {
  const ids: string[] = [];
  for await (const item of eachItem((request) => storage.listContent(product, request)))
    if (isWanted(item)) ids.push(item.id);
  return ids.length === 0 ? NO_CONTENT : textReply(200, renderContentList(ids), CSV);
}

export function infoReply(item: ContentItem): Reply {
  return textReply(200, renderContentInfo(item, item.isProtected), CSV);
}

/** The blob, or the one range that was asked for. */
export async function sendContent(
  storage: Storage,
  exchange: Exchange,
  product: string,
  id: string,
): Promise<Reply> {
  const content = await storage.openContent(product, id);
  if (content === undefined) throw new Refusal(404, 'cannot read content: no item has this id');
  const { sizeBytes, contentType } = content.item;
  const headers = { 'content-type': contentType, 'accept-ranges': 'bytes' };
  const range = parseRange(header(exchange, 'range'), sizeBytes);
  if (range === 'unsatisfiable') {
    await content.close();
    throw new Refusal(416, `cannot read this range: the content has ${sizeBytes} bytes`, {
      'accept-ranges': 'bytes',
      'content-range': `bytes */${sizeBytes}`,
    });
  }
  const { first, last } = range ?? { first: 0, last: sizeBytes - 1 };
  const body = { stream: content.read({ first, last }), sizeBytes: last - first + 1 };
  if (range === undefined) return { status: 200, headers, body };
  return {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${first}-${last}/${sizeBytes}` },
    body,
  };
}
