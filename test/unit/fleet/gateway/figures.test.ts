/** Figures of a gateway over time, from what the agent of this very source reports, and from anything else without harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figuresOf } from '../../../../src/fleet/gateway/figures.ts';

const info = (timestamp: number, available: unknown, ahead?: unknown) => ({
  timestamp,
  value: JSON.stringify({
    gwe: '2.1.0',
    clock: { now: timestamp, state: ahead === undefined ? 'right' : 'wrong', ahead },
    memory: { total: 512, available },
    mounts: [
      { path: '/', available: 1 },
      { path: '/opt', available: timestamp },
    ],
  }),
});

test('each report gives a point of each figure that it has, and the oldest comes first', () => {
  const usage = {
    timestamp: 30,
    value: JSON.stringify({ gwe_ledger: { day: '2026-11-30', budget_left: 7 } }),
  };
  assert.deepEqual(figuresOf([info(20, 200, -1.5), info(10, 100)], [usage]), {
    disk: [
      { at: 10, value: 10 },
      { at: 20, value: 20 },
    ],
    memory: [
      { at: 10, value: 100 },
      { at: 20, value: 200 },
    ],
    clock: [
      { at: 10, value: 0 },
      { at: 20, value: -1.5 },
    ],
    budget: [{ at: 30, value: 7 }],
  });
});

test('what is no report, or no number, gives no point', () => {
  const texts = ['', 'null', '[]', '{"memory": 3, "clock": []}', '{"memory": {"available": -1}}', '\u0000'];
  const hostile = texts.map((value, timestamp) => ({ value, timestamp }));
  const found = figuresOf([...hostile, info(9, '7', '1e99'), info(9, 1e300, 1e300)], hostile);
  assert.deepEqual({ ...found, disk: [] }, { disk: [], memory: [], clock: [], budget: [] });
});
