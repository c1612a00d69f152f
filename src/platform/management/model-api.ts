/** The management API of the One Platform for models and their serial numbers (one-platform.md §2.4). */
import { decodeForm } from '../../protocol/codec.ts';
import type { ApiContext } from '../devices/device-api.ts';
import { formFields } from '../devices/provision-api.ts';
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
import { checkName } from '../http/names.ts';
import type { Device } from '../storage/device-storage.ts';
import { allItems } from '../storage/page.ts';
import type { Storage } from '../storage/storage.ts';
import { MAX_FIELDS_BYTES, unknownShow } from './manage-api.ts';

const CSV = 'text/csv; charset=utf-8';
/** The shortest and the longest page of a list that the protocol allows. */
const [LEAST_PAGE, LONGEST_PAGE] = [5, 1000];

/** `/provision/manage/model/[<model>[/[<sn>]]]` */
export async function serveManageModel(
  context: ApiContext,
  exchange: Exchange,
  rest: readonly string[],
): Promise<Reply> {
  const [model = '', ...names] = rest;
  if (model === '') return serveModels(context, exchange);
  checkName('model', model);
  const serial = names.join('/');
  if (names.length === 0) return serveModel(context.storage, exchange, model);
  if (!(await context.storage.hasProduct(model)) && !isEnabling(exchange, serial))
    throw new Refusal(404, 'cannot manage serial numbers: there is no such model');
  return serial === ''
    ? serveSerials(context, exchange, model)
    : serveSerial(context, exchange, model, checkName('serial number', serial));
}

/** On this platform, enabling a serial number has always created its model. */
function isEnabling(exchange: Exchange, serial: string): boolean {
  return serial !== '' && exchange.method !== 'DELETE';
}

async function serveModels(context: ApiContext, exchange: Exchange): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST');
  if (exchange.method === 'GET') {
    const show = showOf(exchange);
    if (show === 'shared') return NO_CONTENT;
    if (show !== undefined) throw unknownShow(show, 'shared, or nothing');
    return lines(await allItems((request) => context.storage.listProducts(request)));
  }
  const fields = formFields(decodeForm(await readFields(context, exchange)));
  if (fields.get('delete') === 'true') throw deletesModel();
  if (await context.storage.createProduct(checkName('model', fields.get('model') ?? '')))
    return RESET_CONTENT;
  throw new Refusal(409, 'cannot create the model: there is one of this name');
}

/** A model is only a name here: there is no client that it would be cloned from. */
async function serveModel(storage: Storage, exchange: Exchange, model: string): Promise<Reply> {
  requireMethod(exchange, 'GET', 'PUT', 'DELETE');
  if (!(await storage.hasProduct(model)))
    throw new Refusal(404, 'cannot manage the model: no model has this name');
  if (exchange.method === 'DELETE') throw deletesModel();
  throw new Refusal(501, 'cannot tell or set a clone template: a model is no more than a name here');
}

function deletesModel(): Refusal {
  return new Refusal(501, 'cannot delete a whole model: delete its serial numbers and its content');
}

async function serveSerials(context: ApiContext, exchange: Exchange, model: string): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST', 'DELETE');
  if (exchange.method === 'GET') return listSerials(context.storage, exchange, model);
  const body = await readFields(context, exchange);
  const type = header(exchange, 'content-type') ?? '';
  if (/^application\/(javascript|json)/i.test(type))
    throw new Refusal(501, 'cannot use serial number ranges: add serial numbers one by one or as text/csv');
  const wanted = /^text\/csv/i.test(type) ? csvSerials(body) : formSerials(body);
  if (wanted.serials.length === 0)
    throw new Refusal(400, 'cannot change serial numbers: expected sn, sn[] or lines of text/csv');
  for (const { serial } of wanted.serials) checkName('serial number', serial);
  return exchange.method === 'DELETE' || wanted.isRemoval
    ? removeSerials(context.storage, model, wanted.serials)
    : addSerials(context.storage, model, wanted.serials);
}

interface Wanted {
  isRemoval: boolean;
  serials: { serial: string; extra: string }[];
}

function formSerials(body: string): Wanted {
  const pairs = decodeForm(body);
  const fields = formFields(pairs);
  return {
    isRemoval: fields.get('delete') === 'true' || fields.get('remove') === 'true',
    serials: pairs
      .filter(([name]) => name === 'sn' || name === 'sn[]')
      .map(([, serial]) => ({ serial, extra: checkExtra(fields.get('extra') ?? '') })),
  };
}

function csvSerials(body: string): Wanted {
  const serials = body
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) => {
      const comma = line.indexOf(',');
      return comma === -1
        ? { serial: line, extra: '' }
        : { serial: line.slice(0, comma), extra: checkExtra(line.slice(comma + 1)) };
    });
  return { isRemoval: false, serials };
}

/** It is the last field of a CSV line, and is not quoted. */
function checkExtra(extra: string): string {
  if (!/\p{Cc}/u.test(extra) && Buffer.byteLength(extra) <= 255) return extra;
  throw new Refusal(400, "cannot use this 'extra': expected at most 255 bytes on one line");
}

async function addSerials(storage: Storage, model: string, serials: Wanted['serials']): Promise<Reply> {
  const taken = await storage.addDevices(model, serials);
  if (taken === undefined) return RESET_CONTENT;
  throw new Refusal(409, `cannot add serial number '${taken}': it is there already; none was added`);
}

async function removeSerials(storage: Storage, model: string, serials: Wanted['serials']): Promise<Reply> {
  const names = serials.map(({ serial }) => serial);
  const missing = await storage.removeDevices(model, names);
  if (missing === undefined) return RESET_CONTENT;
  throw new Refusal(404, `cannot remove serial number '${missing}': it is not known; none was removed`);
}

async function listSerials(storage: Storage, exchange: Exchange, model: string): Promise<Reply> {
  const show = showOf(exchange);
  if (show === 'ranges') return textReply(200, '{"ranges":[]}', 'application/javascript; charset=utf-8');
  if (show !== undefined) throw unknownShow(show, 'ranges, or nothing');
  const devices = await storage.pageDevices(model, pageOf(exchange));
  return lines(
    devices.map(({ serial, rid, extra, state }) => `${serial},${state === 'unused' ? '' : rid},${extra}`),
  );
}

function pageOf(exchange: Exchange): { offset: number; limit: number } {
  const fields = formFields(decodeForm(exchange.query));
  const number = (name: string, otherwise: number): number => {
    const text = fields.get(name) ?? String(otherwise);
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new Refusal(400, `cannot list: expected a whole number as ${name}`);
  };
  const limit = number('limit', LONGEST_PAGE);
  return { offset: number('offset', 0), limit: Math.min(LONGEST_PAGE, Math.max(LEAST_PAGE, limit)) };
}

async function serveSerial(
  context: ApiContext,
  exchange: Exchange,
  model: string,
  serial: string,
): Promise<Reply> {
  requireMethod(exchange, 'GET', 'POST', 'DELETE');
  const { storage } = context;
  if (exchange.method === 'GET') return showSerial(storage, exchange, model, serial);
  if (exchange.method === 'DELETE') return removeSerials(storage, model, [{ serial, extra: '' }]);
  const fields = formFields(decodeForm(await readFields(context, exchange)));
  const isDisabling = fields.get('disable') === 'true';
  if (!isDisabling && fields.get('enable') !== 'true')
    throw new Refusal(400, 'cannot change the serial number: expected enable or disable');
  const change = { product: model, serial, connection: exchange.address };
  return isDisabling ? disable(storage, change) : enable(storage, change, fields);
}

/** Which serial number is changed, and from which address; both go into its log. */
interface Change {
  product: string;
  serial: string;
  connection: string;
}

async function showSerial(
  storage: Storage,
  exchange: Exchange,
  model: string,
  serial: string,
): Promise<Reply> {
  const device = await storage.findDevice(model, serial);
  const show = showOf(exchange);
  if (show !== undefined && show !== 'groups' && show !== 'log') throw unknownShow(show, 'groups or log');
  if (device === undefined && show !== undefined)
    throw new Refusal(404, 'cannot show the serial number: it is not known');
  if (device === undefined || show === 'groups') return NO_CONTENT;
  if (show === 'log') return lines(await logLines(storage, device));
  return device.state === 'unused'
    ? NO_CONTENT
    : textReply(200, `${device.state},${device.rid},${device.extra}`, CSV);
}

async function logLines(storage: Storage, device: Device): Promise<string[]> {
  const entries = await storage.activationLog(device.id);
  return entries.map(({ at, connection, entry }) => `${at},${connection},${entry}`);
}

async function disable(storage: Storage, change: Change): Promise<Reply> {
  if (await storage.disableDevice(change)) return RESET_CONTENT;
  throw new Refusal(404, 'cannot disable the serial number: it is not known');
}

/**
 * With an owner, it is a new device, which must not take the key of one that works; without, the purpose is a new
 * key.
 */
async function enable(storage: Storage, change: Change, fields: ReadonlyMap<string, string>): Promise<Reply> {
  const from = fields.get('oldsn');
  if (from !== undefined) return remap(storage, { ...change, from });
  const isNew = fields.has('owner');
  const device = await storage.enableDevice({ ...change, unlessActivated: isNew });
  if (device === 'activated')
    throw new Refusal(409, 'cannot enable the serial number: it is activated; regenerate it for a new key');
  return isNew ? textReply(200, device.rid) : RESET_CONTENT;
}

async function remap(storage: Storage, change: Change & { from: string }): Promise<Reply> {
  const result = await storage.remapDevice(change);
  if (result === 'done') return RESET_CONTENT;
  throw result === 'taken'
    ? new Refusal(409, 'cannot remap: the new serial number is taken')
    : new Refusal(404, 'cannot remap: the old serial number is not known');
}

function showOf(exchange: Exchange): string | undefined {
  return formFields(decodeForm(exchange.query)).get('show');
}

function readFields(context: ApiContext, exchange: Exchange): Promise<string> {
  return readBody(exchange, MAX_FIELDS_BYTES, context.bodyLimits, exchange.address);
}

function lines(found: readonly string[]): Reply {
  return found.length === 0 ? NO_CONTENT : textReply(200, found.join('\r\n'), CSV);
}
