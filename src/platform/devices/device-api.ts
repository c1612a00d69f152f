/** The data API of a device: write, read, hybrid, long poll, record (one-platform.md §1.2-1.6). */

import type { Clock } from '../../base/clock.ts';
import { decodeNames, encodeForm, encodeNames, splitForm } from '../../protocol/codec.ts';
import {
  MAX_ALIASES_PER_DEVICE,
  MAX_ALIASES_PER_REQUEST,
  MAX_FORM_BYTES,
  MAX_LONG_POLL_MS,
  MAX_REQUESTS_PER_DEVICE,
  MAX_VALUE_BYTES,
  MAX_VALUES_BYTES_PER_DEVICE,
} from '../bounds.ts';
import { type BodyLimits, readBody } from '../http/body.ts';
import { type Exchange, header, NO_CONTENT, Refusal, type Reply, textReply } from '../http/exchange.ts';
import type { FailureGuard } from '../http/failure-guard.ts';
import { checkAlias } from '../http/names.ts';
import type { Quota } from '../http/quota.ts';
import type { Device } from '../storage/device-storage.ts';
import type { Storage } from '../storage/storage.ts';
import type { AliasValue, RecordPoint, Writer } from '../storage/value-storage.ts';
import type { Watchers } from './watchers.ts';

export interface ApiContext {
  storage: Storage;
  watchers: Watchers;
  clock: Clock;
  bodyLimits: BodyLimits;
  activationFailures: { ofAddress: FailureGuard; ofSerial: FailureGuard };
  /** Waiting long polls, counted by address. */
  longPolls: Quota;
  /** How many requests of each key are being answered. */
  underWay: Map<string, number>;
}

const FORM = 'application/x-www-form-urlencoded; charset=utf-8';

/** The device whose key the request carries. Refuses with 401, and with 429 while it has too many requests open. */
export function authenticateDevice(context: ApiContext, exchange: Exchange): Promise<Device> {
  return enterDevice(context, exchange, keyOf(exchange));
}

/** The same for a key that was sent in another way. */
export async function enterDevice(context: ApiContext, exchange: Exchange, cik: string): Promise<Device> {
  const device = await context.storage.authenticate(enter(context.underWay, exchange, cik));
  if (device === undefined) throw unknownKey();
  exchange.admit(cik);
  return device;
}

function keyOf(exchange: Exchange): string {
  return header(exchange, 'x-exosite-cik')?.trim() ?? '';
}

function unknownKey(): Refusal {
  return new Refusal(401, 'cannot find a device by this key: expected a valid X-Exosite-CIK');
}

/** Counts one more request of this key, until it is answered. Refuses anything that is not a key. */
function enter(underWay: Map<string, number>, exchange: Exchange, cik: string): string {
  if (!/^[0-9A-Za-z]{40}$/.test(cik)) throw unknownKey();
  const count = underWay.get(cik) ?? 0;
  if (count >= MAX_REQUESTS_PER_DEVICE) {
    throw new Refusal(429, 'cannot answer: too many requests of this device at once', { 'retry-after': '5' });
  }
  underWay.set(cik, count + 1);
  const leave = (): void => {
    const left = (underWay.get(cik) ?? 1) - 1;
    if (left === 0) underWay.delete(cik);
    else underWay.set(cik, left);
  };
  if (exchange.signal.aborted) leave();
  else exchange.signal.addEventListener('abort', leave, { once: true });
  return cik;
}

/** `POST` writes, then reads what the query names; `GET` reads, or waits if there is a `Request-Timeout`. */
export async function serveAliases(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const aliases = (): string[] => parseAliases(exchange.query);
  if (exchange.method === 'POST') return writeAndRead(context, exchange, aliases);
  const timeout = header(exchange, 'request-timeout');
  if (timeout !== undefined) return longPoll(context, exchange, { aliases, timeout });
  const cik = enter(context.underWay, exchange, keyOf(exchange));
  const reads = tryParse(aliases);
  // The key is checked before the request itself: without a valid key a client learns nothing else.
  const found = await context.storage.checkIn({
    cik,
    writes: [],
    reads: reads instanceof Refusal ? [] : reads,
  });
  if (found.kind === 'unknown') throw unknownKey();
  exchange.admit(cik);
  if (reads instanceof Refusal) throw reads;
  requireAlias(reads);
  // Small clients read one value. A client that reads more, or waits, has room for the date, and sends it with its
  // next request.
  const values = found.kind === 'done' ? found.values : [];
  return { ...valuesReply(values), isDated: reads.length > 1 };
}

function tryParse(parse: () => string[]): string[] | Refusal {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function requireAlias(aliases: readonly string[]): void {
  if (aliases.length > 0) return;
  throw new Refusal(400, 'cannot read: no alias named, expected ?alias1&alias2');
}

async function writeAndRead(
  context: ApiContext,
  exchange: Exchange,
  aliases: () => string[],
): Promise<Reply> {
  const cik = keyOf(exchange);
  // Checked before the body is read: nobody without a key can fill the memory.
  const { rid } = await enterDevice(context, exchange, cik);
  const reads = aliases();
  const writes = await readValues(context, exchange, rid);
  const result = await context.storage.checkIn({ cik, writes, reads, address: exchange.address });
  if (result.kind === 'unknown') throw unknownKey();
  if (result.kind === 'too-much') throw tooMuch();
  return { ...valuesReply(result.values), isDated: reads.length > 0 };
}

function parseAliases(query: string): string[] {
  const aliases = [...new Set(decodeNames(query))];
  if (aliases.length > MAX_ALIASES_PER_REQUEST) {
    throw new Refusal(
      400,
      `cannot read ${aliases.length} aliases: expected at most ${MAX_ALIASES_PER_REQUEST}`,
    );
  }
  return aliases.map(checkAlias);
}

/** Stores the form body of the request as values that an operator gives a device. */
export async function writeForm(context: ApiContext, exchange: Exchange, device: Device): Promise<void> {
  await storeValues(context, device, await readValues(context, exchange, exchange.address), 'operator');
}

async function readValues(
  context: ApiContext,
  exchange: Exchange,
  sender: string,
): Promise<[string, string][]> {
  const values = parseValues(await readBody(exchange, MAX_FORM_BYTES, context.bodyLimits, sender));
  for (const [alias, value] of values) {
    checkAlias(alias);
    checkValue(value);
  }
  return values;
}

/** Stores values. Refuses with 400 what is not an alias, and with 413 what is too large. */
export async function storeValues(
  context: ApiContext,
  device: Device,
  values: readonly [string, string][],
  writer: Writer,
): Promise<void> {
  if (values.length === 0) return;
  for (const [alias, value] of values) {
    checkAlias(alias);
    checkValue(value);
  }
  if ((await context.storage.write(device.id, values, writer)) === 'too-much') throw tooMuch();
}

function tooMuch(): Refusal {
  return new Refusal(
    413,
    `cannot write: expected at most ${MAX_ALIASES_PER_DEVICE} aliases and ${MAX_VALUES_BYTES_PER_DEVICE} bytes of ` +
      'values of this device, all taken together',
  );
}

function parseValues(body: string): [string, string][] {
  return splitParts(body, 'write').map((part) => {
    if (part.value === undefined) throw new Refusal(400, 'cannot write: a part of the body has no =');
    return [part.name, part.value];
  });
}

/** A body of millions of parts is refused before its parts are made into objects. */
function splitParts(body: string, doing: string): ReturnType<typeof splitForm> {
  const most = 2 * MAX_ALIASES_PER_REQUEST;
  let count = 1;
  for (let at = body.indexOf('&'); at !== -1 && count <= most; at = body.indexOf('&', at + 1)) count++;
  const parts = count > most ? undefined : splitForm(body);
  if (parts === undefined || (doing === 'write' && parts.length > MAX_ALIASES_PER_REQUEST))
    throw new Refusal(400, `cannot ${doing} so many values: expected at most ${MAX_ALIASES_PER_REQUEST}`);
  return parts;
}

function checkValue(value: string): string {
  if (Buffer.byteLength(value) <= MAX_VALUE_BYTES) return value;
  throw new Refusal(413, `cannot write the value: expected at most ${MAX_VALUE_BYTES} bytes`);
}

function valuesReply(values: readonly AliasValue[]): Reply {
  if (values.length === 0) return NO_CONTENT;
  const modifiedAt = Math.max(...values.map((value) => value.modifiedAt));
  const form = encodeForm(values.map((value) => [value.alias, value.value]));
  return {
    status: 200,
    headers: { 'content-type': FORM, 'last-modified': new Date(modifiedAt * 1000).toUTCString() },
    body: form,
  };
}

function parseTimeout(text: string): number {
  if (!/^\d{1,15}$/.test(text.trim())) {
    throw new Refusal(400, 'cannot wait: expected Request-Timeout in whole milliseconds');
  }
  return Math.min(Number(text), MAX_LONG_POLL_MS);
}

/** Unix seconds or an HTTP-date; `undefined` (meaning now) for anything else, as RFC 9110 wants it. */
function parseModifiedSince(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\s*\d{1,12}\s*$/.test(text)) return Number(text);
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

async function longPoll(
  context: ApiContext,
  exchange: Exchange,
  asked: { aliases: () => string[]; timeout: string },
): Promise<Reply> {
  const { watchers, clock } = context;
  const device = await authenticateDevice(context, exchange);
  const aliases = asked.aliases();
  requireAlias(aliases);
  const deadlineMs = clock.monotonicMs() + parseTimeout(asked.timeout);
  const watch = watchers.watch(device.id, exchange.signal);
  if (watch === undefined) throw tooManyPolls('of this device', 5);
  const leave = context.longPolls.take(exchange.address);
  try {
    if (leave === undefined) throw tooManyPolls('here, or from this address', 300);
    const fresh = await waitForNews(context.storage, device, {
      aliases,
      since: parseModifiedSince(header(exchange, 'if-modified-since')),
      changed: () => watch.changed(deadlineMs),
    });
    await context.storage.show(device.id, fresh);
    return { ...(fresh.length === 0 ? { status: 304 } : valuesReply(fresh)), isDated: true };
  } finally {
    leave?.();
    watch.close();
  }
}

function tooManyPolls(where: string, retryAfterS: number): Refusal {
  return new Refusal(429, `cannot wait: too many long polls ${where}`, {
    'retry-after': String(retryAfterS),
  });
}

/** The alias of commands: what a rollout shows there is decided when it is read. */
const COMMAND_ALIAS = 'engine_fetch';

/** The values that are new; empty if none comes in time. */
async function waitForNews(
  storage: Storage,
  device: Device,
  wait: { aliases: readonly string[]; since: number | undefined; changed(): Promise<boolean> },
): Promise<AliasValue[]> {
  const { aliases, since } = wait;
  const look = async (): Promise<AliasValue[]> => {
    if (aliases.includes(COMMAND_ALIAS)) await storage.decideCommand(device.id);
    return storage.read(device.id, aliases);
  };
  const before = await storage.read(device.id, aliases);
  const seen = Math.max(0, ...before.map((value) => value.sequence));
  // Clients send the last time that they were shown, or the second after it. For a value of that very second, it
  // matters whether the device has been shown it.
  const isNew = (value: AliasValue): boolean => {
    if (since === undefined) return value.sequence > seen;
    return value.modifiedAt > since || (value.modifiedAt === since && !value.isShown);
  };
  for (;;) {
    const values = await look();
    const fresh = values.filter(isNew);
    if (fresh.length > 0 || !(await wait.changed())) return fresh;
  }
}

/** `POST .../alias/<alias>`: `<ts>=<value>&...` for one alias. */
export async function serveRecordOfAlias(
  context: ApiContext,
  exchange: Exchange,
  alias: string,
): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  checkAlias(alias);
  const body = await readBody(exchange, MAX_FORM_BYTES, context.bodyLimits, device.rid);
  return recordReply(context, device, parsePoints(body, alias, false));
}

/** `POST .../record`: `alias=<a>&<ts>=<v>&...&alias=<b>&...`. */
export async function serveRecord(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  const body = await readBody(exchange, MAX_FORM_BYTES, context.bodyLimits, device.rid);
  return recordReply(context, device, parsePoints(body, undefined, true));
}

function parsePoints(body: string, first: string | undefined, namesAliases: boolean): RecordPoint[] {
  let alias = first;
  const points: RecordPoint[] = [];
  for (const { name, value } of splitParts(body, 'record')) {
    if (namesAliases && name === 'alias') alias = checkAlias(value ?? '');
    else if (!/^\d{1,10}$/.test(name))
      throw new Refusal(400, 'cannot record: a timestamp is not in unix seconds');
    else if (alias === undefined) throw new Refusal(400, 'cannot record: a point comes before its alias');
    else points.push({ alias, timestamp: Number(name), value: checkValue(value ?? '') });
  }
  if (points.length === 0 || points.length > MAX_ALIASES_PER_REQUEST) {
    throw new Refusal(400, `cannot record ${points.length} points: expected 1 to ${MAX_ALIASES_PER_REQUEST}`);
  }
  return points;
}

/** A 409 names the points that were not stored: `alias=ts[,ts...]&alias2=...`. All others were stored. */
async function recordReply(
  context: ApiContext,
  device: Device,
  points: readonly RecordPoint[],
): Promise<Reply> {
  const clashes = await context.storage.record(device.id, points);
  if (clashes === 'too-much') throw tooMuch();
  if (clashes.length === 0) return NO_CONTENT;
  const parts = Array.from(new Set(clashes.map((point) => point.alias)), (alias) => {
    const stamps = clashes.filter((point) => point.alias === alias).map((point) => point.timestamp);
    return `${encodeNames([alias])}=${stamps.join(',')}`;
  });
  return textReply(409, parts.join('&'), FORM);
}
