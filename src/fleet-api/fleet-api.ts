/**
 * `/gwe/v2`: finds the call that a request makes and who makes it, and answers in JSON or with a problem (RFC 9457).
 */
import { STATUS_CODES } from 'node:http';
import { GweError } from '../base/errors.ts';
import { mayCall } from '../fleet/people/roles.ts';
import { type BodyLimits, readBody } from '../platform/http/body.ts';
import { type Exchange, header, Refusal, type Reply } from '../platform/http/exchange.ts';
import { createQuota } from '../platform/http/quota.ts';
import { receiveUpload } from '../platform/http/upload.ts';
import { type Entrance, enterOperators } from '../platform/management/entrance.ts';
import { type Actor, type Answer, type ApiCall, BYTES, type FleetContext, type Request } from './call.ts';
import { commandCalls } from './command-calls.ts';
import { contentCalls } from './content-calls.ts';
import { csvCalls } from './csv-calls.ts';
import { gatewayCalls } from './gateway-calls.ts';
import { historyCalls } from './history/history-calls.ts';
import { identify, NOBODY } from './identity.ts';
import { logCalls } from './log-calls.ts';
import { noticeCalls } from './notices/notice-calls.ts';
import { runOnce } from './once.ts';
import { describeCalls } from './openapi.ts';
import { patchCalls } from './patches/patch-calls.ts';
import { loginCalls } from './people/login-calls.ts';
import { operatorCalls } from './people/operator-calls.ts';
import { signOnCalls } from './people/sign-on-calls.ts';
import { tokenCalls } from './people/token-calls.ts';
import { createRecent } from './recent.ts';
import { releaseCalls } from './release-calls.ts';
import { reportCalls } from './report-calls.ts';
import { rolloutCalls } from './rollout-calls.ts';
import { serverCalls } from './server-calls.ts';
import { sessionCalls } from './session-calls.ts';
import { undoCalls } from './undo-calls.ts';

export const API_CALLS: readonly ApiCall[] = [
  ...gatewayCalls,
  ...rolloutCalls,
  ...undoCalls,
  ...patchCalls,
  ...tokenCalls,
  ...sessionCalls,
  ...loginCalls,
  ...operatorCalls,
  ...signOnCalls,
  ...csvCalls,
  ...contentCalls,
  ...releaseCalls,
  ...commandCalls,
  ...logCalls,
  ...reportCalls,
  ...historyCalls,
  ...serverCalls,
  ...noticeCalls,
];

const MAX_BODY_BYTES = 4 * 1024 * 1024;

type FleetApi = (entrance: Entrance, exchange: Exchange) => Promise<Reply>;

/** Never throws a Refusal: it is answered as a problem. */
export function createFleetApi(
  options: Omit<FleetContext, 'streams' | 'recent'>,
  bodyLimits: BodyLimits,
): FleetApi {
  const context: FleetContext = {
    ...options,
    streams: createQuota(STREAMS),
    recent: createRecent(options.clock),
  };
  return async (entrance, exchange) => {
    try {
      enterOperators(entrance, exchange);
      checkPath(exchange.segments);
      const path = exchange.segments.slice(2);
      if (path.join('/') === 'openapi.json') return json(200, describeCalls(API_CALLS));
      const found = findCall(exchange.method, path);
      const isOpen = !(found instanceof Refusal) && found.call.permission === 'anyone';
      const actor = isOpen ? NOBODY : await identify(context, entrance, exchange);
      if (!isOpen) exchange.admit();
      // Whoever may not ask does not learn what exists.
      if (found instanceof Refusal) throw found;
      const { call, names } = found;
      checkPermission(call, actor, names.product ?? '*');
      const text = takesBody(call)
        ? await readBody(exchange, MAX_BODY_BYTES, bodyLimits, exchange.address)
        : '';
      const body = call.takes === undefined ? parseJson(text) : text;
      const request = requestOf({ context, actor, exchange, names, body, entrance });
      return reply(await run(context, call, request, text));
    } catch (error) {
      // A storage that does not keep this kind of data throws this.
      if (error instanceof GweError && error.code === 'PLATFORM_STATE')
        return problem(new Refusal(501, error.message), exchange.id);
      if (error instanceof GweError && error.isTransient)
        return problem(new Refusal(503, error.message), exchange.id);
      if (!(error instanceof Refusal)) throw error;
      return problem(error, exchange.id);
    }
  };
}

/** How many streams of events may be open at once. */
const STREAMS = { total: 200, each: 20 };

/** No name contains these characters, and not every database can store them. */
function checkPath(segments: readonly string[]): void {
  if (segments.some((segment) => /\p{Cc}/u.test(segment)))
    throw new Refusal(400, 'cannot use this path: it has a control character');
}

function takesBody({ schema, takes }: ApiCall): boolean {
  return schema !== undefined || (takes !== undefined && takes !== BYTES);
}

function checkPermission({ permission }: ApiCall, { grants, kind, name }: Actor, product: string): void {
  if (permission === 'anyone' || permission === 'self') return;
  if (permission === 'server' && kind !== 'server')
    throw new Refusal(403, `cannot do this as ${name}: expected the token of the server itself`);
  if (permission !== 'server' && !mayCall(grants, permission, product))
    throw new Refusal(403, `cannot ${permission} in ${product}: ${name} has no role that may`);
}

async function run(context: FleetContext, call: ApiCall, request: Request, text: string): Promise<Answer> {
  const key = request.header('idempotency-key');
  if (call.method !== 'POST' || key === undefined || call.permission === 'anyone')
    return call.run(context, request);
  const asked = [call.method, call.path, JSON.stringify(request.names), request.query.toString(), text];
  return runOnce(context.storage, { who: request.actor.name, key, request: asked }, () =>
    call.run(context, request),
  );
}

interface Found {
  call: ApiCall;
  names: Record<string, string>;
}

function findCall(method: string, path: readonly string[]): Found | Refusal {
  const allowed: string[] = [];
  for (const call of API_CALLS) {
    const names = matchPath(call.path, path);
    if (names === undefined) continue;
    if (call.method === method) return { call, names };
    allowed.push(call.method);
  }
  if (allowed.length === 0) return new Refusal(404, 'cannot find this path');
  return new Refusal(405, `cannot ${method} this: expected ${allowed.join(' or ')}`, {
    allow: allowed.join(', '),
  });
}

function matchPath(pattern: string, path: readonly string[]): Record<string, string> | undefined {
  const parts = pattern.slice(1).split('/');
  if (parts.length !== path.length) return undefined;
  const names: [string, string][] = [];
  for (const [at, part] of parts.entries()) {
    const found = path[at] ?? '';
    if (part.startsWith('{') && found !== '') names.push([part.slice(1, -1), found]);
    else if (part !== found) return undefined;
  }
  return Object.fromEntries(names);
}

function parseJson(text: string): unknown {
  if (text.trim() === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    throw new Refusal(400, 'cannot read the body: expected JSON');
  }
}

interface RequestParts {
  context: FleetContext;
  actor: Actor;
  exchange: Exchange;
  names: Record<string, string>;
  body: unknown;
  entrance: Entrance;
}

function requestOf({ context, actor, exchange, names, body, entrance }: RequestParts): Request {
  const at = Math.floor(context.clock.wallMs() / 1000);
  return {
    actor,
    names,
    query: new URLSearchParams(exchange.query),
    body,
    revision: revisionOf(header(exchange, 'if-match')),
    at,
    address: exchange.address,
    isEncrypted: isEncrypted(entrance, exchange),
    signal: exchange.signal,
    header: (name) => header(exchange, name),
    receive: (look) => receiveUpload(context.storage, exchange, look),
    audit: (action, target) => ({
      at,
      actor: actor.name,
      request: exchange.id,
      action,
      target,
      before: '',
      after: '',
    }),
  };
}

/** Whether the connection to the client is encrypted: a trusted proxy says how it was called. */
function isEncrypted({ addresses }: Entrance, exchange: Exchange): boolean {
  const { socket } = exchange.request;
  if ('encrypted' in socket) return true;
  return addresses.isProxy(socket.remoteAddress) && header(exchange, 'x-forwarded-proto') === 'https';
}

function revisionOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '*') return undefined;
  const [, digits] = /^"(\d{1,15})"$/.exec(text.trim()) ?? [];
  if (digits === undefined) throw new Refusal(400, 'cannot use If-Match: expected one ETag of this resource');
  return Number(digits);
}

function reply({ status = 200, body, revision, headers, reply: whole }: Answer): Reply {
  if (whole !== undefined) return whole;
  const found = json(status, body);
  const etag = revision === undefined ? {} : { etag: `"${revision}"` };
  return { ...found, headers: { ...found.headers, 'cache-control': 'no-store', ...headers, ...etag } };
}

function json(status: number, body: unknown): Reply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

function problem({ status, message, headers }: Refusal, request: string): Reply {
  const body = { type: 'about:blank', title: STATUS_CODES[status] ?? '', status, detail: message, request };
  return {
    status,
    headers: { ...headers, 'content-type': 'application/problem+json' },
    body: JSON.stringify(body),
  };
}
