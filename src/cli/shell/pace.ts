/** Speed and time left of something that is counted in bytes. */
import type { Clock } from '../../base/clock.ts';
import { renderBytes, renderSpan } from './screen.ts';

/** Before that a speed would be a guess. */
const FIRST_MS = 500;

/**
 * Says `3.4 MB/s, 12 s left` for each new count, by the mean since the first one: that one was there before (a
 * broken-off download goes on). Empty until something is known.
 */
export function createPace(clock: Pick<Clock, 'monotonicMs'>): (done: number, total: number) => string {
  let first: { atMs: number; done: number } | undefined;
  return (done, total) => {
    const atMs = clock.monotonicMs();
    first ??= { atMs, done };
    const [spentMs, bytes] = [atMs - first.atMs, done - first.done];
    if (spentMs < FIRST_MS || bytes <= 0) return '';
    const perMs = bytes / spentMs;
    return `${renderBytes(perMs * 1000)}/s, ${renderSpan(Math.max(0, total - done) / perMs)} left`;
  };
}
