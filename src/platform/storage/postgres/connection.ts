/**
 * The PostgreSQL database as its tables use it: statements by name, transactions, and notices about writes of other
 * replicas.
 */
import { createHash } from 'node:crypto';
import pg, { type ConnectionConfig, type Pool } from 'pg';
import type { Clock } from '../../../base/clock.ts';
import { describeError, GweError } from '../../../base/errors.ts';
import { isOutage, named, outlast } from './outage.ts';

export type Row = Record<string, unknown>;

/** Runs a statement; `sql` contains no values. */
export type Query = (sql: string, ...values: readonly unknown[]) => Promise<Row[]>;

export interface Connection {
  query: Query;
  /**
   * Carries out `work` in one transaction: durable when this resolves, and without effect if it rejects or returns a
   * TakenBack. A transaction that PostgreSQL asks to repeat is repeated.
   */
  transaction<T>(work: (query: Query) => Promise<T | TakenBack<T>>): Promise<T>;
  /** Rejects at once where the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Returned by a transaction that undoes all of its work and still has a result. */
export class TakenBack<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

/** Unix seconds by the clock of the database. */
export const NOW = 'floor(extract(epoch FROM clock_timestamp()))::bigint';

const MOST_CONNECTIONS = 16;
const CONNECT_MS = 10_000;
const MOST_TRIES = 5;
const PAUSE_MS = 1000;
/** Serialization failure and deadlock. */
const RETRIED = new Set(['40001', '40P01']);

interface PostgresTarget {
  /** `postgres://USER@HOST:PORT/DATABASE`. */
  url: string;
  /** Never given on the command line. */
  password?: string | undefined;
}

function configOf({ url, password }: PostgresTarget): ConnectionConfig {
  return {
    connectionString: password === undefined ? url : withPassword(url, password),
    application_name: 'gwe',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
  };
}

/** In the URL: an option beside it would be overruled by what the URL says of a password, that it has none. */
function withPassword(text: string, password: string): string {
  const url = new URL(text);
  if (url.hostname === '') url.hostname = 'localhost';
  url.password = encodeURIComponent(password);
  return url.href;
}

/** Connects at its first use. With a clock, waits for a while where the database is away. */
export function createConnection(
  target: PostgresTarget & { clock?: Pick<Clock, 'sleep' | 'monotonicMs'> | undefined },
): Connection {
  const pool = new pg.Pool({ ...configOf(target), max: MOST_CONNECTIONS });
  const { clock } = target;
  // A connection that is lost while it is idle is replaced at the next use.
  pool.on('error', () => undefined);
  return {
    query: (text, ...values) => outlast(() => queryOnce(pool, text, values), clock),
    transaction: (work) => outlast(() => attemptOften(pool, work), clock),
    async ping() {
      await queryOnce(pool, 'SELECT 1', []);
    },
    close: () => pool.end(),
  };
}

/**
 * When the connection is lost, it is unknown whether a statement that writes was carried out: only a SELECT is
 * repeated.
 */
async function queryOnce(pool: Pool, text: string, values: readonly unknown[]): Promise<Row[]> {
  const { query, release } = await takeClient(pool);
  try {
    const rows = await query(text, ...values);
    release(true);
    return rows;
  } catch (error) {
    release(!isOutage(error));
    throw /^\s*SELECT\b/.test(text) ? error : named(error);
  }
}

interface TakenClient {
  query: Query;
  /** Gives the connection back; a broken one is ended. */
  release(isWell: boolean): void;
}

async function takeClient(pool: Pool): Promise<TakenClient> {
  const client = await pool.connect();
  // A lost connection fails its statement, and then emits an error itself: without a listener that would end the
  // process.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  return {
    query: queryOf(client),
    release(isWell) {
      if (isWell) client.off('error', ignore);
      client.release(!isWell);
    },
  };
}

function queryOf(client: Pick<Pool, 'query'>): Query {
  return async (text, ...values) => {
    // The server plans a named statement once for each connection.
    const name = createHash('sha1').update(text).digest('base64url');
    return (await client.query({ name, text, values })).rows;
  };
}

async function attemptOften<T>(pool: Pool, work: (query: Query) => Promise<T | TakenBack<T>>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(pool, work);
    } catch (error) {
      if (tries === MOST_TRIES || !RETRIED.has(codeOf(error))) throw error;
    }
  }
}

async function attempt<T>(pool: Pool, work: (query: Query) => Promise<T | TakenBack<T>>): Promise<T> {
  const { query, release } = await takeClient(pool);
  let isCommitting = false;
  try {
    await query('BEGIN');
    const result = await work(query);
    isCommitting = !(result instanceof TakenBack);
    await query(isCommitting ? 'COMMIT' : 'ROLLBACK');
    release(true);
    return result instanceof TakenBack ? result.result : result;
  } catch (error) {
    const isWell = await query('ROLLBACK').then(
      () => true,
      () => false,
    );
    release(isWell);
    // Before the commit, none of it can have been stored; after a commit that was cut off, that is unknown.
    throw isCommitting ? named(error) : error;
  }
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** Throws PLATFORM_STATE where the database cannot be reached, in words without its password. */
export async function assertReachable({ ping }: Connection, { url }: PostgresTarget): Promise<void> {
  try {
    await ping();
  } catch (error) {
    const { host } = new URL(url);
    throw new GweError(
      'PLATFORM_STATE',
      `cannot reach the database at '${host}': ${inOurTerms(describeError(error) || codeOf(error))}`,
    );
  }
}

/** What the runtime advises is for whoever starts node. */
function inOurTerms(text: string): string {
  const advice = /;[^;]*--use-system-ca.*$/s;
  return text.replace(advice, '; name the certificate of its authority by sslrootcert=FILE in the URL');
}

interface Listening {
  close(): Promise<void>;
}

/**
 * Calls `heard` with what is sent to the channel, and with `undefined` after a time in which notices may have been
 * missed.
 */
export async function listenTo(
  target: PostgresTarget,
  channel: string,
  clock: Pick<Clock, 'sleep'>,
  heard: (payload: string | undefined) => void,
): Promise<Listening> {
  const closing = new AbortController();
  let client: InstanceType<typeof pg.Client> | undefined;
  const connect = async (): Promise<void> => {
    const fresh = new pg.Client(configOf(target));
    fresh.on('notification', (message: { payload?: string }) => heard(message.payload ?? ''));
    fresh.on('error', () => undefined);
    await fresh.connect();
    await fresh.query({ text: `LISTEN ${channel}` });
    client = fresh;
    fresh.on('end', () => void reconnect());
  };
  const reconnect = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await clock.sleep(PAUSE_MS, closing.signal);
      if (closing.signal.aborted) return;
      const isThere = await connect().then(
        () => true,
        () => false,
      );
      if (!isThere) continue;
      heard(undefined);
      return;
    }
  };
  await connect();
  return {
    async close() {
      closing.abort();
      await client?.end();
    },
  };
}
