/**
 * HTTP to the platform. One connection per request, never a redirect followed, every size bounded, every byte counted.
 * Nothing here retries.
 */
import type * as tls from 'node:tls';
import fetch, { type Response } from 'node-fetch';
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { faultWords, isNotHttp, offline } from './transport-fault.ts';
import { type Environment, isLoopbackHost, selectProxy } from './transport-proxy.ts';
import { loadSecureContext, type TlsFiles } from './transport-tls.ts';
import {
  createWire,
  IdleTimeout,
  ProxyRefusal,
  type Route,
  type TicketStore,
  type Wire,
} from './transport-wire.ts';

export type { TicketStore } from './transport-wire.ts';

export interface TransportSettings extends TlsFiles {
  /** `https://HOST[:PORT]`; plain http only to this machine or with `allowInsecureHttp`. */
  baseUrl: string;
  userAgent: string;
  /** How long no byte may come before a request is given up. */
  timeoutMs: number;
  allowInsecureHttp: boolean;
  /** For the proxy variables. */
  env: Environment;
}

export type TrafficPurpose = 'read' | 'write' | 'provision' | 'download' | 'time';

export interface StreamRequest {
  method: 'GET' | 'POST';
  /** From the slash on: `/onep:v1/stack/alias?engine_fetch`. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  purpose: TrafficPurpose;
  /** Instead of the settings' idle time, for a long poll. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface TransportRequest extends StreamRequest {
  /** Longest body taken; a longer one is PROTOCOL_TOO_LARGE. */
  maxBytes: number;
}

export interface ResponseHeaders {
  /** The value by name, whatever its case; null if there is none. */
  get(name: string): string | null;
}

export interface TransportResponse {
  status: number;
  headers: ResponseHeaders;
  body: Buffer;
}

export interface StreamResponse {
  status: number;
  headers: ResponseHeaders;
  /** Must be read to its end, or `cancel` called: the connection is open until then. */
  chunks: AsyncIterable<Buffer>;
  cancel(): void;
}

/** Of one request: payload bytes of its TCP connection, TLS and proxy talk included. */
export interface Traffic {
  purpose: TrafficPurpose;
  rxBytes: number;
  txBytes: number;
  /** From the slash on, as asked for. */
  path: string;
  /** Absent when no answer came. */
  status?: number;
  /** Whether the answer was read to its end. */
  isWhole: boolean;
  /** False for what has come so far of a long answer: the rest is still to be told. */
  isLast: boolean;
  /** Of this end of the connection, where one came about: it tells the interface. */
  localAddress?: string;
}

/**
 * Errors of both calls: PROTOCOL_OFFLINE (no whole answer; says how far it got and why), PROTOCOL_GARBAGE (not HTTP),
 * PROTOCOL_REFUSED (a redirect), PROTOCOL_TOO_LARGE, CANCELLED. Any other status is a response.
 */
export interface Transport {
  /** A whole body in memory. It must be there within ten times the idle time, so that no trickle holds us for ever. */
  request(request: TransportRequest): Promise<TransportResponse>;
  stream(request: StreamRequest): Promise<StreamResponse>;
  /** Ends every open request with CANCELLED. */
  close(): void;
}

export interface TransportOptions {
  clock: Clock;
  onTraffic?(traffic: Traffic): void;
  /** The `Date` of each answer over TLS, as it is; a plain one is nobody's word. */
  onDate?(text: string): void;
  /** Where TLS tickets outlive this object; kept in memory without it. */
  tickets?: TicketStore;
}

const TRICKLE_FACTOR = 10;
/** Of a download that takes hours, no more than this goes uncounted when the power fails. */
const WORTH_TELLING_BYTES = 1024 * 1024;

/** Throws CONFIG_INVALID for a base URL, certificate file or proxy that cannot work. */
export function createTransport(settings: TransportSettings, options: TransportOptions): Transport {
  const base = checkBaseUrl(settings);
  const context: Context = {
    settings,
    options,
    base,
    secureContext: base.protocol === 'https:' ? loadSecureContext(settings) : undefined,
    tickets: options.tickets ?? memoryTickets(),
    open: new Set(),
  };
  selectProxy(base, settings.env);
  return {
    request: (request) => requestWhole(context, request),
    async stream(request) {
      const exchange = await openExchange(context, request);
      return {
        status: exchange.response.status,
        headers: exchange.response.headers,
        chunks: readChunks(exchange),
        cancel: exchange.finish,
      };
    },
    close() {
      for (const exchange of context.open) exchange.wire.fail(new Cancelled());
    },
  };
}

interface Context {
  settings: TransportSettings;
  options: TransportOptions;
  base: URL;
  secureContext: tls.SecureContext | undefined;
  tickets: TicketStore;
  open: Set<Pending>;
}

interface Pending {
  /** `GET 'https://host/path'`, for errors. */
  what: string;
  wire: Wire;
  route: Route;
  /** Learnt on the way, for the count. */
  answer: { status?: number; isWhole: boolean };
  /** Tells the bytes since it was last called, once they are worth it. */
  count(): void;
  /** Ends the connection and counts its traffic, once. */
  finish(): void;
}

interface Exchange extends Pending {
  response: Response;
  clock: Clock;
}

class Cancelled extends Error {}

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

function memoryTickets(): TicketStore {
  let kept: Buffer | undefined;
  return {
    load: () => kept,
    save(ticket) {
      kept = ticket;
    },
  };
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
    const body = await readBounded(exchange, request.maxBytes);
    return { status: exchange.response.status, headers: exchange.response.headers, body };
  } finally {
    deadline.abort();
  }
}

async function readBounded(exchange: Exchange, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of readChunks(exchange)) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new GweError(
        'PROTOCOL_TOO_LARGE',
        `cannot ${exchange.what}: the answer is larger than ${maxBytes} bytes`,
        { facts: { maxBytes, status: exchange.response.status } },
      );
    }
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

/** The body, chunk by chunk; the connection ends with the loop, however that ends. */
async function* readChunks(exchange: Exchange): AsyncGenerator<Buffer, void, undefined> {
  const { wire, response } = exchange;
  wire.stage = 'receiving';
  try {
    if (response.body !== null) {
      for await (const chunk of response.body) {
        exchange.count();
        yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
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

async function openExchange(
  context: Context,
  request: StreamRequest,
  onOpen?: (pending: Pending) => void,
): Promise<Exchange> {
  const url = `${context.base.origin}${context.base.pathname.replace(/\/+$/, '')}${request.path}`;
  const pending = createPending(context, request, `${request.method} '${url.slice(0, 300)}'`);
  if (request.signal?.aborted === true) throw explain(pending, new Cancelled(), context.options.clock);
  context.open.add(pending);
  onOpen?.(pending);
  try {
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
    if (context.base.protocol === 'https:') context.options.onDate?.(response.headers.get('date') ?? '');
    // The connection can break before anybody reads the body, and a stream's error that nobody hears ends the process.
    response.body?.on('error', () => undefined);
    refuseRedirect(pending, response);
    return { ...pending, response, clock: context.options.clock };
  } catch (error) {
    const explained = explain(pending, error, context.options.clock);
    pending.finish();
    throw explained;
  }
}

function createPending(context: Context, request: StreamRequest, what: string): Pending {
  const route: Route = {
    target: context.base,
    proxy: selectProxy(context.base, context.settings.env),
    secureContext: context.secureContext,
    tickets: context.tickets,
    idleMs: request.timeoutMs ?? context.settings.timeoutMs,
  };
  const wire = createWire(route);
  const cancel = (): void => wire.fail(new Cancelled());
  request.signal?.addEventListener('abort', cancel);
  let isFinished = false;
  const told = { rxBytes: 0, txBytes: 0 };
  const tell = (isLast: boolean): void => {
    const { localAddress } = wire;
    const [rxBytes, txBytes] = [wire.rxBytes(), wire.txBytes()];
    context.options.onTraffic?.({
      purpose: request.purpose,
      rxBytes: rxBytes - told.rxBytes,
      txBytes: txBytes - told.txBytes,
      path: request.path,
      ...pending.answer,
      isLast,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    Object.assign(told, { rxBytes, txBytes });
  };
  const pending: Pending = {
    what,
    wire,
    route,
    answer: { isWhole: false },
    count() {
      if (wire.rxBytes() - told.rxBytes >= WORTH_TELLING_BYTES) tell(false);
    },
    finish() {
      if (isFinished) return;
      isFinished = true;
      request.signal?.removeEventListener('abort', cancel);
      context.open.delete(pending);
      tell(true);
      wire.fail(new Cancelled());
    },
  };
  return pending;
}

/** 304 is an answer to a long poll; every other 3xx would take the device's key to a place nobody configured. */
function refuseRedirect(pending: Pending, response: Response): void {
  const { status } = response;
  if (status < 300 || status > 399 || status === 304) return;
  const location = response.headers.get('location') ?? '';
  const target = URL.canParse(location, pending.route.target.href)
    ? new URL(location, pending.route.target.href).origin
    : 'nowhere';
  throw new GweError(
    'PROTOCOL_REFUSED',
    `cannot ${pending.what}: redirected to '${target}' (status ${status}), which gwe does not follow; ` +
      'set the platform URL to the right host',
    { facts: { status } },
  );
}

function explain(pending: Pending, error: unknown, clock: Clock): GweError {
  if (error instanceof GweError) return error;
  const { wire, what, route } = pending;
  const fault = wire.fault ?? error;
  if (fault instanceof Cancelled) return new GweError('CANCELLED', `cannot ${what}: cancelled`);
  if (isNotHttp(fault)) {
    return new GweError('PROTOCOL_GARBAGE', `cannot ${what}: the answer is not HTTP`, { cause: fault });
  }
  if (fault instanceof IdleTimeout) {
    const words = `timeout: ${wire.stage === 'connecting' ? 'no connection within' : 'no answer or no end of it within'} ${fault.afterMs} ms`;
    return offline(what, words, route.proxy, undefined, wire.stage);
  }
  if (fault instanceof ProxyRefusal) return offline(what, fault.message, route.proxy, undefined, wire.stage);
  return offline(what, faultWords(fault, wire.stage, clock.wallMs()), route.proxy, fault, wire.stage);
}
