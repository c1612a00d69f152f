/** Where the platform listens: sockets, their number and their time limits. Knows no routes. */
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { describeError, GweError, systemCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { FULL_LOG_EVERY_MS, MAX_LONG_POLL_MS, TLS_SESSION_SECONDS } from '../bounds.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import { createPlaces, type Places } from './places.ts';
import { readProxyHeader } from './proxy-protocol.ts';

export interface ListenerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  tls?: { cert: string | Buffer; key: string | Buffer } | undefined;
  /** 48 bytes with which the tickets of TLS sessions are sealed, so that the tickets outlive this process. */
  ticketKey: Buffer;
  headersTimeoutMs: number;
  maxConnections: number;
  /** The limit for one address; a trusted proxy may have any number. */
  maxOfAddress: number;
  addresses: ClientAddresses;
  /** Called with the reason why a connection was closed. */
  refused(reason: string): void;
  /** Called for every TLS handshake. */
  handshaken(isResumed: boolean): void;
  clock: Clock;
  log: Logger;
}

export interface Listener {
  /** Without a slash at the end. */
  url: string;
  places: Pick<Places, 'taken'>;
  /** From now on tickets are sealed with this key, and no other key opens them. */
  setTicketKey(key: Buffer): void;
  /** Accepts no more connections, and ends the idle ones. */
  stop(): void;
  /** The same, and ends all remaining connections. */
  close(): Promise<void>;
}

/** Enough for a whole upload over a slow line; the idle limit of an upload is far shorter. */
const REQUEST_TIMEOUT_MS = 4 * 3600_000;
const KEEP_ALIVE_MS = 15_000;
const BACKLOG = 1024;
const CLOSE_GRACE_MS = 1000;

/** Listens by the time it resolves. Throws PLATFORM_STATE where the certificate or the port cannot be used. */
export async function openListener(
  options: ListenerOptions,
  onRequest: (request: http.IncomingMessage, response: http.ServerResponse, places: Places) => void,
): Promise<Listener> {
  const tell = createFullLog(options);
  const { maxConnections: total, maxOfAddress: each } = options;
  const places = createPlaces({ total, each, full: tell });
  const server = createServer(options, (request, response) => onRequest(request, response, places));
  admit(server, options, places);
  server.on('drop', () => tell('platform'));
  if (options.tls !== undefined)
    server.on('secureConnection', (socket: TLSSocket) => options.handshaken(socket.isSessionReused()));
  const url = await listen(server, options);
  const closed = new AbortController();
  server.once('close', () => closed.abort());
  const stop = (): void => {
    if (server.listening) server.close();
    server.closeIdleConnections();
  };
  return {
    url,
    places,
    setTicketKey(key) {
      if (server instanceof https.Server) server.setTicketKeys(key);
    },
    stop,
    async close() {
      stop();
      await options.clock.sleep(CLOSE_GRACE_MS, closed.signal);
      server.closeAllConnections();
    },
  };
}

function createServer(options: ListenerOptions, onRequest: http.RequestListener): http.Server {
  const { headersTimeoutMs } = options;
  const limits: http.ServerOptions = {
    headersTimeout: headersTimeoutMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: Math.min(1000, headersTimeoutMs),
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: 16 * 1024,
  };
  const server = makeServer(options, limits, onRequest);
  // No connection is silent for longer than a long poll may take: a peer that stopped reading is dropped.
  server.setTimeout(MAX_LONG_POLL_MS + 30_000);
  // Connections that were ended to make room may still be closing while as many new ones are accepted.
  server.maxConnections = options.maxConnections + BACKLOG;
  return server;
}

function makeServer(
  { tls, ticketKey, headersTimeoutMs }: ListenerOptions,
  limits: http.ServerOptions,
  onRequest: http.RequestListener,
): http.Server {
  if (tls === undefined) return http.createServer(limits, onRequest);
  // By default this id is derived from the command line, and sessions would end when an option changes.
  const sessions = { sessionTimeout: TLS_SESSION_SECONDS, ticketKeys: ticketKey, sessionIdContext: 'gwe' };
  try {
    return https.createServer(
      { ...limits, ...tls, ...sessions, handshakeTimeout: headersTimeoutMs },
      onRequest,
    );
  } catch (error) {
    throw new GweError('PLATFORM_STATE', `cannot use the TLS certificate and key: ${describeError(error)}`);
  }
}

/**
 * Nobody can take all connections, and it is logged when there is no room. Proxies may first say whom they speak for.
 */
function admit(server: http.Server, options: ListenerOptions, places: Places): void {
  const { addresses } = options;
  const serve = server.listeners('connection');
  const serveSocket = (socket: Socket): void => {
    for (const each of serve) Reflect.apply(each, server, [socket]);
  };
  const take = (socket: Socket): void => {
    if (places.take(socket, addresses.holderOf(socket))) serveSocket(socket);
  };
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    if (!addresses.isProxy(socket.remoteAddress)) {
      take(socket);
      return;
    }
    readProxyHeader(socket, options.headersTimeoutMs, (address) => {
      // A proxy that names its clients only in headers is counted for none of them: the connection stands for many.
      if (address === undefined) {
        if (places.take(socket, undefined)) serveSocket(socket);
      } else {
        addresses.remember(socket, address);
        take(socket);
      }
    });
  });
}

/** Logs at most one line a minute, with the number of connections closed since the last line. */
function createFullLog({
  clock,
  log,
  maxConnections,
  refused: count,
}: ListenerOptions): (what: 'address' | 'platform') => void {
  let quietUntilMs = 0;
  let refused = 0;
  return (what) => {
    refused++;
    count(what === 'address' ? 'connections-of-address' : 'connections');
    if (clock.monotonicMs() < quietUntilMs) return;
    quietUntilMs = clock.monotonicMs() + FULL_LOG_EVERY_MS;
    const why =
      what === 'address'
        ? 'one address has all that it may have'
        : `${maxConnections} are open, which is the limit`;
    log.warn('platform.full', { refused }, `closed connections on which nobody known was answered: ${why}`);
    refused = 0;
  };
}

async function listen(server: http.Server, { host, port, tls, log }: ListenerOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)));
    server.listen({ host, port, backlog: BACKLOG }, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', (error) => log.error('platform.socket', {}, describeError(error)));
  const address = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return `${tls === undefined ? 'http' : 'https'}://${name}:${address.port}`;
}

function listenError(error: unknown, host: string, port: number): GweError {
  const reason = systemCode(error) === 'EADDRINUSE' ? 'another program uses this port' : describeError(error);
  return new GweError('PLATFORM_STATE', `cannot listen on '${host}:${port}': ${reason}`);
}
