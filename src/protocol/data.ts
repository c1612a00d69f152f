/** Reading and writing a device's aliases (spec §1.2-1.5, §1.7). */
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { decodeForm, encodeForm, encodeNames, type FormPair } from './codec.ts';
import { isSuccess, parseHttpDate, statusError } from './status.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

export interface ReadResult {
  /** Only aliases that were asked for; one that was never written is absent. */
  values: ReadonlyMap<string, string>;
  /** The platform answered 404: one of the aliases is not defined there (spec §1.3). Worth one warning. */
  isUndefined: boolean;
  /** The platform's clock when it answered, Unix seconds; absent where it does not tell. */
  dateS?: number;
}

export interface PollResult {
  hasChanged: boolean;
  value: string | undefined;
  /** Of the value, Unix seconds; give it back as `since`. */
  lastModified: number | undefined;
  /** As in a ReadResult. */
  dateS?: number;
}

/** Every call throws PROTOCOL_* as `statusError` and the transport say, and PROTOCOL_UNAUTHORIZED without a key. */
export interface DataApi {
  readAliases(names: readonly string[], signal?: AbortSignal): Promise<ReadResult>;
  writeAliases(pairs: readonly FormPair[], signal?: AbortSignal): Promise<void>;
  /** Writes, then reads, in one request where the server can. All writes happen before all reads. */
  exchange(writes: readonly FormPair[], reads: readonly string[], signal?: AbortSignal): Promise<ReadResult>;
  /** Waits up to `timeoutMs` (the platform's limit is 300000) for a value newer than `since` (Unix seconds). */
  longPoll(
    alias: string,
    options: { timeoutMs: number; since?: number | undefined; signal?: AbortSignal },
  ): Promise<PollResult>;
  /** The platform's clock, Unix seconds; needs no key. */
  readTimestamp(): Promise<number>;
}

export interface DataApiOptions {
  clock: Pick<Clock, 'wallMs'>;
  /** For every call that is not given one of its own. */
  signal?: AbortSignal;
  /** Keep one for as long as the process lives, so that a server's ways are found out once. */
  hybrid?: HybridMemory;
  /** Largest answer; MAX_REPLY_BYTES unless told otherwise. */
  maxReplyBytes?: number;
}

/** What was found out about a server. */
export interface HybridMemory {
  /** Whether a POST with a query both writes and reads. */
  state: 'unproven' | 'works' | 'refused';
  /** Hybrid calls answered without a value while unproven. */
  emptyAnswers: number;
}

export function createHybridMemory(): HybridMemory {
  return { state: 'unproven', emptyAnswers: 0 };
}

const ALIAS_PATH = '/onep:v1/stack/alias';
const FORM_TYPE = 'application/x-www-form-urlencoded; charset=utf-8';

/**
 * A command of 64 KiB is the largest that gwe takes, but a value may hold 1 MiB (spec §1.2) and percent-encoding
 * trebles it at worst. Every value that a platform can hold gets through, so that an oversized command is reported and
 * cleared instead of failing every check-in.
 */
export const MAX_REPLY_BYTES = 4 * 1024 * 1024;

export const MAX_LONG_POLL_MS = 300_000;
/** How long the answer to a long poll may be late. */
const LONG_POLL_GRACE_MS = 30_000;

/** Statuses by which a server shows that it does not know a POST with a query: after these, write and read apart. */
const NO_HYBRID = new Set([400, 404, 405, 501]);

/**
 * A server that ignores a POST's query answers 204, and so does one where nothing is set. Until a hybrid call has
 * brought a value, the first 204 of every so many is therefore checked by a plain read.
 */
const DOUBT_EVERY = 8;

export function createDataApi(
  transport: Transport,
  cik: () => string | undefined,
  options: DataApiOptions,
): DataApi {
  const { clock, hybrid: memory = createHybridMemory() } = options;

  const send: Send = (doing, request, signal = options.signal) =>
    transport.request({
      ...request,
      headers: { 'X-Exosite-CIK': requireKey(cik(), doing), ...request.headers },
      maxBytes: options.maxReplyBytes ?? MAX_REPLY_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });

  const readAliases = async (names: readonly string[], signal?: AbortSignal): Promise<ReadResult> => {
    const doing = `read ${quoteNames(names)}`;
    const response = await send(doing, { method: 'GET', path: readPath(names), purpose: 'read' }, signal);
    if (response.status === 404) return { values: new Map(), isUndefined: true };
    const values = decodeValues(doing, expectSuccess(doing, response, clock), names);
    return { values, isUndefined: false, ...dateOf(response) };
  };

  const writeAliases = async (pairs: readonly FormPair[], signal?: AbortSignal): Promise<void> => {
    const doing = `write ${quoteNames(pairs.map(([name]) => name))}`;
    expectSuccess(doing, await send(doing, writeRequest(ALIAS_PATH, pairs), signal), clock);
  };

  const exchange: DataApi['exchange'] = async (writes, reads, signal) => {
    if (writes.length === 0) return readAliases(reads, signal);
    const apart = async (): Promise<ReadResult> => {
      await writeAliases(writes, signal);
      return readAliases(reads, signal);
    };
    if (memory.state === 'refused') return apart();
    const doing = `write ${quoteNames(writes.map(([name]) => name))} and read ${quoteNames(reads)}`;
    const response = await send(doing, writeRequest(readPath(reads), writes), signal);
    if (NO_HYBRID.has(response.status)) {
      const result = await apart();
      // Remembered only now: had the plain calls failed too, the hybrid form was not what the server disliked.
      memory.state = 'refused';
      return result;
    }
    const values = decodeValues(doing, expectSuccess(doing, response, clock), reads);
    if (values.size > 0) memory.state = 'works';
    if (memory.state === 'works' || memory.emptyAnswers++ % DOUBT_EVERY !== 0) {
      return { values, isUndefined: false, ...dateOf(response) };
    }
    const plain = await readAliases(reads, signal);
    if (plain.values.size > 0) memory.state = 'refused';
    return plain;
  };

  return {
    readAliases,
    writeAliases,
    exchange,
    longPoll: (alias, poll) => longPoll(alias, poll, send, clock),
    readTimestamp: () => readTimestamp(transport, clock),
  };
}

async function readTimestamp(transport: Transport, clock: Pick<Clock, 'wallMs'>): Promise<number> {
  const doing = "read the platform's clock";
  const response = await transport.request({
    method: 'GET',
    path: '/timestamp',
    purpose: 'time',
    maxBytes: 1024,
  });
  expectSuccess(doing, response, clock);
  const text = response.body.toString('latin1').trim();
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new GweError('PROTOCOL_GARBAGE', `cannot ${doing}: not a number, expected Unix seconds`);
}

function expectSuccess(
  doing: string,
  response: TransportResponse,
  clock: Pick<Clock, 'wallMs'>,
): TransportResponse {
  if (isSuccess(response.status)) return response;
  throw statusError(doing, response, clock.wallMs());
}

type Send = (
  doing: string,
  request: Omit<TransportRequest, 'maxBytes'>,
  signal?: AbortSignal,
) => Promise<TransportResponse>;

async function longPoll(
  alias: string,
  poll: { timeoutMs: number; since?: number | undefined; signal?: AbortSignal },
  send: Send,
  clock: Pick<Clock, 'wallMs'>,
): Promise<PollResult> {
  const doing = `wait for ${quoteNames([alias])}`;
  const timeoutMs = Math.min(Math.max(Math.round(poll.timeoutMs), 1), MAX_LONG_POLL_MS);
  const response = await send(
    doing,
    {
      method: 'GET',
      path: readPath([alias]),
      purpose: 'read',
      headers: {
        'Request-Timeout': String(timeoutMs),
        ...(poll.since === undefined ? {} : { 'If-Modified-Since': String(poll.since) }),
      },
      timeoutMs: timeoutMs + LONG_POLL_GRACE_MS,
    },
    poll.signal,
  );
  const lastModified = parseLastModified(response.headers.get('last-modified')) ?? poll.since;
  if (response.status === 304)
    return { hasChanged: false, value: undefined, lastModified, ...dateOf(response) };
  expectSuccess(doing, response, clock);
  const value = decodeValues(doing, response, [alias]).get(alias);
  return { hasChanged: value !== undefined, value, lastModified, ...dateOf(response) };
}

function dateOf({ headers }: TransportResponse): { dateS?: number } {
  const ms = parseHttpDate(headers.get('date') ?? '');
  return ms === undefined ? {} : { dateS: Math.floor(ms / 1000) };
}

/** Unix seconds of a Last-Modified: documented as a number, sent as an HTTP-date (spec §1.5). */
export function parseLastModified(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  const ms = parseHttpDate(text);
  return ms === undefined ? undefined : Math.floor(ms / 1000);
}

function readPath(names: readonly string[]): string {
  return `${ALIAS_PATH}?${encodeNames(names)}`;
}

function writeRequest(path: string, pairs: readonly FormPair[]): Omit<TransportRequest, 'maxBytes'> {
  return {
    method: 'POST',
    path,
    // To empty an alias belongs to reading it.
    purpose: pairs.every(([, value]) => value === '') ? 'read' : 'write',
    headers: { 'Content-Type': FORM_TYPE },
    body: encodeForm(pairs),
  };
}

function requireKey(key: string | undefined, doing: string): string {
  if (key !== undefined && key !== '') return key;
  throw new GweError(
    'PROTOCOL_UNAUTHORIZED',
    `cannot ${doing}: this device has no key yet, it must activate first`,
  );
}

function quoteNames(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => `'${name.slice(0, 64)}'`);
  return `alias ${shown.join(', ')}${names.length > 8 ? ', ...' : ''}`;
}

/** The values that were asked for. A body that names none of them (a portal's login page) is PROTOCOL_GARBAGE. */
function decodeValues(
  doing: string,
  response: TransportResponse,
  names: readonly string[],
): ReadonlyMap<string, string> {
  const text = response.body.toString('utf8').replace(/\r?\n$/, '');
  if (text === '') return new Map();
  const wanted = new Set(names);
  const values = new Map(decodeForm(text).filter(([name]) => wanted.has(name)));
  if (values.size === 0) {
    throw new GweError(
      'PROTOCOL_GARBAGE',
      `cannot ${doing}: the answer (status ${response.status}, ${response.body.length} bytes) holds none of these aliases`,
      { facts: { status: response.status } },
    );
  }
  return values;
}
