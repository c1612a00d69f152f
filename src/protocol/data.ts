/** Reading and writing a device's aliases (one-platform.md §1.2-1.5, §1.7). */
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { isSuccess, parseHttpDate, statusError } from './answer.ts';
import { encodeForm, encodeNames, type FormPair } from './codec.ts';
import { createFormSieve, type FormSieve } from './form-sieve.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport-types.ts';
import type { WritePace } from './wire/write-pace.ts';

interface ReadResult {
  /** Only aliases that were requested; one that was never written is absent. */
  values: ReadonlyMap<string, string>;
  /** The platform answered 404: one of the aliases is not defined there (one-platform.md §1.3). Worth one warning. */
  isUndefined: boolean;
  /** The platform's clock when it answered, Unix seconds; absent if it does not say. */
  dateS?: number;
}

export interface PollResult {
  hasChanged: boolean;
  value: string | undefined;
  /** When the value was written, Unix seconds; pass it back as `since`. */
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

interface DataApiOptions {
  clock: Pick<Clock, 'wallMs'>;
  /** For every call that is not given one of its own. */
  signal?: AbortSignal;
  /** Keep one for the life of the process, so that the behaviour of a server is found out once. */
  hybrid?: HybridMemory;
  /** Keep one for as long as the process lives. Without it nothing waits for its turn. */
  pace?: WritePace;
  /** Largest answer; MAX_REPLY_BYTES unless told otherwise. */
  maxReplyBytes?: number;
}

/** What is known about a server. */
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
 * A value may hold 1 MiB (one-platform.md §1.2), and percent-encoding trebles it at worst: what is not ours passes
 * by.
 */
const MAX_REPLY_BYTES = 4 * 1024 * 1024;
/**
 * The size of all requested values on the wire. A command of 64 KiB is the largest that gwe takes,
 * trebled by percent-encoding. A larger one is reported and cleared unread.
 */
const MAX_VALUE_BYTES = 256 * 1024;

export const MAX_LONG_POLL_MS = 300_000;
/** How late the answer to a long poll may be. */
const LONG_POLL_GRACE_MS = 30_000;

/** Statuses by which a server shows that it does not know a POST with a query: after these, write and read apart. */
const NO_HYBRID = new Set([400, 404, 405, 501]);

/**
 * A server that ignores a POST's query answers 204, and so does one where nothing is set. Until a hybrid call has
 * brought a value, the first 204 of every so many is therefore checked by a plain read.
 */
const DOUBT_EVERY = 8;

/** A proxy that answers from its cache would cause a command to be carried out twice. */
const NO_CACHE = { 'Cache-Control': 'no-cache' };

export function createDataApi(
  transport: Transport,
  cik: () => string | undefined,
  options: DataApiOptions,
): DataApi {
  const { clock, hybrid: memory = createHybridMemory() } = options;

  const send = sender(transport, cik, options);
  const readAliases = async (names: readonly string[], signal?: AbortSignal): Promise<ReadResult> => {
    const doing = `read ${quoteNames(names)}`;
    const sieve = createFormSieve(names, MAX_VALUE_BYTES);
    const request = { method: 'GET', path: readPath(names), purpose: 'read', sieve } as const;
    const response = await send(doing, request, signal);
    // A platform says it in few words (one-platform.md §6.16): a long page comes from something else.
    if (response.status === 404 && response.isCut !== true) return { values: new Map(), isUndefined: true };
    const values = valuesOf(doing, expectSuccess(doing, response, clock), sieve);
    return { values, isUndefined: false, ...dateOf(response) };
  };

  const sendPaced = paced(send, options);

  const writeAliases = async (pairs: readonly FormPair[], signal?: AbortSignal): Promise<void> => {
    const names = pairs.map(([name]) => name);
    const doing = `write ${quoteNames(names)}`;
    const response = await sendPaced(names, doing, writeRequest(ALIAS_PATH, pairs), signal);
    expectNoBody(doing, expectSuccess(doing, response, clock));
  };

  const exchange: DataApi['exchange'] = async (writes, reads, signal) => {
    if (writes.length === 0) return readAliases(reads, signal);
    const apart = async (): Promise<ReadResult> => {
      await writeAliases(writes, signal);
      return readAliases(reads, signal);
    };
    if (memory.state === 'refused') return apart();
    const names = writes.map(([name]) => name);
    const doing = `write ${quoteNames(names)} and read ${quoteNames(reads)}`;
    const sieve = createFormSieve(reads, MAX_VALUE_BYTES);
    const response = await sendPaced(
      names,
      doing,
      { ...writeRequest(readPath(reads), writes), sieve },
      signal,
    );
    if (NO_HYBRID.has(response.status)) {
      const result = await apart();
      // Remembered only now: had the plain calls failed too, the hybrid form was not what the server disliked.
      memory.state = 'refused';
      return result;
    }
    const values = valuesOf(doing, expectSuccess(doing, response, clock), sieve);
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

/**
 * What has been written is answered by an empty body (one-platform.md §1.2): anything else comes from something else.
 */
function expectNoBody(doing: string, { status, body }: TransportResponse): void {
  if (body.toString('latin1').trim() === '') return;
  throw new GweError(
    'PROTOCOL_GARBAGE',
    `cannot ${doing}: the answer (status ${status}, ${body.length} bytes) is no answer to a write, expected an empty one`,
    { facts: { status } },
  );
}

/** `sieve` takes the values of the answer, where there is to be one. */
type SentRequest = Omit<TransportRequest, 'maxBytes' | 'take'> & { sieve?: FormSieve };
type Send = (doing: string, request: SentRequest, signal?: AbortSignal) => Promise<TransportResponse>;
type SendPaced = (names: readonly string[], ...rest: Parameters<Send>) => ReturnType<Send>;

function sender(transport: Transport, cik: () => string | undefined, options: DataApiOptions): Send {
  return (doing, { sieve, ...request }, signal = options.signal) =>
    transport.request({
      ...request,
      ...(sieve === undefined
        ? {}
        : { take: (chunk: Buffer) => sieve.add(chunk), takesBytes: MAX_VALUE_BYTES }),
      headers: { 'X-Exosite-CIK': requireKey(cik(), doing), ...NO_CACHE, ...request.headers },
      maxBytes: options.maxReplyBytes ?? MAX_REPLY_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });
}

/** Each write waits until it is the turn of its aliases. */
function paced(send: Send, { pace, signal: usual }: DataApiOptions): SendPaced {
  return async (names, doing, request, signal = usual) => {
    await pace?.turn(names, signal);
    let isRefused = false;
    try {
      const response = await send(doing, request, signal);
      isRefused = !isSuccess(response.status);
      return response;
    } finally {
      if (!isRefused) pace?.wrote(names);
    }
  };
}

async function longPoll(
  alias: string,
  poll: { timeoutMs: number; since?: number | undefined; signal?: AbortSignal },
  send: Send,
  clock: Pick<Clock, 'wallMs'>,
): Promise<PollResult> {
  const doing = `wait for ${quoteNames([alias])}`;
  const timeoutMs = Math.min(Math.max(Math.round(poll.timeoutMs), 1), MAX_LONG_POLL_MS);
  const sieve = createFormSieve([alias], MAX_VALUE_BYTES);
  const response = await send(
    doing,
    {
      sieve,
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
  const value = valuesOf(doing, response, sieve).get(alias);
  return { hasChanged: value !== undefined, value, lastModified, ...dateOf(response) };
}

function dateOf({ headers }: TransportResponse): { dateS?: number } {
  const ms = parseHttpDate(headers.get('date') ?? '');
  return ms === undefined ? {} : { dateS: Math.floor(ms / 1000) };
}

/** Unix seconds of a Last-Modified: documented as a number, sent as an HTTP-date (one-platform.md §1.5). */
function parseLastModified(text: string | null): number | undefined {
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
    // Clearing an alias is part of reading it.
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
function valuesOf(
  doing: string,
  { status }: TransportResponse,
  sieve: FormSieve,
): ReadonlyMap<string, string> {
  const values = sieve.values();
  if (values.size > 0 || sieve.isEmpty()) return values;
  throw new GweError(
    'PROTOCOL_GARBAGE',
    `cannot ${doing}: the answer (status ${status}) holds none of these aliases`,
    { facts: { status } },
  );
}
