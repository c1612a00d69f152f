/** A database that is away for a while: how to recognize that, and waiting for it. */
import type { Clock } from '../../../base/clock.ts';
import { describeError, GweError } from '../../../base/errors.ts';

/** How long a request waits for the database before it is refused; its gateway will try again. */
const WAIT_MS = 20_000;
const PAUSE_MS = 250;

/** Errors of sockets and of name lookups, and PostgreSQL's when it stops, starts or has no room left. */
const CODES = new Set([
  ...[
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENOTFOUND',
    'EAI_AGAIN',
  ],
  ...['57P01', '57P02', '57P03', '53300'],
]);
/** Errors of the driver that have no code. */
const WORDS =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;

export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  // Class 08: the connection.
  return CODES.has(code) || /^08[0-9A-Z]{3}$/.test(code) || WORDS.test(error.message);
}

/** The same error, or, for an outage, one that says so. */
export function named(error: unknown): unknown {
  if (!isOutage(error)) return error;
  const found = describeError(error);
  return new GweError('PLATFORM_UNAVAILABLE', `cannot reach the database: ${found}`, { cause: error });
}

/**
 * Repeats `work` while the database is away, for as long as a request may wait. When `work` fails in that way, it
 * must have done nothing; an error that must not be followed by a repeat is thrown as `named`.
 */
export async function outlast<T>(
  work: () => Promise<T>,
  clock: Pick<Clock, 'sleep' | 'monotonicMs'> | undefined,
): Promise<T> {
  const deadlineMs = (clock?.monotonicMs() ?? 0) + WAIT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isOutage(error)) throw error;
      if (clock === undefined || clock.monotonicMs() > deadlineMs) throw named(error);
      await clock.sleep(PAUSE_MS);
    }
  }
}
