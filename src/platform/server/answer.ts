/** Turns one request into an answer, whatever happens on the way, and logs it with its id. */
import type * as http from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ApiContext } from '../devices/device-api.ts';
import type { AnswerRoom } from '../http/answer-room.ts';
import {
  type Exchange,
  Refusal,
  type Reply,
  refusalReply,
  sendReply,
  splitTarget,
} from '../http/exchange.ts';
import type { Entrance } from '../management/entrance.ts';
import { type Health, refuseWhileDraining } from './health.ts';
import type { Measures } from './measures.ts';
import type { Places } from './places.ts';
import { isManagement, type RouteName, routeName } from './route-name.ts';
import { type OperatorParts, route } from './routes.ts';

interface AnswerContext {
  context: ApiContext;
  entrance: Entrance;
  operators: OperatorParts;
  health: Health;
  measures: Measures;
  clock: Clock;
  log: Logger;
  /** An id for a request that did not bring one. */
  nextId(): string;
  /** Keeps the connection of a request from being ended to make room for others. */
  places: Pick<Places, 'hold'>;
  answers: AnswerRoom;
  /** Aborts when the platform is about to end: requests under way are finished, and nothing new begins. */
  draining: AbortSignal;
  /** Aborts when the platform no longer waits for them. */
  closing: AbortSignal;
}

/**
 * Given as the reason of an abort, because otherwise the runtime makes an exception with a stack for every request.
 */
export const ENDED = 'the request has ended';

/** Never rejects: whatever happens becomes an answer, or an ended connection. */
export async function answer(
  parts: AnswerContext,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { entrance, log, clock, closing, draining, measures } = parts;
  const startedMs = clock.monotonicMs();
  const gone = new AbortController();
  const end = (): void => gone.abort(ENDED);
  response.once('close', end);
  closing.addEventListener('abort', end);
  if (closing.aborted) end();
  const { id, isGiven } = requestId(request, parts);
  const address = entrance.addresses.of(request);
  const caller: Caller = { name: address, isKnown: false };
  const exchange: Exchange = {
    request,
    id,
    address,
    method: request.method ?? '',
    segments: [],
    query: '',
    signal: gone.signal,
    admit(device) {
      caller.name = device ?? address;
      if (!caller.isKnown) untilEnd(gone.signal, parts.places.hold(request.socket));
      caller.isKnown = true;
    },
  };
  let kind: RouteName = 'other';
  try {
    const { name, reply } = await replyTo(parts, exchange, caller);
    kind = name;
    if (isGiven || isManagement(kind)) response.setHeader('X-Request-Id', id);
    const sent = draining.aborted ? withClose(reply) : reply;
    await sendReply(exchange, response, sent, parts.answers.stall);
    const ms = clock.monotonicMs() - startedMs;
    measures.answered(kind, reply.status, ms / 1000);
    if (isManagement(kind)) tellCall(log, exchange, { kind, status: reply.status, ms });
  } catch (error) {
    log.debug('platform.dropped', { request: id, route: kind }, describeError(error));
    response.destroy();
  } finally {
    closing.removeEventListener('abort', end);
  }
}

interface Caller {
  /** The device, or the address where no key has been shown. */
  name: string;
  isKnown: boolean;
}

function untilEnd(signal: AbortSignal, leave: () => void): void {
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave, { once: true });
}

/** Refuses an answer with 429 if its sender has too many that it does not read. */
function holdAnswer({ answers }: AnswerContext, exchange: Exchange, reply: Reply, sender: string): Reply {
  if (typeof reply.body !== 'string') return reply;
  const leave = answers.hold(sender, reply.body.length, () => exchange.request.destroy());
  if (leave === undefined)
    throw new Refusal(429, 'cannot answer: too long answers of this device are not read yet', {
      'retry-after': '5',
    });
  untilEnd(exchange.signal, leave);
  return reply;
}

/** The client's own id, if it consists of characters that cannot forge a line of the log. */
function requestId(
  { headers }: http.IncomingMessage,
  { nextId }: AnswerContext,
): { id: string; isGiven: boolean } {
  const given = headers['x-request-id'];
  const isGiven = typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given);
  return { id: isGiven ? given : nextId(), isGiven };
}

/** Calls that change something are logged at info, and those that only read at debug: they would fill the log. */
function tellCall(
  log: Logger,
  { id, method, address }: Exchange,
  { kind, status, ms }: { kind: RouteName; status: number; ms: number },
): void {
  const fields = { request: id, method, route: kind, status, ms: Math.round(ms), address };
  if (method === 'GET' || method === 'HEAD') log.debug('platform.request', fields);
  else log.info('platform.request', fields);
}

function withClose(reply: Reply): Reply {
  return { ...reply, headers: { ...reply.headers, connection: 'close' } };
}

async function replyTo(
  parts: AnswerContext,
  exchange: Exchange,
  caller: Caller,
): Promise<{ name: RouteName; reply: Reply }> {
  let name: RouteName = 'other';
  try {
    const found = { ...exchange, ...splitTarget(exchange.request.url ?? '') };
    name = routeName(found);
    return { name, reply: holdAnswer(parts, exchange, await serve(parts, found, name), caller.name) };
  } catch (error) {
    return { name, reply: refuse(parts, exchange, name, error) };
  }
}

async function serve(
  { context, entrance, operators, health, draining }: AnswerContext,
  exchange: Exchange,
  name: RouteName,
): Promise<Reply> {
  const asked = health.serve(entrance, exchange);
  if (asked !== undefined) return asked;
  if (draining.aborted && isManagement(name)) throw refuseWhileDraining();
  return route(context, entrance, exchange, operators);
}

function refuse(
  { log, measures }: AnswerContext,
  exchange: Exchange,
  name: RouteName,
  error: unknown,
): Reply {
  const { id, method, request } = exchange;
  const refusal = error instanceof Refusal ? error : refusalOf(error);
  if (refusal !== undefined) {
    const { status, message } = refusal;
    measures.refused(REASONS[status] ?? String(status));
    const fields = { request: id, status, method, route: name };
    if (error instanceof Refusal) log.info('platform.refused', fields, message);
    else log.warn('platform.unavailable', fields, describeError(error));
    const reply = refusalReply(exchange, status, message);
    return withId({ ...reply, headers: { ...refusal.headers, ...reply.headers } }, exchange, name);
  }
  // A client that goes away in the middle of a body is not a fault of the server.
  if (request.destroyed && !request.complete) throw error;
  log.error('platform.failed', { request: id, method, route: name }, describeError(error));
  return withId(refusalReply(exchange, 500, 'the platform failed; its log says why'), exchange, name);
}

/** The database or the object store cannot be reached: that passes, and a client that asks again will be served. */
function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof GweError) || !error.isTransient) return undefined;
  if (error.code === 'PLATFORM_READ_ONLY') return new Refusal(503, error.message, { 'retry-after': '60' });
  return new Refusal(503, 'what the platform keeps cannot be reached now', { 'retry-after': '10' });
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'malformed',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'unknown',
  405: 'method',
  409: 'conflict',
  413: 'too-large',
  429: 'too-many',
  501: 'not-here',
  503: 'unavailable',
  507: 'no-space',
};

/**
 * For gwe's own calls the id is in the body too; clients of the One Platform compare the whole body with its status
 * line.
 */
function withId(reply: Reply, { id }: Exchange, name: RouteName): Reply {
  return name === 'v1' && typeof reply.body === 'string'
    ? { ...reply, body: `${reply.body}\nrequest ${id}` }
    : reply;
}
