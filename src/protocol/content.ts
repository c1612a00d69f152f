/** A download that goes on where it stopped: after a lost connection, and after a restart of gwe. */
import { describeError, GweError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type ContentApi, type ContentInfo, contentInfo, openContent } from './content-api.ts';
import { openPartialFile, type PartialFile, removePartialFile } from './partial-file.ts';
import { matchRange, parseContentRange } from './range.ts';
import { statusError } from './status.ts';
import type { StreamResponse } from './transport.ts';

export {
  type ContentApi,
  type ContentInfo,
  contentInfo,
  createContentApi,
  listContent,
  parseManifestDigest,
  parseMetaDigest,
  readContentRange,
} from './content-api.ts';
export { type Digest, verifyFileDigest } from './digest.ts';

export interface RetryPolicy {
  /** Failures in a row without a new byte before it is given up. */
  tries: number;
  /** The first pause; it doubles with each failure, less a random part of up to a half. */
  firstPauseMs: number;
  longestPauseMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = { tries: 8, firstPauseMs: 1000, longestPauseMs: 60_000 };

export interface DownloadOptions {
  id: string;
  /** Where the bytes go; a note beside it (`.info`) says what they are from. */
  partialFile: string;
  /** As `contentInfo` said just now. */
  expected: Pick<ContentInfo, 'sizeBytes' | 'updated' | 'digest'>;
  /** The largest item taken. */
  maxBytes: number;
  retries?: RetryPolicy;
  signal?: AbortSignal;
  onProgress?(haveBytes: number, sizeBytes: number): void;
  /** Called for each request, and with the bytes of each piece that came, those thrown away included. */
  onRequest?(): void;
  onFetched?(bytes: number): void;
  log: Logger;
  /** 0 to 1, for the pauses. */
  random?: () => number;
}

export interface DownloadResult {
  /** Content bytes that came over the wire in this call, those thrown away included. */
  bytesFetched: number;
  /** Bytes that were there at the start. */
  resumedFrom: number;
  sizeBytes: number;
}

/** Less in one try is no progress: who hands out a byte at a time would hold the update for ever. */
const LEAST_PROGRESS_BYTES = 1024;
const LONGEST_RETRY_AFTER_MS = 60 * 60 * 1000;

/**
 * Fetches an item into `file`, whole and synced when it returns. Its digest is for the caller to check.
 * Retries as long as bytes keep coming between failures. Throws DOWNLOAD_NOT_FOUND, DOWNLOAD_REFUSED (a 4xx that
 * will not change), DOWNLOAD_TOO_LARGE, DOWNLOAD_CHANGED (another file under the same id: ask for info again),
 * DOWNLOAD_INCOMPLETE (given up for now, the part stays), PROTOCOL_UNAUTHORIZED, STORE_NO_SPACE, STORE_IO, CANCELLED.
 */
export async function downloadContent(api: ContentApi, options: DownloadOptions): Promise<DownloadResult> {
  const { id, expected, maxBytes } = options;
  if (expected.sizeBytes > maxBytes) {
    throw new GweError(
      'DOWNLOAD_TOO_LARGE',
      `cannot download '${id}': it has ${expected.sizeBytes} bytes, expected at most ${maxBytes}`,
    );
  }
  const { sizeBytes, updated } = expected;
  const file = openPartialFile(options.partialFile, { id, sizeBytes, updated });
  const state: State = { api, options, file, bytesFetched: 0, mayRange: true };
  const resumedFrom = file.sizeBytes;
  try {
    await fetchAll(state);
    file.sync();
    return { bytesFetched: state.bytesFetched, resumedFrom, sizeBytes };
  } catch (error) {
    // These bytes are of another file than the info tells of: nothing to go on from.
    const isWorthless =
      error instanceof GweError && (error.code === 'DOWNLOAD_TOO_LARGE' || error.code === 'DOWNLOAD_CHANGED');
    if (isWorthless) removePartialFile(options.partialFile);
    throw error;
  } finally {
    file.close();
  }
}

interface State {
  api: ContentApi;
  options: DownloadOptions;
  file: PartialFile;
  bytesFetched: number;
  /** False once the server has answered a range with nonsense: then only the whole item is asked for. */
  mayRange: boolean;
}

async function fetchAll(state: State): Promise<void> {
  const { api, options, file } = state;
  const { expected, signal, id, log } = options;
  const policy = options.retries ?? DEFAULT_RETRY_POLICY;
  // Progress is a byte never had before: a server that ignores ranges and always breaks off early makes none.
  let most = file.sizeBytes;
  let failures = 0;
  while (file.sizeBytes < expected.sizeBytes) {
    try {
      if (signal?.aborted === true) throw cancelled(id);
      await fetchOnce(state);
      if (file.sizeBytes > most) failures = 0;
      else throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': an answer without a new byte`);
      most = file.sizeBytes;
    } catch (error) {
      if (!isWorthRetrying(error)) throw error;
      failures = isProgress(file.sizeBytes - most, error) ? 1 : failures + 1;
      most = Math.max(most, file.sizeBytes);
      if (failures >= policy.tries) throw givenUp(state, failures, error);
      const pauseMs = pauseBefore(failures, policy, error, options.random ?? Math.random);
      log.warn('download.retry', { id, haveBytes: file.sizeBytes, failures, pauseMs }, describeError(error));
      await api.clock.sleep(pauseMs, signal);
      if (signal?.aborted === true) throw cancelled(id);
      if (state.mayRange) await assertStillSame(state);
    }
  }
}

/**
 * Without a digest nothing would show that the file was exchanged under our hands by one of the same size, so info is
 * asked again before going on. With one, the caller's check does, and the request is saved. Offline counts as same:
 * the next request will tell.
 */
async function assertStillSame(state: State): Promise<void> {
  const { api, options, file } = state;
  const { expected, id, signal } = options;
  if (expected.digest !== undefined || file.sizeBytes === 0) return;
  let now: ContentInfo | undefined;
  try {
    now = await contentInfo(api, id, signal);
  } catch (error) {
    if (isWorthRetrying(error)) return;
    throw error;
  }
  if (now === undefined)
    throw new GweError('DOWNLOAD_NOT_FOUND', `cannot download '${id}': it was deleted meanwhile`);
  if (now.sizeBytes !== expected.sizeBytes || now.updated !== expected.updated)
    throw changed(id, 'its info changed');
}

/** One request from where the file ends. Returns when the answer ended; throws what stopped it. */
async function fetchOnce(state: State): Promise<void> {
  const { api, options, file } = state;
  if (!state.mayRange) file.restart();
  const start = file.sizeBytes;
  const asked = start === 0 ? undefined : { start };
  options.onRequest?.();
  const response = await openContent(api, options.id, asked, options.signal);
  try {
    checkAnswer(state, response, start);
    for await (const chunk of response.chunks) {
      state.bytesFetched += chunk.length;
      options.onFetched?.(chunk.length);
      takeChunk(state, chunk);
      if (options.signal?.aborted === true) throw cancelled(options.id);
    }
  } finally {
    response.cancel();
  }
}

function takeChunk(state: State, chunk: Buffer): void {
  const { options, file } = state;
  const { expected, id } = options;
  if (file.sizeBytes + chunk.length > expected.sizeBytes) {
    throw new GweError(
      'DOWNLOAD_TOO_LARGE',
      `cannot download '${id}': the platform sends more than the ${expected.sizeBytes} bytes that its info tells of`,
    );
  }
  file.append(chunk);
  options.onProgress?.(file.sizeBytes, expected.sizeBytes);
}

/** Sets the file to where the answer's bytes belong, or throws. Content-Range counts, not the status (spec §2.3). */
function checkAnswer(state: State, response: StreamResponse, start: number): void {
  const { options, file } = state;
  const { id, expected } = options;
  if (response.status !== 200 && response.status !== 206) throw refusal(state, response, start);
  const got = parseContentRange(response.headers.get('content-range'));
  if (got === undefined) {
    if (response.status === 206) throw badRange(state, 'a part that does not say which');
    const length = response.headers.get('content-length');
    if (length !== null && Number(length) !== expected.sizeBytes) {
      throw changed(id, `it has ${length} bytes now, expected ${expected.sizeBytes}`);
    }
    file.restart();
    return;
  }
  if (!matchRange({ start }, got))
    throw badRange(state, `bytes ${got.start}-${got.end} instead of ${start}-`);
  if (got.total !== undefined && got.total !== expected.sizeBytes) {
    throw changed(id, `it has ${got.total} bytes now, expected ${expected.sizeBytes}`);
  }
}

/** A server that cannot do ranges is asked for the whole item from now on. */
function badRange(state: State, found: string): GweError {
  state.mayRange = false;
  return new GweError(
    'PROTOCOL_GARBAGE',
    `cannot download '${state.options.id}': the platform sent ${found}`,
  );
}

function refusal(state: State, response: StreamResponse, start: number): GweError {
  const { status } = response;
  if ((status === 416 || status === 412) && start > 0) {
    return badRange(state, `status ${status} for the rest from byte ${start}, starting over`);
  }
  return downloadError(state.api, state.options.id, response);
}

/** The error for an answer to a download that holds no content. */
export function downloadError(
  api: ContentApi,
  id: string,
  response: Pick<StreamResponse, 'status' | 'headers'>,
): GweError {
  const { status } = response;
  const doing = `download '${id}'`;
  if (status === 404 || status === 410 || status === 204) {
    return new GweError('DOWNLOAD_NOT_FOUND', `cannot ${doing}: no such content (status ${status})`, {
      facts: { status },
    });
  }
  const error = statusError(doing, response, api.clock.wallMs());
  if (error.code !== 'PROTOCOL_REFUSED') return error;
  if (status === 408)
    return new GweError('PROTOCOL_BUSY', `cannot ${doing}: the platform timed out (status 408)`);
  return new GweError(
    'DOWNLOAD_REFUSED',
    `cannot ${doing}: the platform refused it (status ${status}); is it content of this product, and open to this device?`,
    { facts: { status } },
  );
}

/** Whether a try that ended in `error` got on by so much that the count of failures starts again. */
export function isProgress(gainedBytes: number, error: unknown): boolean {
  const isSlow = error instanceof GweError && error.facts.isSlow === true;
  return gainedBytes >= LEAST_PROGRESS_BYTES && !isSlow;
}

export function isWorthRetrying(error: unknown): boolean {
  return (
    error instanceof GweError &&
    (error.code === 'PROTOCOL_OFFLINE' || error.code === 'PROTOCOL_BUSY' || error.code === 'PROTOCOL_GARBAGE')
  );
}

export function pauseBefore(
  failures: number,
  policy: RetryPolicy,
  error: unknown,
  random: () => number,
): number {
  const asked = error instanceof GweError ? Number(error.facts.retryAfterMs ?? 0) : 0;
  const full = Math.min(policy.firstPauseMs * 2 ** (failures - 1), policy.longestPauseMs);
  return Math.round(Math.max(Math.min(asked, LONGEST_RETRY_AFTER_MS), full * (1 - random() / 2)));
}

function givenUp(state: State, failures: number, cause: unknown): GweError {
  const { id, expected } = state.options;
  const have = state.file.sizeBytes;
  return new GweError(
    'DOWNLOAD_INCOMPLETE',
    `cannot download '${id}': ${have} of ${expected.sizeBytes} bytes after ${failures} tries without progress; the part is kept`,
    { cause, facts: { haveBytes: have, sizeBytes: expected.sizeBytes } },
  );
}

export function changed(id: string, found: string): GweError {
  return new GweError(
    'DOWNLOAD_CHANGED',
    `cannot download '${id}': ${found}; gwe starts over with the new one`,
  );
}

export function cancelled(id: string): GweError {
  return new GweError('CANCELLED', `cannot download '${id}': cancelled; the part is kept`);
}
