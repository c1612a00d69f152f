/** Waiting for a condition, and for nothing else: the deadline only ends a test that would wait for ever. */
import { setTimeout as delay } from 'node:timers/promises';

/** Long enough for a busy machine: a test that passes does not wait for it. */
const DEADLINE_MS = 90_000;

/** Polls `condition` until it is true; fails after `deadlineMs`. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`condition not met within ${deadlineMs} ms`);
    await delay(10);
  }
}
