/** More than one write of an alias in a second is undefined behaviour of the platform (one-platform.md §1.2). */
import type { Clock } from '../../base/clock.ts';

const BETWEEN_WRITES_MS = 1000;

export interface WritePace {
  /** Resolves when all of `names` may be written: at once, unless one has been a moment ago. */
  turn(names: readonly string[], signal?: AbortSignal): Promise<void>;
  /** They may have been written: that was answered, or it is not known. */
  wrote(names: readonly string[]): void;
}

/** Keep one for as long as the process lives. */
export function createWritePace(clock: Pick<Clock, 'monotonicMs' | 'sleep'>): WritePace {
  const writtenMs = new Map<string, number>();
  return {
    async turn(names, signal) {
      const dueMs = Math.max(...names.map((name) => (writtenMs.get(name) ?? -Infinity) + BETWEEN_WRITES_MS));
      const waitMs = dueMs - clock.monotonicMs();
      if (waitMs > 0) await clock.sleep(waitMs, signal);
    },
    wrote(names) {
      for (const name of names) writtenMs.set(name, clock.monotonicMs());
    },
  };
}
