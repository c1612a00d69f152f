/** The management API of the One Platform for content and serial numbers (spec §2.4). */
import { GweError } from '../base/errors.ts';
import { decodeForm } from '../protocol/codec.ts';
import type { ApiContext } from './device-api.ts';
import {
  declaredLength,
  type Exchange,
  header,
  NO_CONTENT,
  RESET_CONTENT,
  Refusal,
  type Reply,
  readBody,
  requireMethod,
  textReply,
} from './exchange.ts';
import { MAX_CONTENT_BYTES } from './limits.ts';
import { checkMeta, checkName, safeContentType } from './names.ts';
import { formFields, infoReply, isVisibleToDevices, listReply, sendContent } from './provision-api.ts';
import type { Storage, Upload } from './storage.ts';

const MAX_FIELDS_BYTES = 64 * 1024;
const UPLOAD_IDLE_MS = 60_000;

/** `/provision/manage/content/<model>/[<id>]` */
export async function serveManageContent(
  context: ApiContext,
  exchange: Exchange,
  product: string,
  id: string,
): Promise<Reply> {
  checkName('model', product);
  if (id !== '') return serveManageItem(context, exchange, product, checkName('content id', id));
  requireMethod(exchange, 'GET', 'POST');
  return exchange.method === 'GET'
    ? manageList(context.storage, exchange, product)
    : manageCreate(context, exchange, product);
}

async function manageList(storage: Storage, exchange: Exchange, product: string): Promise<Reply> {
  if (!(await storage.hasProduct(product)))
    throw new Refusal(400, 'cannot list content: there is no such model');
  const items = await storage.listContent(product);
  const serial = formFields(decodeForm(exchange.query)).get('sn');
  return listReply(serial === undefined ? items : items.filter(isVisibleToDevices));
}

async function manageCreate(context: ApiContext, exchange: Exchange, product: string): Promise<Reply> {
  const body = await readBody(exchange, MAX_FIELDS_BYTES, context.bodyTimeoutMs);
  const fields = formFields(decodeForm(body));
  const id = checkName('content id', fields.get('id') ?? '');
  if (fields.get('delete') === 'true') return manageDelete(context.storage, product, id);
  const meta = checkMeta(fields.get('meta') ?? '');
  const created = await context.storage.createContent(product, id, meta, fields.get('protected') === 'true');
  if (!created) throw new Refusal(409, 'cannot create content: there is one of this id');
  return RESET_CONTENT;
}

async function manageDelete(storage: Storage, product: string, id: string): Promise<Reply> {
  if (!(await storage.deleteContent(product, id))) {
    throw new Refusal(404, 'cannot delete content: there is none of this id');
  }
  return RESET_CONTENT;
}

async function serveManageItem(
  context: ApiContext,
  exchange: Exchange,
  product: string,
  id: string,
): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST', 'DELETE');
  const { storage } = context;
  if (exchange.method === 'DELETE') return manageDelete(storage, product, id);
  if (exchange.method === 'POST') return manageUpload(storage, exchange, product, id);
  const item = await storage.findContent(product, id);
  if (item === undefined) throw new Refusal(404, 'cannot read content: there is none of this id');
  const fields = formFields(decodeForm(exchange.query));
  if (fields.get('download') !== 'true') return infoReply(item);
  if (fields.has('sn') && item.isProtected) {
    throw new Refusal(403, 'cannot read content: this serial number may not fetch it');
  }
  return sendContent(storage, exchange, product, id);
}

async function manageUpload(
  storage: Storage,
  exchange: Exchange,
  product: string,
  id: string,
): Promise<Reply> {
  const item = await storage.findContent(product, id);
  if (item === undefined) throw new Refusal(404, 'cannot upload content: create an entry of this id first');
  if (item.hasBlob) throw new Refusal(409, 'cannot upload content: it has been uploaded already');
  const upload = await receiveUpload(storage, exchange);
  try {
    const type = safeContentType(header(exchange, 'content-type'));
    const result = await storage.fillContent(product, id, type, upload);
    if (result === 'unknown')
      throw new Refusal(404, 'cannot upload content: its entry was deleted meanwhile');
    if (result === 'filled') throw new Refusal(409, 'cannot upload content: another upload was faster');
    return RESET_CONTENT;
  } finally {
    upload.discard();
  }
}

/** Takes a request's body to the disk. Refuses what is over the limit, or finds no room, with 413 and 507. */
export async function receiveUpload(storage: Storage, exchange: Exchange): Promise<Upload> {
  if (declaredLength(exchange) > MAX_CONTENT_BYTES) throw tooLarge();
  try {
    exchange.request.setTimeout(UPLOAD_IDLE_MS, () => exchange.request.destroy());
    // The request itself must outlive a refusal, so that the client can read it.
    const body = exchange.request.iterator({ destroyOnReturn: false });
    return await storage.receive(body, MAX_CONTENT_BYTES);
  } catch (error) {
    if (error instanceof GweError && error.code === 'PROTOCOL_TOO_LARGE') throw tooLarge();
    if (error instanceof GweError && error.code === 'STORE_NO_SPACE') {
      throw new Refusal(507, 'cannot upload content: no space left');
    }
    throw error;
  }
}

function tooLarge(): Refusal {
  return new Refusal(413, `cannot upload content: expected at most ${MAX_CONTENT_BYTES} bytes`);
}

/** `/provision/manage/model/<model>/<sn>` */
export async function serveManageSerial(
  context: ApiContext,
  exchange: Exchange,
  product: string,
  serial: string,
): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST');
  checkName('model', product);
  checkName('serial number', serial);
  if (exchange.method === 'GET') return serialStatus(context.storage, product, serial);
  const body = await readBody(exchange, MAX_FIELDS_BYTES, context.bodyTimeoutMs);
  const fields = formFields(decodeForm(body));
  if (fields.get('disable') === 'true') return serialDisable(context.storage, product, serial);
  if (fields.get('enable') !== 'true')
    throw new Refusal(400, 'cannot change the serial number: expected enable or disable');
  const oldSerial = fields.get('oldsn');
  if (oldSerial !== undefined) return serialRemap(context.storage, product, oldSerial, serial);
  return serialEnable(context.storage, product, serial, fields.has('owner'));
}

async function serialStatus(storage: Storage, product: string, serial: string): Promise<Reply> {
  const device = await storage.findDevice(product, serial);
  return device === undefined
    ? NO_CONTENT
    : textReply(200, `${device.state},${device.rid},`, 'text/csv; charset=utf-8');
}

async function serialDisable(storage: Storage, product: string, serial: string): Promise<Reply> {
  if (await storage.disableDevice(product, serial)) return RESET_CONTENT;
  throw new Refusal(404, 'cannot disable the serial number: it is not known');
}

async function serialRemap(storage: Storage, product: string, from: string, to: string): Promise<Reply> {
  const result = await storage.remapDevice(product, from, to);
  if (result === 'done') return RESET_CONTENT;
  throw result === 'taken'
    ? new Refusal(409, 'cannot remap: the new serial number is taken')
    : new Refusal(404, 'cannot remap: the old serial number is not known');
}

/** With an owner it is a new device, which must not take the key of one that works; without, a fresh key is the point. */
async function serialEnable(
  storage: Storage,
  product: string,
  serial: string,
  isNew: boolean,
): Promise<Reply> {
  const before = await storage.findDevice(product, serial);
  if (isNew && before?.state === 'activated') {
    throw new Refusal(409, 'cannot enable the serial number: it is activated; regenerate it for a new key');
  }
  const device = await storage.enableDevice(product, serial);
  return isNew ? textReply(200, device.rid) : RESET_CONTENT;
}
