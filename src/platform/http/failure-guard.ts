/** Counts failures by their source, so that guessing is slow. */
import type { Clock } from '../../base/clock.ts';
import { FAILURE_WINDOW_MS } from '../bounds.ts';
import { Refusal } from './exchange.ts';

export interface FailureGuard {
  /** Refuses with 429 while this source has had too many failures. */
  check(who: string): void;
  /** Counts one more failure of this source. */
  count(who: string): void;
}

/** How many sources are remembered; beyond that the oldest is forgotten. */
const MOST_REMEMBERED = 10_000;

interface Failures {
  count: number;
  untilMs: number;
}

/** `doing` and `what` make up the message: `cannot manage: too many wrong tokens from this address`. */
export function createFailureGuard(
  most: number,
  words: { doing: string; what: string },
  clock: Pick<Clock, 'monotonicMs'>,
): FailureGuard {
  const failures = new Map<string, Failures>();
  const recent = (who: string): Failures | undefined => {
    const found = failures.get(who);
    return found !== undefined && found.untilMs > clock.monotonicMs() ? found : undefined;
  };
  return {
    check(who) {
      const found = recent(who);
      if (found === undefined || found.count < most) return;
      const text = `cannot ${words.doing}: too many ${words.what} from this address, try again later`;
      const seconds = Math.ceil((found.untilMs - clock.monotonicMs()) / 1000);
      throw new Refusal(429, text, { 'retry-after': String(seconds) });
    },
    count(who) {
      const before = recent(who);
      failures.delete(who);
      failures.set(who, {
        count: (before?.count ?? 0) + 1,
        untilMs: before?.untilMs ?? clock.monotonicMs() + FAILURE_WINDOW_MS,
      });
      if (failures.size > MOST_REMEMBERED) failures.delete(failures.keys().next().value ?? '');
    },
  };
}
