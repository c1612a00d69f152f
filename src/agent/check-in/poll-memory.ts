/** What check-ins and the long polls between them share. */
import type { PollResult } from '../../protocol/data.ts';

export interface PollMemory {
  /**
   * The second of the platform's clock after which a write is news; `undefined` if it has named no time. Never by this
   * machine's clock, which may be in 1970.
   */
  sinceS: number | undefined;
  /** Whether a check-in has accepted a command since a long poll set this to false. */
  hasTaken: boolean;
}

export function createPollMemory(): PollMemory {
  return { sinceS: undefined, hasTaken: false };
}

/**
 * Times have whole seconds: what is written in the second of a read, but after it, is not later by its time. So that
 * second is asked for again, and one more, for a platform whose machines do not agree; what comes twice is known by
 * its text.
 */
const OVERLAP_S = 2;

/** For a read that took `tookMs` and whose answer bears the platform's time `dateS`. */
export function sinceRead(dateS: number | undefined, tookMs: number): number | undefined {
  return dateS === undefined ? undefined : dateS - Math.ceil(tookMs / 1000) - OVERLAP_S;
}

/** After a poll that began with `sinceS`. */
export function nextSince(sinceS: number | undefined, result: PollResult): number | undefined {
  if (!result.hasChanged) return sinceS;
  const { lastModified } = result;
  const heardS = sinceRead(result.dateS, 0);
  // A time that is no later does not count: the answer had no time of its own.
  if (lastModified === undefined || lastModified === sinceS) return heardS ?? sinceS;
  return heardS === undefined ? lastModified : Math.min(lastModified, heardS);
}
