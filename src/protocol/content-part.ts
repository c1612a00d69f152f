/** A stretch of a content item, byte after byte, whatever becomes of the connections that it comes over. */
import { describeError, GweError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import {
  cancelled,
  changed,
  DEFAULT_RETRY_POLICY,
  downloadError,
  isProgress,
  isWorthRetrying,
  pauseBefore,
  type RetryPolicy,
} from './content.ts';
import { type ContentApi, openContent } from './content-api.ts';
import { matchRange, parseContentRange } from './range.ts';
import type { StreamResponse } from './transport.ts';

export interface PartOptions {
  id: string;
  /** The first and the last byte; of an item whose size is not known yet, what is there of them. */
  start: number;
  end: number;
  /** Bytes of the whole item, as its info said, or as it turns out. */
  sizeBytes: number | { learnt?: number };
  retries?: RetryPolicy;
  signal?: AbortSignal;
  log: Logger;
  /** 0 to 1, for the pauses. */
  random?: () => number;
  /** Grows with each request, and with each piece that came, those thrown away included. */
  counts?: PartCounts;
}

/** What fetching has cost. */
export interface PartCounts {
  requests: number;
  fetchedBytes: number;
}

/** The server sends the whole item instead of the part that it was asked for. */
export class RangesIgnored extends GweError {
  constructor(id: string) {
    super(
      'PROTOCOL_GARBAGE',
      `cannot fetch a part of '${id}': the platform ignores ranges and sends all of it`,
    );
  }
}

interface State {
  api: ContentApi;
  options: PartOptions;
  /** The next byte that is wanted, and the last one. */
  at: number;
  end: number;
}

/**
 * The bytes from `start` to `end`. Goes on where a connection broke, as long as bytes keep coming between failures.
 * Throws RangesIgnored before the first byte, DOWNLOAD_NOT_FOUND, DOWNLOAD_REFUSED, DOWNLOAD_CHANGED (an item of another
 * size: ask for info again), DOWNLOAD_INCOMPLETE (given up for now), PROTOCOL_UNAUTHORIZED, CANCELLED.
 */
export async function* fetchPart(
  api: ContentApi,
  options: PartOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const { id, log, signal } = options;
  const policy = options.retries ?? DEFAULT_RETRY_POLICY;
  const state: State = { api, options, at: options.start, end: options.end };
  let failures = 0;
  while (state.at <= state.end) {
    const before = state.at;
    try {
      if (signal?.aborted === true) throw cancelled(id);
      yield* fetchOnce(state);
      if (state.at === before)
        throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': an answer without a new byte`);
      failures = 0;
    } catch (error) {
      if (error instanceof RangesIgnored || !isWorthRetrying(error)) throw error;
      failures = isProgress(state.at - before, error) ? 1 : failures + 1;
      if (failures >= policy.tries) throw givenUp(state, failures, error);
      const pauseMs = pauseBefore(failures, policy, error, options.random ?? Math.random);
      log.warn('download.retry', { id, at: state.at, failures, pauseMs }, describeError(error));
      await api.clock.sleep(pauseMs, signal);
    }
  }
}

async function* fetchOnce(state: State): AsyncGenerator<Buffer, void, undefined> {
  const { api, options } = state;
  const { signal, id } = options;
  if (options.counts !== undefined) options.counts.requests += 1;
  const response = await openContent(api, id, { start: state.at, end: state.end }, signal);
  try {
    checkAnswer(state, response);
    for await (const chunk of response.chunks) {
      if (options.counts !== undefined) options.counts.fetchedBytes += chunk.length;
      const wanted = chunk.subarray(0, state.end + 1 - state.at);
      state.at += wanted.length;
      if (wanted.length > 0) yield wanted;
      if (signal?.aborted === true) throw cancelled(id);
      if (wanted.length < chunk.length) return;
    }
  } finally {
    response.cancel();
  }
}

/** Content-Range counts, not the status (spec §2.3). */
function checkAnswer(state: State, response: StreamResponse): void {
  const { api, options, at } = state;
  const { id } = options;
  if (response.status === 416 || response.status === 412)
    throw changed(id, `it has no byte ${at} any more (status ${response.status})`);
  if (response.status !== 200 && response.status !== 206) throw downloadError(api, id, response);
  const got = parseContentRange(response.headers.get('content-range'));
  const length = response.headers.get('content-length');
  const sizeBytes = expectedBytes(state, got === undefined ? Number(length ?? Number.NaN) : got.total);
  const { end } = state;
  if (got === undefined) {
    if (response.status === 206)
      throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': a part that does not say which`);
    if (length !== null && Number(length) !== sizeBytes)
      throw changed(id, `it has ${length} bytes now, expected ${sizeBytes}`);
    if (at > 0 || end + 1 < sizeBytes) throw new RangesIgnored(id);
    return;
  }
  if (!matchRange({ start: at, end }, got)) {
    const found = `bytes ${got.start}-${got.end} instead of ${at}-${end}`;
    throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': the platform sent ${found}`);
  }
  if (got.total !== undefined && got.total !== sizeBytes)
    throw changed(id, `it has ${got.total} bytes now, expected ${sizeBytes}`);
}

/** What the item should have; the first answer tells where nothing else has, and how far there is anything to fetch. */
function expectedBytes(state: State, toldBytes: number | undefined): number {
  const { sizeBytes, id } = state.options;
  if (typeof sizeBytes === 'number') return sizeBytes;
  if (sizeBytes.learnt === undefined) {
    if (toldBytes === undefined || !(toldBytes > state.at))
      throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': an answer that tells no size`);
    sizeBytes.learnt = toldBytes;
    state.end = Math.min(state.end, toldBytes - 1);
  }
  return sizeBytes.learnt;
}

function givenUp({ options, at }: State, failures: number, cause: unknown): GweError {
  const { id, start, end } = options;
  return new GweError(
    'DOWNLOAD_INCOMPLETE',
    `cannot download '${id}': byte ${at} of ${start}-${end} does not come after ${failures} tries; what is here is kept`,
    { cause, facts: { at } },
  );
}
