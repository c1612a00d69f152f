/**
 * HTTP to the platform. No redirect followed here, every size bounded, every byte counted.
 *
 * A connection whose answer came whole waits a while for the next GET: the parts of a download cost one handshake. A
 * GET to which such a connection gives no answer is sent once more on a new one, since the server may have closed the
 * old one meanwhile (RFC 9112 §9.3.1). A POST always has a new one: whether it had been carried out could not be
 * told. Nothing else is retried here.
 */
import fetch, { type Response } from 'node-fetch';
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { createByteCollector, createGarbage } from '../base/memory.ts';
import { isSuccess } from './answer.ts';
import { faultWords, isNotHttp, offline } from './transport-fault.ts';
import { type Bytes, Cancelled, type Context, createPending, type Pending } from './transport-pending.ts';
import { isLoopbackHost, selectProxy } from './transport-proxy.ts';
import { loadTls, memoryTickets, openTicket, proxyTls } from './transport-tls.ts';
import type {
  StreamRequest,
  Transport,
  TransportOptions,
  TransportRequest,
  TransportResponse,
  TransportSettings,
} from './transport-types.ts';
import { IdleTimeout } from './transport-wire.ts';
import { isGzip, plainBody } from './wire/content-coding.ts';
import { ProxyRefusal } from './wire/tunnel.ts';

/** Idle times that a whole answer, or a stretch of a stream, may take. */
const TRICKLE_FACTOR = 10;
/** A stream that brings less in such a stretch is given up. The slowest modems bring ten times as much. */
const SLOWEST_BYTES_PER_S = 64;

/** Throws CONFIG_INVALID for a base URL, certificate file or proxy that cannot work. */
export function createTransport(settings: TransportSettings, options: TransportOptions): Transport {
  const base = checkBaseUrl(settings);
  const trust = base.protocol === 'https:' ? loadTls(settings, settings.env) : undefined;
  const tickets = options.tickets ?? memoryTickets();
  const bond = `${base.origin} ${trust?.digest}`;
  const proxy = selectProxy(base, settings.env);
  const context: Context = {
    settings,
    proxy,
    proxyContext: proxyTls(proxy, settings),
    options,
    base,
    secureContext: trust?.secureContext,
    ticket: () => openTicket(tickets, bond, options.clock),
    open: new Set(),
    resting: undefined,
    isClosed: false,
  };
  return {
    request: (request) => requestWhole(context, request),
    async stream(request) {
      const done = new AbortController();
      const opened = await openExchange(context, request, (pending) => {
        void watchPace(context, pending, done.signal);
      }).catch((error: unknown) => {
        done.abort();
        throw error;
      });
      const finish = (): void => {
        done.abort();
        opened.finish();
      };
      const { status, headers } = opened.response;
      const chunks = bodyOf({ ...opened, finish }, true);
      return { status, headers: plainHeaders(headers, status), chunks, cancel: finish };
    },
    close() {
      context.isClosed = true;
      for (const exchange of context.open) exchange.wire.fail(new Cancelled());
      context.resting?.fail(new Cancelled());
    },
  };
}

interface Exchange extends Pending {
  response: Response;
  clock: Clock;
}

function checkBaseUrl(settings: TransportSettings): URL {
  const { baseUrl } = settings;
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const shown = JSON.stringify(baseUrl.replace(/\/\/[^/@]*@/, '//').slice(0, 200));
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new GweError('CONFIG_INVALID', `cannot use platform URL ${shown}: expected https://HOST[:PORT]`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use platform URL ${shown}: it holds a user name, a query or a fragment, expected https://HOST[:PORT]`,
    );
  }
  if (url.protocol === 'http:' && !settings.allowInsecureHttp && !isLoopbackHost(url.hostname)) {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use platform URL ${shown}: plain HTTP would show the device's key to the network; ` +
        'use https://, or allow it: gwe --set insecure_http=true',
    );
  }
  return url;
}

async function requestWhole(context: Context, request: TransportRequest): Promise<TransportResponse> {
  const idleMs = request.timeoutMs ?? context.settings.timeoutMs;
  const deadline = new AbortController();
  const exchange = await openExchange(context, request, (pending) => {
    const limitMs = idleMs * TRICKLE_FACTOR;
    void context.options.clock.sleep(limitMs, deadline.signal).then(() => {
      if (!deadline.signal.aborted) pending.wire.fail(new IdleTimeout(limitMs));
    });
  }).catch((error: unknown) => {
    deadline.abort();
    throw error;
  });
  try {
    const { status, headers } = exchange.response;
    return { status, headers, ...(await readBounded(exchange, request)) };
  } finally {
    deadline.abort();
  }
}

/** A trickle would hold an update, and the check-ins after it, for as long as the other side likes. */
class TooSlow extends Error {}

async function watchPace(context: Context, pending: Pending, done: AbortSignal): Promise<void> {
  const stretchMs = pending.route.idleMs * TRICKLE_FACTOR;
  const wanted = Math.ceil((SLOWEST_BYTES_PER_S * stretchMs) / 1000);
  for (let before = pending.wire.heardBytes(); ; before = pending.wire.heardBytes()) {
    await context.options.clock.sleep(stretchMs, done);
    if (done.aborted) return;
    const heard = pending.wire.heardBytes() - before;
    // What comes before the answer (103, over and over) has no size that would end it.
    if (pending.answer.status === undefined) pending.wire.fail(new IdleTimeout(stretchMs));
    else if (heard >= wanted) continue;
    pending.wire.fail(
      new TooSlow(`too slow: ${heard} bytes in ${stretchMs} ms, expected at least ${wanted}`),
    );
    return;
  }
}

/** The beginning of an error page is enough: it says nothing about the requested data. */
async function readBounded(
  exchange: Exchange,
  request: TransportRequest,
): Promise<Pick<TransportResponse, 'body' | 'isCut'>> {
  const { maxBytes, take } = request;
  const kept = createByteCollector(maxBytes);
  const isGood = isSuccess(exchange.response.status);
  const isTaken = take !== undefined && isGood;
  let sizeBytes = 0;
  for await (const chunk of bodyOf(exchange, false)) {
    sizeBytes += chunk.length;
    const isKept = isTaken ? take(chunk) : kept.add(chunk);
    if (isKept && sizeBytes <= maxBytes) continue;
    if (!isGood) return { body: kept.bytes(), isCut: true };
    throw new GweError('PROTOCOL_TOO_LARGE', `cannot ${exchange.what}: ${sizeWords(sizeBytes, request)}`, {
      facts: { maxBytes, status: exchange.response.status },
    });
  }
  return { body: kept.bytes() };
}

function sizeWords(sizeBytes: number, { maxBytes, takesBytes = maxBytes }: TransportRequest): string {
  if (sizeBytes > maxBytes) return `the answer is larger than ${maxBytes} bytes`;
  return `the values that were asked for take ${sizeBytes} bytes, expected at most ${takesBytes}`;
}

/** The body as it was asked for: not compressed. */
async function* bodyOf(exchange: Exchange, isTarball: boolean): AsyncGenerator<Buffer, void, undefined> {
  const { response, what } = exchange;
  const chunks = readChunks(exchange);
  // A stretch of something compressed cannot be unpacked.
  if (response.status === 206 || !isGzip(response.headers.get('content-encoding'))) {
    yield* chunks;
    return;
  }
  try {
    yield* plainBody(chunks, isTarball);
  } catch (error) {
    if (error instanceof GweError) throw error;
    const message = `cannot ${what}: the answer came compressed, which was not asked for, and is damaged`;
    throw new GweError('PROTOCOL_GARBAGE', message, { cause: error });
  }
}

/** The length of what may have been compressed is not that of the body. */
function plainHeaders(headers: Response['headers'], status: number): Pick<Response['headers'], 'get'> {
  if (status === 206 || !isGzip(headers.get('content-encoding'))) return headers;
  return { get: (name) => (name.toLowerCase() === 'content-length' ? null : headers.get(name)) };
}

/** The body, chunk by chunk; the exchange ends with the loop, however that ends. */
async function* readChunks(exchange: Exchange): AsyncGenerator<Buffer, void, undefined> {
  const { wire, response } = exchange;
  wire.stage = 'receiving';
  try {
    if (response.body !== null) {
      const garbage = createGarbage();
      for await (const chunk of response.body) {
        exchange.count();
        yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
        garbage.add(chunk.length);
      }
    }
    // A body that ends with its connection looks whole when we were the ones to end it.
    if (wire.fault !== undefined) throw wire.fault;
    exchange.answer.isWhole = true;
  } catch (error) {
    throw explain(exchange, error, exchange.clock);
  } finally {
    exchange.finish();
  }
}

/** `spent`: what a first try on a connection that had waited has cost. */
async function openExchange(
  context: Context,
  request: StreamRequest,
  onOpen?: (pending: Pending) => void,
  spent: Bytes = { rxBytes: 0, txBytes: 0 },
): Promise<Exchange> {
  const url = `${context.base.origin}${context.base.pathname.replace(/\/+$/, '')}${request.path}`;
  const pending = createPending(context, request, `${request.method} '${url.slice(0, 300)}'`, spent);
  if (request.signal?.aborted === true) throw explain(pending, new Cancelled(), context.options.clock);
  context.open.add(pending);
  onOpen?.(pending);
  try {
    return await send(context, request, pending, url);
  } catch (error) {
    if (pending.isStale()) return openExchange(context, request, onOpen, pending.abandon());
    const explained = explain(pending, error, context.options.clock);
    pending.finish();
    throw explained;
  }
}

async function send(
  context: Context,
  request: StreamRequest,
  pending: Pending,
  url: string,
): Promise<Exchange> {
  const response = await fetch(url, {
    method: request.method,
    headers: {
      'User-Agent': context.settings.userAgent,
      // What is sent compressed could grow without bound here; artifacts are compressed already.
      'Accept-Encoding': 'identity',
      ...request.headers,
    },
    body: request.body ?? null,
    redirect: 'manual',
    compress: false,
    agent: pending.wire.agent,
  });
  pending.wire.rearm();
  pending.answer.status = response.status;
  if (context.base.protocol === 'https:')
    context.options.onDate?.(response.headers.get('date') ?? '', pending.wire.validity);
  // The connection can break before anybody reads the body, and a stream's error that nobody hears ends the process.
  response.body?.on('error', () => undefined);
  if (request.mayBeElsewhere !== true) refuseRedirect(pending, response);
  return { ...pending, response, clock: context.options.clock };
}

/** 304 is an answer to a long poll; every other 3xx would take the device's key to a place nobody configured. */
function refuseRedirect(pending: Pending, response: Response): void {
  const { status } = response;
  if (status < 300 || status > 399 || status === 304) return;
  const own = pending.route.target;
  const location = response.headers.get('location') ?? '';
  const target = URL.canParse(location, own.href) ? new URL(location, own.href) : undefined;
  const advice =
    target?.origin === own.origin
      ? 'expected an answer there: look at what stands between'
      : 'set the platform URL to the right host, or follow_content_redirects for content of known digest';
  throw new GweError(
    'PROTOCOL_REFUSED',
    `cannot ${pending.what}: redirected to '${target?.origin ?? 'nowhere'}' (status ${status}), which gwe does not follow; ${advice}`,
    { facts: { status } },
  );
}

function explain(pending: Pending, error: unknown, clock: Clock): GweError {
  if (error instanceof GweError) return error;
  const { wire, what, route } = pending;
  const fault = wire.fault ?? error;
  const at = { proxy: route.proxy, stage: wire.stage };
  if (fault instanceof Cancelled) return new GweError('CANCELLED', `cannot ${what}: cancelled`);
  if (isNotHttp(fault)) {
    return new GweError('PROTOCOL_GARBAGE', `cannot ${what}: the answer is not HTTP`, { cause: fault });
  }
  if (fault instanceof IdleTimeout) {
    const words = `timeout: ${wire.stage === 'connecting' ? 'no connection within' : 'no answer or no end of it within'} ${fault.afterMs} ms`;
    return offline(what, words, at);
  }
  if (fault instanceof TooSlow) {
    const via = offline(what, fault.message, at);
    return new GweError(via.code, via.message, { facts: { ...via.facts, isSlow: true } });
  }
  if (fault instanceof ProxyRefusal) return offline(what, fault.message, at);
  return offline(what, faultWords(fault, wire.stage, clock.wallMs()), { ...at, cause: fault });
}
