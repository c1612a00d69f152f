/** One TCP connection: straight or through a proxy, with or without TLS, its bytes counted below TLS. */
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { createHeadWatch } from './answer.ts';
import { connectTo } from './transport-connect.ts';
import type { WireStage } from './transport-fault.ts';
import type { ForwardProxy } from './transport-proxy.ts';
import { type SessionTicket, type Validity, validityOf } from './transport-tls.ts';
import { ReplyReader } from './wire/reply-reader.ts';
import { openTunnel } from './wire/tunnel.ts';

/** How long a connection waits for another request; less where the server says that it waits less. */
const LONGEST_REST_MS = 10_000;
/** Longer than it can rest: a modem is not woken to keep a connection that may never be used again. */
const PROBE_AFTER_MS = 60_000;

/** Where and how to connect. */
export interface Route {
  target: URL;
  proxy: ForwardProxy | undefined;
  /** Present for https:// proxies; holds no client certificate, which is for the platform alone. */
  proxyContext: tls.SecureContext | undefined;
  /** Present for https targets. */
  secureContext: tls.SecureContext | undefined;
  /** For a new connection. */
  ticket(): SessionTicket;
  /** Until the connection is there; from then on `idleMs`. */
  setUpIdleMs: number;
  idleMs: number;
  probeAfterMs: number | undefined;
  /** Whether a name may not lead to this machine or its link. */
  refusesLocal?: boolean | undefined;
  clock: Pick<Clock, 'sleep'>;
}

/** The state of one connection. */
export interface Wire {
  stage: WireStage;
  /** The first thing that went wrong: what everything later is a consequence of. */
  fault: unknown;
  /** Ends the connection for `reason`, at whatever stage it is. */
  fail(reason: unknown): void;
  /**
   * Takes it for another request, `idleMs` being its idle time. False if it cannot be: the last answer did not come
   * whole, or the other side has hung up or speaks unasked.
   */
  reuse(idleMs: number): boolean;
  /** Whether it waits for another request. */
  isResting(): boolean;
  /** Starts the idle time again; needed once the headers are there, because node-fetch turns the socket's timer off. */
  rearm(): void;
  /** Bytes on the TCP connection so far, TLS and proxy talk included. */
  rxBytes(): number;
  txBytes(): number;
  /** Bytes of answers so far, without what TLS and proxies add. */
  heardBytes(): number;
  /** When the other side's certificate is valid, if there is TLS and the certificate says so. */
  validity?: Validity;
  /** The address of this end, once connected. */
  localAddress?: string;
  agent: http.Agent;
  /** What the agent does for its request: the connection, TLS checked. For who wants to look at it. */
  connect(): Promise<net.Socket>;
}

/** Raised by the wire itself when no byte came for `idleMs`. */
export class IdleTimeout extends Error {
  readonly afterMs: number;
  constructor(afterMs: number) {
    super(`no byte for ${afterMs} ms`);
    this.afterMs = afterMs;
  }
}

/** A connection that is opened by the first request given to its `agent`. */
export function createWire(route: Route): Wire {
  let raw: net.Socket | undefined;
  let top: net.Socket | undefined;
  const settingUp = new AbortController();
  let idleMs = route.setUpIdleMs;
  let isResting = false;
  const reader = new ReplyReader();
  const head = createHeadWatch();
  const timedOut = (): void => wire.fail(new IdleTimeout(idleMs));
  // Bytes that come unasked would be taken for the answer to the next request.
  const spoil = (): void => wire.fail(new Error('the server sent more than its answer'));
  const connect = async (): Promise<net.Socket> => {
    void route.clock.sleep(route.setUpIdleMs, settingUp.signal).then(() => raw ?? timedOut());
    raw = await connectRaw(route, settingUp.signal);
    settingUp.abort();
    top = raw;
    // Without a listener, an error between two stages would end the process.
    raw.on('error', (error) => {
      wire.fault ??= error;
    });
    const socket = await dial(route, wire, raw, {
      timedOut,
      secured(secure) {
        top = secure;
      },
    }).catch((error: unknown) => {
      wire.fault ??= error;
      throw error;
    });
    idleMs = route.idleMs;
    readThrough(socket, reader, head.add);
    return socket.setTimeout(idleMs);
  };
  const wire: Wire = {
    stage: 'connecting',
    fault: undefined,
    fail(reason) {
      wire.fault ??= reason;
      const error = reason instanceof Error ? reason : new Error(String(reason));
      settingUp.abort(error);
      if (top !== raw) top?.destroy(error);
      raw?.destroy(top === raw ? error : undefined);
    },
    reuse(nextIdleMs) {
      if (!isResting || reader.hasExtra || wire.fault !== undefined || !top?.readable || top.destroyed)
        return false;
      reader.next();
      isResting = false;
      idleMs = nextIdleMs;
      top.off('data', spoil);
      head.begin();
      top.setTimeout(idleMs);
      wire.stage = 'waiting';
      return true;
    },
    isResting: () => isResting && !reader.hasExtra,
    rearm: () => {
      top?.setTimeout(idleMs);
    },
    rxBytes: () => raw?.bytesRead ?? 0,
    txBytes: () => raw?.bytesWritten ?? 0,
    heardBytes: () => top?.bytesRead ?? 0,
    agent: createAgent(route, () => connect()),
    connect,
  };
  // After the agent's own listener, which ends a connection that cannot be kept.
  wire.agent.on('free', () => {
    isResting = top?.destroyed === false && head.isPlain();
    if (isResting) top?.on('data', spoil);
  });
  return wire;
}

/** Whatever reads `socket` from now on sees what `reader` makes of it; `watch` sees the bytes that came. */
function readThrough(socket: net.Socket, reader: ReplyReader, watch: (chunk: Buffer) => void): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (Buffer.isBuffer(chunk)) {
      watch(chunk);
      const seen = reader.take(chunk);
      return seen.length === 0 || push(seen);
    }
    const kept = chunk === null ? reader.end() : Buffer.alloc(0);
    if (kept.length > 0) push(kept);
    return push(chunk, encoding);
  };
}

type Connected = (error: Error | null, socket?: net.Socket) => void;

/**
 * An agent that makes exactly our connection, and keeps it for the next request that it is given. The two members are
 * assigned instead of overridden: `addRequest`, the one place where a request's target can still become the absolute
 * form that a plain-HTTP proxy wants, is what every agent on npm overrides, but it has no public type.
 */
function createAgent(route: Route, connect: () => Promise<net.Socket>): http.Agent {
  const options = {
    keepAlive: true,
    keepAliveMsecs: route.probeAfterMs ?? PROBE_AFTER_MS,
    maxSockets: 1,
    timeout: LONGEST_REST_MS,
  };
  const agent = route.secureContext === undefined ? new http.Agent(options) : new https.Agent(options);
  let isMade = false;
  const createConnection = (_options: unknown, connected: Connected): void => {
    if (isMade) {
      connected(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
      return;
    }
    isMade = true;
    connect().then(
      (socket) => connected(null, socket),
      (error: unknown) => connected(error instanceof Error ? error : new Error(String(error))),
    );
  };
  Object.assign(agent, { createConnection });
  if (isAsked(route)) useAbsoluteForm(agent, route, route.proxy);
  return agent;
}

/** An HTTP proxy is asked for what is not under TLS; through all others there is a tunnel. */
function isAsked(route: Route): route is Route & { proxy: ForwardProxy } {
  return route.proxy !== undefined && route.proxy.kind !== 'socks5' && route.secureContext === undefined;
}

function useAbsoluteForm(agent: http.Agent, route: Route, proxy: ForwardProxy): void {
  const inherited: unknown = Reflect.get(agent, 'addRequest');
  if (typeof inherited !== 'function') throw new Error('this runtime has no http.Agent.addRequest');
  const addRequest = (request: http.ClientRequest, ...rest: unknown[]): void => {
    request.path = `${route.target.origin}${request.path}`;
    if (proxy.authorization !== undefined) request.setHeader('Proxy-Authorization', proxy.authorization);
    Reflect.apply(inherited, agent, [request, ...rest]);
  };
  Object.assign(agent, { addRequest });
}

async function dial(
  route: Route,
  wire: Wire,
  raw: net.Socket,
  { timedOut, secured }: { timedOut(): void; secured(socket: net.Socket): void },
): Promise<net.Socket> {
  raw.setNoDelay(true);
  raw.setTimeout(route.setUpIdleMs, timedOut);
  if (route.probeAfterMs !== undefined) raw.setKeepAlive(true, route.probeAfterMs);
  if (raw.localAddress !== undefined) wire.localAddress = raw.localAddress;
  let carrier = raw;
  const secureOver = async (secure: tls.TLSSocket): Promise<tls.TLSSocket> => {
    secured(secure);
    secure.on('error', (error) => {
      wire.fault ??= error;
    });
    carrier.setTimeout(0);
    secure.setTimeout(route.setUpIdleMs, timedOut);
    await settled(secure, 'secureConnect');
    return secure;
  };
  if (route.proxy !== undefined) {
    wire.stage = 'proxy';
    if (route.proxyContext !== undefined)
      carrier = await secureOver(startProxyTls(raw, route.proxy, route.proxyContext));
    if (!isAsked(route)) {
      await openTunnel(carrier, route.proxy, { host: hostOf(route.target), port: portOf(route.target) });
    }
  }
  if (route.secureContext !== undefined) {
    wire.stage = 'tls';
    const secure = await secureOver(startTls(carrier, route, route.secureContext));
    const validity = validityOf(secure);
    if (validity !== undefined) wire.validity = validity;
    carrier = secure;
  }
  wire.stage = 'waiting';
  return carrier;
}

function connectRaw(route: Route, signal: AbortSignal): Promise<net.Socket> {
  const { target, proxy, clock } = route;
  if (proxy !== undefined) return connectTo(proxy.host, proxy.port, { clock, signal });
  const { refusesLocal } = route;
  return connectTo(hostOf(target), portOf(target), { clock, signal, refusesLocal });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** Resolves at `event`, rejects when the socket fails or closes first. */
function settled(socket: net.Socket, event: 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (act: () => void) => (): void => {
      socket.off(event, succeed);
      socket.off('error', fail);
      socket.off('close', close);
      act();
    };
    const succeed = done(resolve);
    const close = done(() => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
    const fail = (error: Error): void => done(() => reject(error))();
    socket.once(event, succeed);
    socket.once('error', fail);
    socket.once('close', close);
  });
}

function startProxyTls(
  raw: net.Socket,
  { host }: ForwardProxy,
  secureContext: tls.SecureContext,
): tls.TLSSocket {
  const servername = net.isIP(host) === 0 ? host : '';
  return tls.connect({ socket: raw, host, servername, secureContext, rejectUnauthorized: true });
}

function startTls(raw: net.Socket, route: Route, secureContext: tls.SecureContext): tls.TLSSocket {
  const host = hostOf(route.target);
  const ticket = route.ticket();
  const secure = tls.connect({
    socket: raw,
    host,
    // An address may not be a server name (RFC 6066 §3).
    servername: net.isIP(host) === 0 ? host : '',
    secureContext,
    // Said here because NODE_TLS_REJECT_UNAUTHORIZED changes what leaving it out means.
    rejectUnauthorized: true,
    ...(ticket.session === undefined ? {} : { session: ticket.session }),
  });
  secure.on('session', (bytes) => ticket.keep(bytes, secure));
  return secure;
}
