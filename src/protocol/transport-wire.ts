/** One TCP connection: straight or through a proxy, with or without TLS, its bytes counted below TLS. */
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';
import type { WireStage } from './transport-fault.ts';
import type { HttpProxy } from './transport-proxy.ts';

/** A proxy that says more than this before its empty line is not one. */
const MAX_PROXY_ANSWER_BYTES = 16 * 1024;
/** How long a connection waits for another request; less where the server says that it waits less. */
const LONGEST_REST_MS = 10_000;
/** Longer than it can rest: a modem is not woken to keep a connection that may never be used again. */
const PROBE_AFTER_MS = 60_000;

/** Keeps the TLS session ticket of the platform, so that the next handshake is a short one. */
export interface TicketStore {
  load(): Buffer | undefined;
  save(ticket: Buffer): void;
}

/** Where and how to connect. */
export interface Route {
  target: URL;
  proxy: HttpProxy | undefined;
  /** Present for https targets. */
  secureContext: tls.SecureContext | undefined;
  tickets: TicketStore;
  /** Until the connection is there; from then on `idleMs`. */
  setUpIdleMs: number;
  idleMs: number;
  probeAfterMs: number | undefined;
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
  /** Of this end, once connected. */
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

/** The proxy answered, but not with a connection. */
export class ProxyRefusal extends Error {}

/** A connection that is opened by the first request given to its `agent`. */
export function createWire(route: Route): Wire {
  const raw = new net.Socket();
  let top: net.Socket = raw;
  let idleMs = route.setUpIdleMs;
  let isResting = false;
  const timedOut = (): void => wire.fail(new IdleTimeout(idleMs));
  // What comes before it was asked for would be taken for the answer to the next request.
  const spoil = (): void => wire.fail(new Error('the server sent more than its answer'));
  const connect = async (): Promise<net.Socket> => {
    const socket = await dial(route, wire, raw, timedOut, (secure) => {
      top = secure;
    });
    idleMs = route.idleMs;
    return socket.setTimeout(idleMs);
  };
  const wire: Wire = {
    stage: 'connecting',
    fault: undefined,
    fail(reason) {
      wire.fault ??= reason;
      const error = reason instanceof Error ? reason : new Error(String(reason));
      if (top !== raw) top.destroy(error);
      raw.destroy(top === raw ? error : undefined);
    },
    reuse(nextIdleMs) {
      if (!isResting || wire.fault !== undefined || top.destroyed || !top.readable) return false;
      isResting = false;
      idleMs = nextIdleMs;
      top.off('data', spoil);
      top.setTimeout(idleMs);
      wire.stage = 'waiting';
      return true;
    },
    isResting: () => isResting,
    rearm: () => {
      top.setTimeout(idleMs);
    },
    rxBytes: () => raw.bytesRead,
    txBytes: () => raw.bytesWritten,
    heardBytes: () => top.bytesRead,
    agent: createAgent(route, () => connect()),
    connect,
  };
  // After the agent's own listener, which ends a connection that cannot be kept.
  wire.agent.on('free', () => {
    isResting = !top.destroyed;
    if (isResting) top.on('data', spoil);
  });
  // Without a listener, an error between two stages would end the process.
  raw.on('error', (error) => {
    wire.fault ??= error;
  });
  return wire;
}

type Connected = (error: Error | null, socket?: net.Socket) => void;

/**
 * An agent that makes exactly our connection, and keeps it for the next request that it is given. The two members are assigned instead of overridden:
 * `addRequest`, the one place where a request's target can still become the absolute form that a plain-HTTP proxy
 * wants, is what every agent on npm overrides, but it has no public type.
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
  if (route.proxy !== undefined && route.secureContext === undefined)
    useAbsoluteForm(agent, route, route.proxy);
  return agent;
}

function useAbsoluteForm(agent: http.Agent, route: Route, proxy: HttpProxy): void {
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
  timedOut: () => void,
  climb: (socket: net.Socket) => void,
): Promise<net.Socket> {
  raw.setNoDelay(true);
  raw.setTimeout(route.setUpIdleMs, timedOut);
  if (route.probeAfterMs !== undefined) raw.setKeepAlive(true, route.probeAfterMs);
  await connected(raw, route);
  if (raw.localAddress !== undefined) wire.localAddress = raw.localAddress;
  if (route.secureContext === undefined) {
    wire.stage = 'waiting';
    return raw;
  }
  if (route.proxy !== undefined) {
    wire.stage = 'proxy';
    await openTunnel(raw, route.target, route.proxy);
  }
  wire.stage = 'tls';
  const secure = startTls(raw, route, route.secureContext);
  climb(secure);
  secure.on('error', (error) => {
    wire.fault ??= error;
  });
  raw.setTimeout(0);
  secure.setTimeout(route.setUpIdleMs, timedOut);
  await settled(secure, 'secureConnect');
  wire.stage = 'waiting';
  return secure;
}

async function connected(raw: net.Socket, route: Route): Promise<void> {
  const { target, proxy } = route;
  const ready = settled(raw, 'connect');
  raw.connect({
    host: proxy?.host ?? hostOf(target),
    port: proxy?.port ?? portOf(target),
  });
  await ready;
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** Resolves at `event`, rejects when the socket fails or closes first. */
function settled(socket: net.Socket, event: 'connect' | 'secureConnect'): Promise<void> {
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

function startTls(raw: net.Socket, route: Route, secureContext: tls.SecureContext): tls.TLSSocket {
  const host = hostOf(route.target);
  const session = route.tickets.load();
  const secure = tls.connect({
    socket: raw,
    host,
    // An address may not be a server name (RFC 6066 §3).
    servername: net.isIP(host) === 0 ? host : '',
    secureContext,
    // Said here because NODE_TLS_REJECT_UNAUTHORIZED changes what leaving it out means.
    rejectUnauthorized: true,
    ...(session === undefined ? {} : { session }),
  });
  secure.on('session', (ticket) => route.tickets.save(ticket));
  return secure;
}

/** CONNECT (RFC 9110 §9.3.6). Resolves when the proxy has opened the tunnel; reads not a byte beyond its answer. */
async function openTunnel(raw: net.Socket, target: URL, proxy: HttpProxy): Promise<void> {
  const authority = `${target.hostname}:${portOf(target)}`;
  const credentials =
    proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  raw.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
  const head = await readHead(raw);
  const status = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?/.exec(head);
  if (status === null) throw new ProxyRefusal('the proxy answered something that is not HTTP');
  if (status[1] === '407') throw new ProxyRefusal('the proxy wants other credentials (status 407)');
  if (status[1]?.startsWith('2') !== true) {
    const reason = (status[2] ?? '').replace(/[^\x20-\x7e]/g, '').slice(0, 80);
    throw new ProxyRefusal(`the proxy refused to connect (status ${status[1]} ${reason})`.replace(' )', ')'));
  }
}

function readHead(raw: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const finish = (act: () => void): void => {
      raw.off('readable', take);
      raw.off('error', fail);
      raw.off('close', close);
      act();
    };
    const take = (): void => {
      for (let chunk: unknown = raw.read(); Buffer.isBuffer(chunk); chunk = raw.read()) {
        bytes = Buffer.concat([bytes, chunk]);
        const end = bytes.indexOf('\r\n\r\n');
        if (end !== -1) {
          const rest = bytes.subarray(end + 4);
          if (rest.length > 0) raw.unshift(rest);
          finish(() => resolve(bytes.toString('latin1', 0, end)));
          return;
        }
        if (bytes.length > MAX_PROXY_ANSWER_BYTES) {
          finish(() => reject(new ProxyRefusal('the proxy answered something that is not HTTP')));
          return;
        }
      }
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const close = (): void => fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    raw.on('readable', take);
    raw.once('error', fail);
    raw.once('close', close);
  });
}
