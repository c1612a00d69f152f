/** The embedded platform: listeners over a Storage. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import {
  DRAIN_MS,
  MAX_ACTIVATION_FAILURES,
  MAX_ACTIVATION_FAILURES_PER_ADDRESS,
  MAX_ADMIN_CONNECTIONS,
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_ADDRESS,
  MAX_LONG_POLLS,
  MAX_LONG_POLLS_PER_ADDRESS,
} from '../bounds.ts';
import type { ApiContext } from '../devices/device-api.ts';
import { createWatchers } from '../devices/watchers.ts';
import { createAnswerRoom } from '../http/answer-room.ts';
import { createBodyLimits } from '../http/body.ts';
import { type ClientAddresses, createClientAddresses } from '../http/client-address.ts';
import { createFailureGuard } from '../http/failure-guard.ts';
import { createQuota } from '../http/quota.ts';
import { createTokenGuard } from '../management/admin-token.ts';
import type { Entrance, OperatorApi } from '../management/entrance.ts';
import type { S3Target } from '../storage/objects/s3-client.ts';
import { openPostgresStorage } from '../storage/postgres/postgres-storage.ts';
import { type EmbeddedStorage, openSqliteStorage } from '../storage/sqlite/sqlite-storage.ts';
import type { Storage } from '../storage/storage.ts';
import { answer, ENDED } from './answer.ts';
import { createHealth } from './health.ts';
import { type Listener, type ListenerOptions, openListener } from './listener.ts';
import { createMeasures, type Measures } from './measures.ts';
import type { OperatorParts } from './routes.ts';
import { keepTicketKey, readTicketKey } from './ticket-keys.ts';
import { keepTicking } from './ticking.ts';

interface ListenAddress {
  host: string;
  /** 0 takes any free port. */
  port: number;
}

export interface PlatformOptions extends ListenAddress {
  /** Where everything is stored; made if there is none. */
  directory: string;
  /**
   * Stores everything except content, in place of `directory`; several processes may share the database and the
   * directory.
   */
  database?: { url: string; password?: string | undefined } | undefined;
  /** Stores content in place of `directory`; only together with `database`. */
  objects?: S3Target | undefined;
  /** The listener for operators alone; without it operators use the one for devices. */
  admin?: ListenAddress | undefined;
  tls?: { cert: string | Buffer; key: string | Buffer };
  adminToken: string;
  /** Addresses and ranges of proxies whose X-Forwarded-For is believed. */
  trustedProxies?: readonly string[];
  /** How long history is kept; without it, as long as there is room. */
  keepHistorySeconds?: number | undefined;
  /** Makes the API for operators below `/gwe/v2`. */
  operatorApi?: (parts: Pick<ApiContext, 'storage' | 'clock' | 'bodyLimits'>) => OperatorApi;
  /** The files of the web console, served where operators call. */
  operatorPages?: OperatorParts['pages'];
  /** Runs beside the requests until `closing`. Never rejects. */
  background?: (
    parts: Pick<ApiContext, 'storage' | 'clock'> & { log: Logger },
    closing: AbortSignal,
  ) => Promise<void>;
  clock: Clock;
  log: Logger;
  /** Time limit for the handshake, and for the headers of a request; default 30 s, for the slowest modems. */
  headersTimeoutMs?: number;
  /** Time limit for a form body; default 120 s. */
  bodyTimeoutMs?: number;
  /** How long requests under way may go on when the platform ends; default 1 s. */
  drainMs?: number;
}

interface PlatformServer {
  /** Without a slash at the end. */
  url: string;
  /** Where operators call: `url`, or a listener of their own. */
  adminUrl: string;
  /** The operations on an embedded platform as a whole; `undefined` where a database server stores it. */
  embedded: EmbeddedStorage | undefined;
  /** Answers long polls, gives requests under way some time to finish, ends connections, closes the database. */
  close(): Promise<void>;
}

/**
 * Listens by the time it resolves. Throws PLATFORM_STATE where the directory, the certificate or the port cannot be
 * used.
 */
export async function createPlatformServer(options: PlatformOptions): Promise<PlatformServer> {
  const { admin, clock, log } = options;
  const addresses = createClientAddresses(options.trustedProxies ?? []);
  const measures = createMeasures(clock);
  const { opened, embedded } = await openStorage(options, measures);
  const storage = measures.measured(opened);
  const context = createContext(storage, options);
  measures.watchLongPolls(() => context.longPolls.taken());
  const life = createLife(options, { context, measures });
  const operators = { api: options.operatorApi?.(context), pages: options.operatorPages };
  const health = createHealth({ storage, measures, clock, isDraining: () => life.draining.aborted });
  const guard = createTokenGuard(options.adminToken, clock);
  const answers = createAnswerRoom(context.bodyLimits.timeoutMs, clock);
  const inOrder = createSocketOrder();
  const nextId = createIds();
  const open = async (at: ListenAddress, limits: Limits): Promise<string> => {
    const entrance = { serves: limits.serves, isLoopback: isLoopback(at.host), guard, addresses };
    const { draining, closing } = life;
    const shared = { context, operators, health, measures, clock, log, nextId, draining, closing, answers };
    const listener = await openListener(
      await listenerOptions(options, at, { ...limits, storage, addresses, measures }),
      (request, response, places) =>
        life.add(inOrder(request.socket, () => answer({ ...shared, entrance, places }, request, response))),
    );
    measures.watchListener({
      name: limits.serves,
      limit: limits.maxConnections,
      open: listener.places.taken,
    });
    life.watch(listener, limits.serves);
    return listener.url;
  };
  try {
    const url = await open(options, {
      serves: admin === undefined ? 'all' : 'devices',
      maxConnections: MAX_CONNECTIONS,
    });
    const own = { serves: 'operators', maxConnections: MAX_ADMIN_CONNECTIONS } as const;
    const adminUrl = admin === undefined ? url : await open(admin, own);
    return { url, adminUrl, embedded, close: life.end };
  } catch (error) {
    await life.end();
    throw error;
  }
}

async function openStorage(
  options: PlatformOptions,
  { committed }: Measures,
): Promise<{ opened: Storage; embedded: EmbeddedStorage | undefined }> {
  const { database } = options;
  if (database !== undefined)
    return { opened: await openPostgresStorage({ ...options, ...database }), embedded: undefined };
  const embedded = await openSqliteStorage({ ...options, committed });
  return { opened: embedded, embedded };
}

interface Life {
  draining: AbortSignal;
  closing: AbortSignal;
  /** Adds work that the end has to wait for. */
  add(work: Promise<void>): void;
  watch(listener: Listener, serves: Entrance['serves']): void;
  /** Accepts no more connections of devices, waits for the work under way, and ends everything. */
  end(): Promise<void>;
}

function createLife(
  { clock, log, drainMs = DRAIN_MS, background }: PlatformOptions,
  { context, measures }: { context: ApiContext; measures: Measures },
): Life {
  const { storage, watchers } = context;
  const [draining, closing] = [new AbortController(), new AbortController()];
  const active = new Set<Promise<void>>();
  const listeners: { listener: Listener; serves: Entrance['serves'] }[] = [];
  const keeping = [
    keepTicking(storage, { clock, log }, draining.signal),
    keepTicketKey(storage, () => listeners, clock, draining.signal),
    background?.({ storage, clock, log }, draining.signal),
  ];
  /** Waits for a limited time for the work under way; work that begins meanwhile is short. */
  const waitForWork = async (): Promise<void> => {
    const deadlineMs = clock.monotonicMs() + drainMs;
    for (let left = drainMs; active.size > 0 && left > 0; left = deadlineMs - clock.monotonicMs()) {
      const done = new AbortController();
      const all = Promise.allSettled(active).then(() => done.abort());
      await Promise.race([all, clock.sleep(left, done.signal)]);
    }
    if (active.size > 0) log.warn('platform.cut-off', { requests: active.size, ms: drainMs });
  };
  const end = async (): Promise<void> => {
    draining.abort(ENDED);
    log.info('platform.drain', { requests: active.size });
    watchers.end();
    // The operators' own listener goes on, to answer that this process is not ready.
    for (const { listener, serves } of listeners) if (serves !== 'operators') listener.stop();
    await waitForWork();
    closing.abort(ENDED);
    await Promise.all(keeping);
    await Promise.all(listeners.map(({ listener }) => listener.close()));
    await Promise.allSettled(active);
    measures.close();
    await storage.close();
  };
  let ending: Promise<void> | undefined;
  return {
    draining: draining.signal,
    closing: closing.signal,
    add(work) {
      active.add(work);
      void work.finally(() => active.delete(work));
    },
    watch: (listener, serves) => listeners.push({ listener, serves }),
    end() {
      ending ??= end();
      return ending;
    },
  };
}

/** Ids that are short, and differ from those of any other process. */
function createIds(): () => string {
  const prefix = randomBytes(5).toString('hex');
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}

interface Limits {
  serves: Entrance['serves'];
  maxConnections: number;
}

async function listenerOptions(
  options: PlatformOptions,
  { host, port }: ListenAddress,
  {
    storage,
    addresses,
    maxConnections,
    measures,
  }: Limits & { storage: Storage; addresses: ClientAddresses; measures: Measures },
): Promise<ListenerOptions> {
  const { tls, clock, log, headersTimeoutMs = 30_000 } = options;
  return {
    host,
    port,
    tls,
    ticketKey: await readTicketKey(storage),
    headersTimeoutMs,
    maxConnections,
    maxOfAddress: MAX_CONNECTIONS_PER_ADDRESS,
    addresses,
    refused: measures.refused,
    handshaken: measures.handshaken,
    clock,
    log,
  };
}

function createContext(storage: Storage, { clock, bodyTimeoutMs = 120_000 }: PlatformOptions): ApiContext {
  const watchers = createWatchers(clock);
  storage.onWrite((ids) => watchers.notify(ids));
  const words = { doing: 'activate', what: 'refused activations' };
  return {
    storage,
    watchers,
    clock,
    bodyLimits: createBodyLimits(bodyTimeoutMs),
    activationFailures: {
      ofAddress: createFailureGuard(MAX_ACTIVATION_FAILURES_PER_ADDRESS, words, clock),
      ofSerial: createFailureGuard(MAX_ACTIVATION_FAILURES, words, clock),
    },
    longPolls: createQuota({ total: MAX_LONG_POLLS, each: MAX_LONG_POLLS_PER_ADDRESS }),
    underWay: new Map(),
  };
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);
}

/**
 * Requests that a client sends on one connection without waiting for the answers take effect in their order (RFC 9112
 * §9.3.2).
 */
function createSocketOrder(): (socket: object, work: () => Promise<void>) => Promise<void> {
  const last = new WeakMap<object, Promise<void>>();
  return (socket, work) => {
    const before = last.get(socket);
    const mine = before === undefined ? work() : before.then(work);
    last.set(socket, mine);
    return mine;
  };
}
