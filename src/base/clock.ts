/** The only place that reads time or sleeps. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Unix milliseconds; may jump. For display, certificates and reports only. */
  wallMs(): number;
  /** Milliseconds that never go back; for deadlines and pauses. Meaningless in another process. */
  monotonicMs(): number;
  /** Resolves after `ms`, or early and quietly when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout treats anything longer as 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createSystemClock(): Clock {
  const monotonicMs = (): number => performance.now();
  return {
    wallMs: () => Date.now(),
    monotonicMs,
    async sleep(ms, signal) {
      const end = monotonicMs() + ms;
      for (let left = ms; left > 0 && !signal?.aborted; left = end - monotonicMs()) {
        await delay(Math.min(left, LONGEST_TIMER_MS), undefined, signal ? { signal } : {}).catch(
          () => undefined,
        );
      }
    },
  };
}
