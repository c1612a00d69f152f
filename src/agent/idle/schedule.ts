/** When the next check-in is due: the interval after a good one, growing pauses after a failed one. */

export interface Schedule {
  succeeded(): void;
  /** The platform's wish, 0 if it has none. */
  failed(retryAfterMs: number): void;
  /** Milliseconds until the next check-in. */
  delayMs(intervalMs: number): number;
  /** For the schedule of the process that goes on after this one. */
  past(): SchedulePast;
}

interface SchedulePast {
  /** Check-ins that failed since the last good one. */
  failures: number;
  wishMs: number;
}

const FIRST_RETRY_MS = 5000;
const LONGEST_RETRY_MS = 15 * 60 * 1000;
/** No platform may keep a gateway away for longer, unless its own interval is longer. */
const LONGEST_WISH_MS = 3600 * 1000;

/** `random` gives numbers from 0 up to 1: a fleet that lost its platform must not come back all at once. */
export function createSchedule(random: () => number, past?: SchedulePast): Schedule {
  let { failures, wishMs } = past ?? { failures: 0, wishMs: 0 };
  return {
    past: () => ({ failures, wishMs }),
    succeeded() {
      failures = 0;
      wishMs = 0;
    },
    failed(retryAfterMs) {
      failures++;
      wishMs = Math.max(0, retryAfterMs);
    },
    delayMs(intervalMs) {
      if (failures === 0) return intervalMs;
      if (wishMs > 0) return Math.min(wishMs, Math.max(intervalMs, LONGEST_WISH_MS));
      const backoffMs = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS) * (0.5 + random());
      return Math.min(backoffMs, intervalMs);
    },
  };
}
