/** Bytes a second that content may come at: a line that others share stays usable. */
import type { Clock } from '../../base/clock.ts';

/** May come at once after a pause, in seconds of the rate: what a slow disk or a new connection held up. */
const BURST_S = 1;

export interface Pace {
  /** Resolves when so many bytes more were due; at once where nothing limits them, or `signal` aborts. */
  spend(bytes: number, signal?: AbortSignal): Promise<void>;
}

/** `rate` is asked before each piece, bytes a second; 0: no limit. */
export function createPace(clock: Pick<Clock, 'monotonicMs' | 'sleep'>, rate: () => number): Pace {
  let paidUntilMs = Number.NEGATIVE_INFINITY;
  return {
    async spend(bytes, signal) {
      const perSecond = rate();
      if (perSecond <= 0) return;
      const nowMs = clock.monotonicMs();
      paidUntilMs = Math.max(paidUntilMs, nowMs - BURST_S * 1000) + (bytes * 1000) / perSecond;
      if (paidUntilMs > nowMs) await clock.sleep(paidUntilMs - nowMs, signal);
    },
  };
}
