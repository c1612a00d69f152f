/** The only place that reads time or sleeps. */
import { readFileSync } from 'node:fs';
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

/** Milliseconds since this machine's boot: the same for every process, and it does not jump. 0 without /proc. */
export function uptimeMs(): number {
  try {
    return Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1000;
  } catch {
    return 0;
  }
}
