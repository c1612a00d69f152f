/** The data API of a device: write, read, hybrid, long poll, record (spec §1.2-1.6). */
import type { Clock } from '../base/clock.ts';
import { decodeNames, encodeForm, encodeNames, splitForm } from '../protocol/codec.ts';
import { type Exchange, header, NO_CONTENT, Refusal, type Reply, readBody, textReply } from './exchange.ts';
import type { FailureGuard } from './failure-guard.ts';
import {
  MAX_ALIASES_PER_DEVICE,
  MAX_ALIASES_PER_REQUEST,
  MAX_FORM_BYTES,
  MAX_LONG_POLL_MS,
  MAX_REQUESTS_PER_DEVICE,
  MAX_VALUE_BYTES,
  MAX_VALUES_BYTES_PER_DEVICE,
} from './limits.ts';
import { checkAlias } from './names.ts';
import type { AliasValue, Device, RecordPoint, Storage, Writer } from './storage.ts';
import type { Watchers } from './watchers.ts';

export interface ApiContext {
  storage: Storage;
  watchers: Watchers;
  clock: Clock;
  bodyTimeoutMs: number;
  /** Of activation. */
  activationFailures: FailureGuard;
  /** Requests of each device that are being answered. */
  underWay: Map<number, number>;
}

const SEEN_EVERY_S = 60;
const FORM = 'application/x-www-form-urlencoded; charset=utf-8';

/** The device whose key the request carries. Refuses with 401, and with 429 while it has too many requests open. */
export async function authenticateDevice(context: ApiContext, exchange: Exchange): Promise<Device> {
  const cik = header(exchange, 'x-exosite-cik')?.trim() ?? '';
  const device = /^[0-9A-Za-z]{40}$/.test(cik) ? await context.storage.findDeviceByKey(cik) : undefined;
  if (device === undefined)
    throw new Refusal(401, 'cannot find a device by this key: expected a valid X-Exosite-CIK');
  enter(context.underWay, exchange, device.id);
  const seenForS = context.clock.wallMs() / 1000 - device.lastSeenAt;
  // A developer's gateway asks every second: each time on the disk would help nobody. A clock that was set back shows too.
  if (seenForS >= SEEN_EVERY_S || seenForS < 0) await context.storage.noteSeen(device.id);
  return device;
}

function enter(underWay: Map<number, number>, exchange: Exchange, id: number): void {
  const count = underWay.get(id) ?? 0;
  if (count >= MAX_REQUESTS_PER_DEVICE) {
    throw new Refusal(429, 'cannot answer: too many requests of this device at once', { 'retry-after': '5' });
  }
  underWay.set(id, count + 1);
  const leave = (): void => {
    const left = (underWay.get(id) ?? 1) - 1;
    if (left === 0) underWay.delete(id);
    else underWay.set(id, left);
  };
  if (exchange.signal.aborted) leave();
  else exchange.signal.addEventListener('abort', leave, { once: true });
}

/** `POST` writes, then reads what the query names; `GET` reads, or waits with `Request-Timeout`. */
export async function serveAliases(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  const aliases = parseAliases(exchange.query);
  if (exchange.method === 'POST') {
    await writeForm(context, exchange, device, 'device');
    return readReply(context, device, aliases);
  }
  if (aliases.length === 0) throw new Refusal(400, 'cannot read: no alias named, expected ?alias1&alias2');
  const timeout = header(exchange, 'request-timeout');
  return timeout === undefined
    ? readReply(context, device, aliases)
    : longPoll(context, exchange, device, aliases, parseTimeout(timeout));
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

/** Stores the form body of the request as values of `device`, and wakes who waits for them. */
export async function writeForm(
  context: ApiContext,
  exchange: Exchange,
  device: Device,
  writer: Writer,
): Promise<void> {
  const values = parseValues(await readBody(exchange, MAX_FORM_BYTES, context.bodyTimeoutMs));
  if (values.length === 0) return;
  const { storage, watchers } = context;
  const result = await storage.write(device.id, values, writer, watchers.shownAt(device.id));
  if (result === 'too-much') throw tooMuch();
  watchers.notify(device.id);
}

function tooMuch(): Refusal {
  return new Refusal(
    413,
    `cannot write: expected at most ${MAX_ALIASES_PER_DEVICE} aliases and ${MAX_VALUES_BYTES_PER_DEVICE} bytes of ` +
      'values of this device, all taken together',
  );
}

function parseValues(body: string): [string, string][] {
  const parts = splitForm(body);
  if (parts.length > MAX_ALIASES_PER_REQUEST) {
    throw new Refusal(
      400,
      `cannot write ${parts.length} values: expected at most ${MAX_ALIASES_PER_REQUEST}`,
    );
  }
  return parts.map((part) => {
    if (part.value === undefined) throw new Refusal(400, 'cannot write: a part of the body has no =');
    return [checkAlias(part.name), checkValue(part.value)];
  });
}

function checkValue(value: string): string {
  if (Buffer.byteLength(value) <= MAX_VALUE_BYTES) return value;
  throw new Refusal(413, `cannot write the value: expected at most ${MAX_VALUE_BYTES} bytes`);
}

async function readReply(context: ApiContext, device: Device, aliases: readonly string[]): Promise<Reply> {
  return valuesReply(context, device, await context.storage.read(device.id, aliases));
}

function valuesReply(context: ApiContext, device: Device, values: readonly AliasValue[]): Reply {
  if (values.length === 0) return NO_CONTENT;
  const modifiedAt = Math.max(...values.map((value) => value.modifiedAt));
  context.watchers.show(device.id, modifiedAt);
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
export function parseModifiedSince(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\s*\d{1,12}\s*$/.test(text)) return Number(text);
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

async function longPoll(
  context: ApiContext,
  exchange: Exchange,
  device: Device,
  aliases: readonly string[],
  timeoutMs: number,
): Promise<Reply> {
  const { storage, watchers, clock } = context;
  const watch = watchers.watch(device.id, exchange.signal);
  if (watch === undefined)
    throw new Refusal(429, 'cannot wait: too many long polls of this device', { 'retry-after': '5' });
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  try {
    const since = parseModifiedSince(header(exchange, 'if-modified-since'));
    const before = await storage.read(device.id, aliases);
    const seen = Math.max(0, ...before.map((value) => value.sequence));
    const isNew = (value: AliasValue): boolean =>
      since === undefined ? value.sequence > seen : value.modifiedAt > since;
    for (let values = before; ; values = await storage.read(device.id, aliases)) {
      const fresh = values.filter(isNew);
      if (fresh.length > 0) return valuesReply(context, device, fresh);
      if (!(await watch.changed(deadlineMs))) return { status: 304 };
    }
  } finally {
    watch.close();
  }
}

/** `POST .../alias/<alias>`: `<ts>=<value>&...` of one alias. */
export async function serveRecordOfAlias(
  context: ApiContext,
  exchange: Exchange,
  alias: string,
): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  checkAlias(alias);
  const body = await readBody(exchange, MAX_FORM_BYTES, context.bodyTimeoutMs);
  return recordReply(context, device, parsePoints(body, alias, false));
}

/** `POST .../record`: `alias=<a>&<ts>=<v>&...&alias=<b>&...`. */
export async function serveRecord(context: ApiContext, exchange: Exchange): Promise<Reply> {
  const device = await authenticateDevice(context, exchange);
  const body = await readBody(exchange, MAX_FORM_BYTES, context.bodyTimeoutMs);
  return recordReply(context, device, parsePoints(body, undefined, true));
}

function parsePoints(body: string, first: string | undefined, namesAliases: boolean): RecordPoint[] {
  let alias = first;
  const points: RecordPoint[] = [];
  for (const { name, value } of splitForm(body)) {
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

/** 409 names the points that were not stored: `alias=ts[,ts...]&alias2=...`. The others are. */
async function recordReply(
  context: ApiContext,
  device: Device,
  points: readonly RecordPoint[],
): Promise<Reply> {
  const clashes = await context.storage.record(device.id, points);
  if (clashes === 'too-much') throw tooMuch();
  if (clashes.length < points.length) context.watchers.notify(device.id);
  if (clashes.length === 0) return NO_CONTENT;
  const parts = Array.from(new Set(clashes.map((point) => point.alias)), (alias) => {
    const stamps = clashes.filter((point) => point.alias === alias).map((point) => point.timestamp);
    return `${encodeNames([alias])}=${stamps.join(',')}`;
  });
  return textReply(409, parts.join('&'), FORM);
}
