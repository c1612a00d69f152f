import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace } from '../../../src/protocol/wire/pace.ts';

function handClock() {
  const clock = {
    nowMs: 1000,
    monotonicMs: () => clock.nowMs,
    async sleep(ms: number) {
      clock.nowMs += ms;
    },
  };
  return clock;
}

test('content comes at the rate that is set, whatever the sizes of its pieces', async () => {
  const clock = handClock();
  const pace = createPace(clock, () => 10_000);
  for (const bytes of [1, 65_536, 300, 34_163]) await pace.spend(bytes);
  const seconds = (clock.nowMs - 1000) / 1000;
  assert.ok(seconds > 8.9 && seconds <= 10, `${seconds} s for 100,000 bytes`);
});

test('a pause is not made up for by more than a second of the rate, and 0 is no limit', async () => {
  const clock = handClock();
  let rate = 1000;
  const pace = createPace(clock, () => rate);
  await pace.spend(1000);
  clock.nowMs += 60_000;
  const startMs = clock.nowMs;
  await pace.spend(3000);
  assert.equal(clock.nowMs - startMs, 2000);
  rate = 0;
  await pace.spend(1_000_000);
  assert.equal(clock.nowMs - startMs, 2000);
});
