import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSchedule } from '../../../../src/agent/idle/schedule.ts';

const HOUR_MS = 3600 * 1000;

test("a platform's wish is obeyed up to the interval or an hour, whichever is longer", () => {
  const schedule = createSchedule(() => 0.5);
  for (const [wishMs, intervalMs, delayMs] of [
    [30_000, 1000, 30_000],
    [24 * HOUR_MS, 1000, HOUR_MS],
    [24 * HOUR_MS, 4 * HOUR_MS, 4 * HOUR_MS],
    [2 * HOUR_MS, 4 * HOUR_MS, 2 * HOUR_MS],
    [365 * 24 * HOUR_MS, 60_000, HOUR_MS],
  ] as const) {
    schedule.failed(wishMs);
    assert.equal(schedule.delayMs(intervalMs), delayMs, `${wishMs} with ${intervalMs}`);
  }
  schedule.succeeded();
  assert.equal(schedule.delayMs(1000), 1000);
});

test('without a wish the pauses grow up to a quarter of an hour, and never beyond the interval', () => {
  const schedule = createSchedule(() => 0.5);
  const delays = Array.from({ length: 12 }, () => {
    schedule.failed(0);
    return schedule.delayMs(4 * HOUR_MS);
  });
  assert.equal(delays[0], 5000);
  assert.equal(delays.at(-1), HOUR_MS / 4);
  assert.equal(schedule.delayMs(2000), 2000);
});
