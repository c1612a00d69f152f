/**
 * How often a login may be tried. A try is counted before it is carried out, so that parallel guesses are counted
 * too.
 */

interface Attempts {
  readonly count: number;
  /** Unix seconds of the first try. */
  readonly since: number;
}

const WINDOW_S = 900;
/** The limits for one account from one address, and for all accounts from one address. */
export const MOST_OF_ACCOUNT = 10;
export const MOST_OF_ADDRESS = 100;

/** The count with one more try, or the number of seconds until the next one is allowed. */
export function addAttempt(
  found: Attempts | undefined,
  most: number,
  nowS: number,
): { attempts: Attempts; endsAt: number } | { retryAfterS: number } {
  const { count, since } =
    found === undefined || nowS - found.since >= WINDOW_S ? { count: 0, since: nowS } : found;
  if (count >= most) return { retryAfterS: Math.max(1, since + WINDOW_S - nowS) };
  return { attempts: { count: count + 1, since }, endsAt: since + WINDOW_S };
}
