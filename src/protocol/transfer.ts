/** Bytes of a content item over connections that may break: one request at a time, and the one loop around them. */
import { describeError, GweError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type ContentApi, openContent } from './content-api.ts';
import { matchRange, parseContentRange } from './content-range.ts';
import {
  cancelled,
  changed,
  DEFAULT_RETRY_POLICY,
  isProgress,
  isWorthRetrying,
  pauseBefore,
  type RetryPolicy,
} from './retry.ts';
import type { StreamResponse } from './transport-types.ts';

/** What fetching has cost. */
export interface TransferCounts {
  requests: number;
  fetchedBytes: number;
}

export interface TransferOptions {
  id: string;
  /** Whether the caller knows the digest of what is fetched, and will compare it. */
  isPinned?: boolean;
  retries?: RetryPolicy;
  signal?: AbortSignal;
  log: Logger;
  /** 0 to 1, for the pauses. */
  random?: () => number;
  /** Grows with each request, and with each piece that came, those thrown away included. */
  counts?: TransferCounts;
}

/** A transfer that goes on where a connection broke. */
interface Resumable {
  isDone(): boolean;
  /** Bytes that are here by now: whoever takes a piece moves it on. */
  position(): number;
  /** One request from there on. */
  fetchOnce(): AsyncIterable<Buffer>;
  /** What the log says about its progress. */
  facts(): { at?: number; haveBytes?: number };
  givenUp(failures: number, cause: unknown): GweError;
  /** Called after each pause. */
  beforeRetry?(): Promise<void>;
}

/**
 * Fetches until it is done. Retries as long as bytes keep coming between failures: progress is a byte never had before,
 * and a server that ignores ranges and always breaks off early makes none. Throws what `isWorthRetrying` denies, what
 * `givenUp` says, and CANCELLED.
 */
export async function* resume(
  clock: ContentApi['clock'],
  options: TransferOptions,
  task: Resumable,
): AsyncGenerator<Buffer, void, undefined> {
  const { id, signal, log, retries: policy = DEFAULT_RETRY_POLICY } = options;
  let most = task.position();
  let failures = 0;
  while (!task.isDone()) {
    try {
      assertNotCancelled(options);
      yield* task.fetchOnce();
      if (task.position() <= most)
        throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': an answer without a new byte`);
      failures = 0;
      most = task.position();
    } catch (error) {
      if (!isWorthRetrying(error)) throw error;
      failures = isProgress(task.position() - most, error) ? 1 : failures + 1;
      most = Math.max(most, task.position());
      if (failures >= policy.tries) throw task.givenUp(failures, error);
      const pauseMs = pauseBefore(failures, policy, error, options.random ?? Math.random);
      const { at, haveBytes } = task.facts();
      log.warn('download.retry', { id, at, haveBytes, failures, pauseMs }, describeError(error));
      await clock.sleep(pauseMs, signal);
      assertNotCancelled(options);
      await task.beforeRetry?.();
    }
  }
}

/** The pieces of one answer, each counted; `check` throws for an answer that is not what it should be. */
export async function* receive(
  api: ContentApi,
  options: TransferOptions,
  range: { start: number; end?: number } | undefined,
  check: (response: StreamResponse) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const { id, signal, counts } = options;
  if (counts !== undefined) counts.requests += 1;
  const response = await openContent(api, id, range, { signal, isPinned: options.isPinned });
  try {
    check(response);
    for await (const chunk of response.chunks) {
      if (counts !== undefined) counts.fetchedBytes += chunk.length;
      yield chunk;
      await api.pace?.spend(chunk.length, signal);
      assertNotCancelled(options);
    }
  } finally {
    response.cancel();
  }
}

function assertNotCancelled({ id, signal }: TransferOptions): void {
  if (signal?.aborted === true) throw cancelled(id);
}

/** The answer holds other bytes than those that were wanted. */
export class WrongRange extends GweError {
  constructor(id: string, found: string) {
    super('PROTOCOL_GARBAGE', `cannot download '${id}': the platform sent ${found}`);
  }
}

/**
 * Whether an answer with content holds the range that was wanted, or all of the item: Content-Range counts, not the
 * status (one-platform.md §2.3). `sizeOf` gives the size that the item should have, by the one that the answer tells.
 * Throws WrongRange, DOWNLOAD_CHANGED.
 */
export function checkContentRange(
  id: string,
  response: Pick<StreamResponse, 'status' | 'headers'>,
  wanted: { start: number; end?: number },
  sizeOf: (toldBytes: number | undefined) => number,
): 'range' | 'all' {
  const got = parseContentRange(response.headers.get('content-range'));
  const length = response.headers.get('content-length');
  const toldBytes = got === undefined && length !== null ? Number(length) : got?.total;
  const sizeBytes = sizeOf(toldBytes);
  if (got === undefined && response.status === 206)
    throw new WrongRange(id, 'a part that does not say which');
  if (got !== undefined && !matchRange(wanted, got))
    throw new WrongRange(id, `bytes ${got.start}-${got.end} instead of ${wanted.start}-${wanted.end ?? ''}`);
  if (toldBytes !== undefined && toldBytes !== sizeBytes)
    throw changed(id, `it has ${got === undefined ? length : toldBytes} bytes now, expected ${sizeBytes}`);
  return got === undefined ? 'all' : 'range';
}
