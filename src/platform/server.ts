/** The embedded platform: an HTTP or HTTPS server over a Storage. Knows sockets and time limits, no routes. */
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { describeError, GweError, systemCode } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createTokenGuard, type TokenGuard } from './admin-token.ts';
import type { ApiContext } from './device-api.ts';
import { type Exchange, Refusal, type Reply, sendReply, splitTarget, textReply } from './exchange.ts';
import { createFailureGuard } from './failure-guard.ts';
import { MAX_ACTIVATION_FAILURES, MAX_CONNECTIONS, MAX_LONG_POLL_MS } from './limits.ts';
import { route } from './routes.ts';
import { openSqliteStorage } from './sqlite-storage.ts';
import { createWatchers } from './watchers.ts';

export interface PlatformOptions {
  /** Where everything is kept; made if need be. */
  directory: string;
  host: string;
  /** 0 takes a free one. */
  port: number;
  tls?: { cert: string | Buffer; key: string | Buffer };
  adminToken: string;
  clock: Clock;
  log: Logger;
  /** For the handshake, and for the headers of a request; default 30 s, for the slowest modems. */
  headersTimeoutMs?: number;
  /** For a form body; default 120 s. */
  bodyTimeoutMs?: number;
}

export interface PlatformServer {
  /** Without a slash at its end. */
  url: string;
  /** Answers long polls, ends connections, closes the database. */
  close(): Promise<void>;
}

/** A whole upload over a slow line; its own idle limit is far below. */
const REQUEST_TIMEOUT_MS = 4 * 3600_000;
const KEEP_ALIVE_MS = 15_000;
const CLOSE_GRACE_MS = 1000;

/** Listens when it returns. Throws PLATFORM_STATE where the directory, the certificate or the port cannot be used. */
export async function createPlatformServer(options: PlatformOptions): Promise<PlatformServer> {
  const storage = await openSqliteStorage(options);
  const context: ApiContext = {
    storage,
    watchers: createWatchers(options.clock),
    clock: options.clock,
    bodyTimeoutMs: options.bodyTimeoutMs ?? 120_000,
    activationFailures: createFailureGuard(
      MAX_ACTIVATION_FAILURES,
      { doing: 'activate', what: 'refused activations' },
      options.clock,
    ),
    underWay: new Map(),
  };
  const guard = createTokenGuard(options.adminToken, options.clock);
  const closing = new AbortController();
  const active = new Set<Promise<void>>();
  try {
    const server = createServer(options, (request, response) => {
      const work = answer({ context, guard, options, closing: closing.signal }, request, response);
      active.add(work);
      void work.finally(() => active.delete(work));
    });
    const url = await listen(server, options);
    return {
      url,
      async close() {
        closing.abort();
        await closeServer(server, options.clock);
        await Promise.allSettled(active);
        storage.close();
      },
    };
  } catch (error) {
    storage.close();
    throw error;
  }
}

function createServer(options: PlatformOptions, listener: http.RequestListener): http.Server {
  const headersTimeout = options.headersTimeoutMs ?? 30_000;
  const limits: http.ServerOptions = {
    headersTimeout,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: Math.min(1000, headersTimeout),
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: 16 * 1024,
  };
  const server = makeServer(options, limits, listener);
  // Nothing is silent longer than a long poll may be: a peer that stopped reading is dropped.
  server.setTimeout(MAX_LONG_POLL_MS + 30_000);
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

function makeServer(
  options: PlatformOptions,
  limits: http.ServerOptions,
  listener: http.RequestListener,
): http.Server {
  if (options.tls === undefined) return http.createServer(limits, listener);
  try {
    return https.createServer(
      { ...limits, ...options.tls, handshakeTimeout: limits.headersTimeout ?? 30_000 },
      listener,
    );
  } catch (error) {
    throw new GweError('PLATFORM_STATE', `cannot use the TLS certificate and key: ${describeError(error)}`);
  }
}

async function listen(server: http.Server, options: PlatformOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, options)));
    server.listen({ host: options.host, port: options.port }, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', (error) => options.log.error('platform.socket', {}, describeError(error)));
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`;
}

function listenError(error: unknown, options: PlatformOptions): GweError {
  const reason = systemCode(error) === 'EADDRINUSE' ? 'another program uses this port' : describeError(error);
  return new GweError('PLATFORM_STATE', `cannot listen on '${options.host}:${options.port}': ${reason}`);
}

async function closeServer(server: http.Server, clock: Clock): Promise<void> {
  const closed = new AbortController();
  server.close(() => closed.abort());
  server.closeIdleConnections();
  await clock.sleep(CLOSE_GRACE_MS, closed.signal);
  server.closeAllConnections();
}

interface AnswerContext {
  context: ApiContext;
  guard: TokenGuard;
  options: PlatformOptions;
  closing: AbortSignal;
}

/** Never rejects: whatever happens becomes an answer, or an ended connection. */
async function answer(
  { context, guard, options, closing }: AnswerContext,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  const end = (): void => gone.abort();
  response.once('close', end);
  closing.addEventListener('abort', end);
  if (closing.aborted) end();
  const exchange: Exchange = {
    request,
    method: request.method ?? '',
    segments: [],
    query: '',
    signal: gone.signal,
  };
  try {
    const reply = await replyTo(context, guard, exchange, options.log);
    await sendReply(exchange, response, closing.aborted ? withClose(reply) : reply);
  } catch (error) {
    options.log.debug('platform.dropped', {}, describeError(error));
    response.destroy();
  } finally {
    closing.removeEventListener('abort', end);
  }
}

function withClose(reply: Reply): Reply {
  return { ...reply, headers: { ...reply.headers, connection: 'close' } };
}

async function replyTo(
  context: ApiContext,
  guard: TokenGuard,
  exchange: Exchange,
  log: Logger,
): Promise<Reply> {
  try {
    const target = splitTarget(exchange.request.url ?? '');
    return await route(context, guard, { ...exchange, ...target });
  } catch (error) {
    if (error instanceof Refusal) {
      log.info('platform.refused', { status: error.status, method: exchange.method }, error.message);
      return { ...textReply(error.status, `${error.message}\n`), headers: refusalHeaders(error) };
    }
    // A client that goes away in mid-body is no fault of the server.
    if (exchange.request.destroyed && !exchange.request.complete) throw error;
    log.error('platform.failed', { method: exchange.method }, describeError(error));
    return textReply(500, 'the platform failed; its log says why\n');
  }
}

function refusalHeaders(refusal: Refusal): Record<string, string> {
  return { 'content-type': 'text/plain; charset=utf-8', ...refusal.headers };
}
