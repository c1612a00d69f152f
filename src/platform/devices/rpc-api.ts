/**
 * `POST /onep:v1/rpc/process`: the JSON RPC of the One Platform, as far as its command line uses it to read, write
 * and describe a device's aliases. One request holds many calls, and each has a status of its own.
 */

import { createHash } from 'node:crypto';
import * as v from 'valibot';
import {
  MAX_ALIASES_PER_REQUEST,
  MAX_FORM_BYTES,
  MAX_HISTORY_ENTRIES,
  MAX_RPC_ANSWER_BYTES,
} from '../bounds.ts';
import { readBody } from '../http/body.ts';
import { type Exchange, header, Refusal, type Reply, textReply } from '../http/exchange.ts';
import type { Device } from '../storage/device-storage.ts';
import { type ApiContext, enterDevice, storeValues } from './device-api.ts';

const CallSchema = v.object({
  id: v.optional(v.union([v.string(), v.number()])),
  procedure: v.string(),
  arguments: v.optional(v.array(v.unknown()), []),
});
const RequestSchema = v.object({
  auth: v.optional(v.object({ cik: v.optional(v.string()) })),
  calls: v.pipe(v.array(CallSchema), v.maxLength(MAX_ALIASES_PER_REQUEST)),
});
type Call = v.InferOutput<typeof CallSchema>;

/** The result of a call: `status` is a word of the protocol, `reason` is our own. */
type Outcome = { status: 'ok'; result?: unknown } | { status: 'invalid' | 'restricted'; reason: string };

/** A resource by its alias or its id; the empty alias is the device itself. */
const ResourceSchema = v.union([v.string(), v.object({ alias: v.string() })]);
const ReadOptionsSchema = v.object({
  starttime: v.optional(v.number(), 0),
  endtime: v.optional(v.number(), Number.MAX_SAFE_INTEGER),
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 1),
  sort: v.optional(v.picklist(['asc', 'desc']), 'desc'),
});

export async function serveRpc(context: ApiContext, exchange: Exchange): Promise<Reply> {
  // The key is in the body, so the sender is not known until the body has been read.
  const { timeoutMs, ofStrangers } = context.bodyLimits;
  const limits = { timeoutMs, bodies: ofStrangers };
  const request = decodeRequest(await readBody(exchange, MAX_FORM_BYTES, limits, exchange.address));
  const cik = request.auth?.cik ?? header(exchange, 'x-exosite-cik') ?? '';
  const device = await enterDevice(context, exchange, cik.trim());
  const answers: string[] = [];
  let length = 0;
  for (const call of request.calls) {
    const outcome = length < MAX_RPC_ANSWER_BYTES ? await carryOut(context, device, call) : TOO_LONG;
    // A call without an id gets no answer.
    if (call.id === undefined) continue;
    const text = JSON.stringify({ id: call.id, ...renderOutcome(outcome) });
    answers.push(text);
    length += text.length;
  }
  return textReply(200, `[${answers.join(',')}]`, 'application/json');
}

const TOO_LONG: Outcome = {
  status: 'restricted',
  reason:
    'not carried out: the answer to the calls before it is as long as one may be, ask again without them',
};

function decodeRequest(text: string): v.InferOutput<typeof RequestSchema> {
  try {
    return v.parse(RequestSchema, JSON.parse(text));
  } catch {
    throw new Refusal(
      400,
      'cannot read the request: expected JSON with auth.cik and calls, each with a procedure',
    );
  }
}

function renderOutcome(outcome: Outcome): Record<string, unknown> {
  if (outcome.status === 'ok') return outcome;
  return {
    status: outcome.status,
    error: { code: outcome.status === 'invalid' ? 400 : 501, message: outcome.reason },
  };
}

async function carryOut(context: ApiContext, device: Device, call: Call): Promise<Outcome> {
  const args = call.arguments;
  switch (call.procedure) {
    case 'read':
      return withAlias(context, device, args[0], (alias) => read(context, device, alias, args[1]));
    case 'write':
      return withAlias(context, device, args[0], (alias) => write(context, device, alias, args[1]));
    case 'info':
      return info(context, device, args[0]);
    case 'listing':
      return listing(context, device, args);
    case 'lookup':
      return lookup(context, device, args);
    default:
      return {
        status: 'restricted',
        reason: `cannot carry out '${call.procedure.slice(0, 40)}': expected read, write, info, listing or lookup`,
      };
  }
}

async function withAlias(
  context: ApiContext,
  device: Device,
  resource: unknown,
  work: (alias: string) => Promise<Outcome>,
): Promise<Outcome> {
  const alias = await aliasOf(context, device, resource);
  if (alias === undefined || alias === '')
    return { status: 'invalid', reason: 'cannot find the resource: expected {"alias": NAME} or its id' };
  return work(alias);
}

/** The alias of a resource; empty for the device itself, `undefined` for an alias that it does not have. */
async function aliasOf(context: ApiContext, device: Device, resource: unknown): Promise<string | undefined> {
  const found = v.safeParse(ResourceSchema, resource);
  if (!found.success) return undefined;
  if (typeof found.output !== 'string') return found.output.alias;
  const rid = found.output;
  if (rid === device.rid) return '';
  return (await context.storage.aliases(device.id)).find((alias) => ridOf(device, alias) === rid);
}

/** An alias has no row of its own before it is written, so its id is derived from its name and the device. */
function ridOf(device: Device, alias: string): string {
  return createHash('sha1').update(`${device.rid} ${alias}`).digest('hex');
}

async function read(context: ApiContext, device: Device, alias: string, given: unknown): Promise<Outcome> {
  const options = v.safeParse(ReadOptionsSchema, given ?? {});
  if (!options.success)
    return {
      status: 'invalid',
      reason: 'cannot read: expected starttime, endtime, limit and sort (asc or desc)',
    };
  const { starttime, endtime, limit, sort } = options.output;
  const [current] = await context.storage.read(device.id, [alias]);
  if (current !== undefined) await context.storage.show(device.id, [current]);
  const newest = await context.storage.history(device.id, alias, MAX_HISTORY_ENTRIES);
  const within = newest.filter(({ timestamp }) => timestamp >= starttime && timestamp <= endtime);
  const ordered = sort === 'asc' ? within.reverse() : within;
  return { status: 'ok', result: ordered.slice(0, limit).map(({ timestamp, value }) => [timestamp, value]) };
}

async function write(context: ApiContext, device: Device, alias: string, value: unknown): Promise<Outcome> {
  if (typeof value !== 'string' && typeof value !== 'number')
    return { status: 'invalid', reason: 'cannot write: expected a text or a number' };
  try {
    await storeValues(context, device, [[alias, String(value)]], 'device');
    return { status: 'ok' };
  } catch (error) {
    if (error instanceof Refusal) return { status: 'invalid', reason: error.message };
    throw error;
  }
}

async function info(context: ApiContext, device: Device, resource: unknown): Promise<Outcome> {
  const alias = await aliasOf(context, device, resource);
  if (alias === undefined) return { status: 'invalid', reason: 'cannot find the resource' };
  if (alias === '')
    return { status: 'ok', result: deviceInfo(device, await context.storage.aliases(device.id)) };
  const [value] = await context.storage.read(device.id, [alias]);
  if (value === undefined) return { status: 'invalid', reason: `cannot find alias '${alias}'` };
  const basic = { type: 'dataport', modified: value.timestamp, subscribers: 0 };
  const description = {
    name: alias,
    format: 'string',
    meta: '',
    preprocess: [],
    public: false,
    subscribe: null,
  };
  return { status: 'ok', result: { basic, description, shares: [] } };
}

function deviceInfo(device: Device, aliases: readonly string[]) {
  return {
    aliases: Object.fromEntries(aliases.map((alias) => [ridOf(device, alias), [alias]])),
    basic: { type: 'client', modified: device.lastWriteAt, subscribers: 0, status: device.state },
    description: { name: device.serial, meta: '', public: false },
    shares: [],
  };
}

/** `[types, options]` or `[resource, types, options]`. A device has dataports and nothing else. */
async function listing(context: ApiContext, device: Device, args: readonly unknown[]): Promise<Outcome> {
  const types = v.safeParse(v.array(v.string()), Array.isArray(args[0]) ? args[0] : args[1]);
  if (!types.success) return { status: 'invalid', reason: 'cannot list: expected an array of types' };
  const rids = (await context.storage.aliases(device.id)).map((alias) => ridOf(device, alias));
  const result = Object.fromEntries(types.output.map((type) => [type, type === 'dataport' ? rids : []]));
  return { status: 'ok', result };
}

async function lookup(context: ApiContext, device: Device, args: readonly unknown[]): Promise<Outcome> {
  const [kind, alias] = args.slice(-2);
  if ((kind !== 'alias' && kind !== 'aliased') || typeof alias !== 'string')
    return { status: 'invalid', reason: "cannot look up: expected 'alias' and a name" };
  if (alias === '') return { status: 'ok', result: device.rid };
  const isThere = (await context.storage.aliases(device.id)).includes(alias);
  return isThere
    ? { status: 'ok', result: ridOf(device, alias) }
    : { status: 'invalid', reason: `cannot find alias '${alias.slice(0, 80)}'` };
}
