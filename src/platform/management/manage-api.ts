/** The management API of the One Platform for content (one-platform.md §2.4). */
import { decodeForm } from '../../protocol/codec.ts';
import type { ApiContext } from '../devices/device-api.ts';
import {
  formFields,
  infoReply,
  isVisibleToDevices,
  listReply,
  sendContent,
} from '../devices/provision-api.ts';
import { readBody } from '../http/body.ts';
import {
  type Exchange,
  header,
  NO_CONTENT,
  RESET_CONTENT,
  Refusal,
  type Reply,
  requireMethod,
  textReply,
} from '../http/exchange.ts';
import { checkMeta, checkName, safeContentType } from '../http/names.ts';
import { receiveUpload } from '../http/upload.ts';
import type { Storage } from '../storage/storage.ts';
import { findContentUse } from './content-use.ts';

export const MAX_FIELDS_BYTES = 64 * 1024;

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
  const serial = formFields(decodeForm(exchange.query)).get('sn');
  return listReply(storage, product, serial === undefined ? () => true : isVisibleToDevices);
}

async function manageCreate(context: ApiContext, exchange: Exchange, product: string): Promise<Reply> {
  const body = await readBody(exchange, MAX_FIELDS_BYTES, context.bodyLimits, exchange.address);
  const fields = formFields(decodeForm(body));
  const id = checkName('content id', fields.get('id') ?? '');
  if (fields.get('delete') === 'true') return manageDelete(context.storage, product, id);
  const meta = checkMeta(fields.get('meta') ?? '');
  const created = await context.storage.createContent(product, id, meta, fields.get('protected') === 'true');
  if (!created) throw new Refusal(409, 'cannot create content: there is one of this id');
  return RESET_CONTENT;
}

async function manageDelete(storage: Storage, product: string, id: string): Promise<Reply> {
  const use = await findContentUse(storage, product, id);
  // Answered in words: the One Platform never refuses a deletion, so none of its clients expects a certain body.
  if (use !== undefined) return textReply(409, `cannot delete content '${id}': ${use}`);
  if (!(await storage.deleteContent(product, id))) {
    throw new Refusal(404, 'cannot delete content: no item has this id');
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
  if (item === undefined) throw new Refusal(404, 'cannot read content: no item has this id');
  const fields = formFields(decodeForm(exchange.query));
  const show = fields.get('show');
  // Content belongs to a product and to nothing else: there are no groups that it could be in.
  if (show === 'groups') return NO_CONTENT;
  if (show !== undefined) throw unknownShow(show, 'groups');
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
    await upload.discard();
  }
}

/** Refuses a `?show=` that this platform does not have. */
export function unknownShow(show: string, expected: string): Refusal {
  return new Refusal(400, `cannot show '${show.slice(0, 40)}': expected ${expected}`);
}
