/** When a download is retried, and after which pause. */
import { GweError } from '../base/errors.ts';
import { statusError } from './answer.ts';
import type { ContentApi } from './content-api.ts';
import type { StreamResponse } from './transport-types.ts';

export interface RetryPolicy {
  /** Failures in a row without a new byte before it is given up. */
  tries: number;
  /** The first pause; it doubles with each failure, less a random part of up to a half. */
  firstPauseMs: number;
  longestPauseMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = { tries: 8, firstPauseMs: 1000, longestPauseMs: 60_000 };

/** Less in one try is no progress: a server that sends a byte at a time would hold the update forever. */
const LEAST_PROGRESS_BYTES = 1024;
const LONGEST_RETRY_AFTER_MS = 60 * 60 * 1000;

/** The error for an answer to a download that holds no content. */
export function downloadError(
  api: { clock: Pick<ContentApi['clock'], 'wallMs'> },
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

/** Whether a try that ended in `error` made enough progress to reset the count of failures. */
export function isProgress(gainedBytes: number, error: unknown): boolean {
  const isSlow = error instanceof GweError && error.facts.isSlow === true;
  return gainedBytes >= LEAST_PROGRESS_BYTES && !isSlow;
}

/** The server sends the whole item instead of the requested part. */
export class RangesIgnored extends GweError {
  constructor(id: string) {
    super(
      'PROTOCOL_GARBAGE',
      `cannot fetch a part of '${id}': the platform ignores ranges and sends all of it`,
    );
  }
}

/** Whether the same request may get a different answer later. */
export function isWorthRetrying(error: unknown): boolean {
  if (error instanceof RangesIgnored) return false;
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

export function changed(id: string, found: string): GweError {
  return new GweError(
    'DOWNLOAD_CHANGED',
    `cannot download '${id}': ${found}; gwe starts over with the new one`,
  );
}

export function cancelled(id: string): GweError {
  return new GweError('CANCELLED', `cannot download '${id}': cancelled; the part is kept`);
}
