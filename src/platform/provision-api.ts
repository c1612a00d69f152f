/** Activation and the content area as a device sees them (spec §2.1-2.3). */
import { decodeForm, type FormPair, renderContentInfo, renderContentList } from '../protocol/codec.ts';
import { type ApiContext, authenticateDevice } from './device-api.ts';
import { type Exchange, header, NO_CONTENT, Refusal, type Reply, readBody, textReply } from './exchange.ts';
import { checkName } from './names.ts';
import { parseRange } from './range.ts';
import type { ContentItem, Device, Storage } from './storage.ts';

const MAX_ACTIVATE_BYTES = 4096;
const CSV = 'text/csv; charset=utf-8';

/** `POST /provision/activate` with the triple, or with `id=` alone. */
export async function serveActivate(context: ApiContext, exchange: Exchange): Promise<Reply> {
  context.activationFailures.check(exchange);
  try {
    return await activate(context, exchange);
  } catch (error) {
    // Who finds the name of a device in its window gets its key: names must not be tried out fast.
    if (error instanceof Refusal) context.activationFailures.count(exchange);
    throw error;
  }
}

async function activate(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const fields = formFields(decodeForm(await readBody(exchange, MAX_ACTIVATE_BYTES, context.bodyTimeoutMs)));
  const { vendor, product, serial } = await resolveIdentity(context.storage, exchange, fields);
  const result = await context.storage.activate(vendor, product, serial);
  if (result.kind === 'activated') return textReply(200, result.cik);
  if (result.kind === 'unknown') throw new Refusal(404, 'cannot activate: this identity is not known here');
  throw new Refusal(
    409,
    `cannot activate: the serial number is ${result.state}, expected one that was enabled in the last 24 hours`,
  );
}

/** The last value of each name. */
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

/** Device2 names the product by the host (`PRODUCT.m2...`); on a bare host the identity has to be the only one of its name. */
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
  if (item === undefined || !item.hasBlob)
    throw new Refusal(404, 'cannot read content: there is none of this id');
  if (item.isProtected)
    throw new Refusal(403, 'cannot read content: it is protected and this device is in no group of it');
  return isInfo
    ? textReply(200, renderContentInfo(item), CSV)
    : sendContent(context.storage, exchange, device.product, id);
}

/** The query may leave both out (Device2); what it names must be what the device was activated under. */
function isOwnProduct(device: Device, fields: ReadonlyMap<string, string>): boolean {
  return (
    (fields.get('model') ?? device.product) === device.product &&
    (fields.get('vendor') ?? device.vendor) === device.vendor
  );
}

async function deviceList(storage: Storage, device: Device): Promise<Reply> {
  const items = (await storage.listContent(device.product)).filter(isVisibleToDevices);
  return listReply(items);
}

export function isVisibleToDevices(item: ContentItem): boolean {
  return item.hasBlob && !item.isProtected;
}

export function listReply(items: readonly ContentItem[]): Reply {
  return items.length === 0
    ? NO_CONTENT
    : textReply(200, renderContentList(items.map((item) => item.id)), CSV);
}

export function infoReply(item: ContentItem): Reply {
  return textReply(200, renderContentInfo(item, item.isProtected), CSV);
}

/** The blob, or the single range that was asked for. */
export async function sendContent(
  storage: Storage,
  exchange: Exchange,
  product: string,
  id: string,
): Promise<Reply> {
  const content = await storage.openContent(product, id);
  if (content === undefined) throw new Refusal(404, 'cannot read content: there is none of this id');
  const { sizeBytes, contentType } = content.item;
  const headers = { 'content-type': contentType, 'accept-ranges': 'bytes' };
  const range = parseRange(header(exchange, 'range'), sizeBytes);
  if (range === 'unsatisfiable') {
    content.close();
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
