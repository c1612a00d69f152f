import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgressReports } from '../../../../src/agent/reports/progress-report.ts';
import type { AgentContext } from '../../../../src/agent/run/context.ts';
import { createProgress, percentOf } from '../../../../src/agent/run/progress.ts';
import type { BudgetState } from '../../../../src/agent/traffic/budget.ts';
import { createPace } from '../../../../src/cli/shell/pace.ts';
import { ENGINE_SETTINGS, type EngineSettings } from '../../../../src/config/schema.ts';

function reportsOf({ intervalS = 10, isTight = false } = {}) {
  let nowMs = 0;
  let state = 'downloading';
  const progress = createProgress();
  const defaults = Object.entries(ENGINE_SETTINGS).map(([name, spec]) => [name, spec.default]);
  const settings = { ...(Object.fromEntries(defaults) as EngineSettings), progressIntervalS: intervalS };
  const open = () => ({
    id: 't1',
    app: 'a',
    version: '1',
    state,
    closed: state === 'closed',
    startedAtMs: 5000,
  });
  const context = {
    clock: { monotonicMs: () => nowMs },
    progress,
    settings: () => settings,
    journal: { read: open },
    budget: { state: () => ({ isTight }) as BudgetState },
  } as unknown as AgentContext;
  const reports = createProgressReports(context);
  return {
    /** After so many seconds, with so many of 100 bytes. */
    after(seconds: number, doneBytes: number, next = 'downloading'): Record<string, unknown> | undefined {
      nowMs += seconds * 1000;
      state = next;
      progress.move({ tx: 't1', state: 'downloading', doneBytes, totalBytes: 100 });
      const text = reports.next();
      return text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>);
    },
  };
}

test('progress is reported once in an interval, and never the same twice', () => {
  const reports = reportsOf();
  assert.equal(reports.after(9, 10), undefined);
  const first = reports.after(1, 50);
  assert.deepEqual(
    [first?.phase, first?.percent, first?.done, first?.of, first?.since],
    ['downloading', 40, 50, 100, 5],
  );
  assert.equal(reports.after(9, 60), undefined);
  assert.equal(reports.after(1, 50), undefined, 'nothing new');
  assert.equal(reports.after(1, 100)?.percent, 80);
  const installing = reports.after(10, 100, 'installing');
  assert.deepEqual([installing?.percent, 'done' in (installing ?? {})], [92, false]);
  assert.equal(reports.after(10, 100, 'rolling-back')?.percent, undefined);
  assert.equal(reports.after(10, 100, 'closed'), undefined);
});

test('progress_interval = 0 and a budget of which only the reserve is left silence it', () => {
  assert.equal(reportsOf({ intervalS: 0 }).after(1e6, 50), undefined);
  assert.equal(reportsOf({ isTight: true }).after(1e6, 50), undefined);
});

test('the percentage never goes back from one state to the next, and counts only its own update', () => {
  const states = [
    'planned',
    'downloading',
    'verified',
    'staged',
    'promoted',
    'installing',
    'activating',
    'probing',
  ] as const;
  const step = { tx: 'other', state: 'downloading', doneBytes: 1, totalBytes: 1 } as const;
  const percents = states.map((state) => percentOf({ id: 't1', state }, step) ?? Number.NaN);
  assert.deepEqual(
    percents,
    [...percents].sort((a, b) => a - b),
  );
  assert.equal(percentOf({ id: 't1', state: 'downloading' }, step), 0);
});

test('speed and time left are of what came since the first count', () => {
  let nowMs = 0;
  const pace = createPace({ monotonicMs: () => nowMs });
  assert.equal(pace(1_000_000, 4_000_000), '');
  nowMs = 2000;
  assert.equal(pace(2_000_000, 4_000_000), '500 KB/s, 4 s left');
});
