import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addEntry, createBook } from '../../../../src/agent/traffic/book.ts';
import { createBudget, periodOf } from '../../../../src/agent/traffic/budget.ts';
import type { TrafficLedger } from '../../../../src/agent/traffic/ledger.ts';
import { ENGINE_SETTINGS, type EngineSettings } from '../../../../src/config/schema.ts';
import type { TrafficPurpose } from '../../../../src/protocol/transport-types.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import { createJournal } from '../../../../src/update/journal.ts';

const DAY_MS = 24 * 3600 * 1000;
const NOW = '2026-11-21';

/** A budget of 1,000,000 bytes with a fifth of it as reserve, on the 21st, of which `usedBytes` are gone. */
function budgetWith(usedBytes: number, now: string | undefined = NOW) {
  const root = mkdtempSync(join(tmpdir(), 'gwe-budget-'));
  const layout = createLayout(root);
  const book = createBook();
  const spend = (bytes: number, day: string | undefined): void =>
    addEntry(
      book,
      {
        iface: 'eth0',
        purpose: 'download',
        rxBytes: bytes,
        txBytes: 0,
        whole: { rxBytes: bytes, txBytes: 0 },
      },
      day,
    );
  spend(usedBytes, NOW);
  const ledger: TrafficLedger = {
    add: () => undefined,
    countAs: () => undefined,
    book: () => book,
    trustedMs: () => (now === undefined ? undefined : Date.parse(now)),
    monthMs: () => (now === undefined ? undefined : Date.parse(now)),
    isByPlatform: () => false,
    own: () => undefined,
    save: () => undefined,
    flush: () => undefined,
  };
  const defaults = Object.fromEntries(
    Object.entries(ENGINE_SETTINGS).map(([name, spec]) => [name, spec.default]),
  );
  const time = { uptimeMs: 1000 };
  const settings = { ...defaults, budgetMonthBytes: 1_000_000 } as unknown as EngineSettings;
  const budget = createBudget({
    layout,
    ledger,
    journal: createJournal(layout.journal),
    settings: () => settings,
    uptimeMs: () => time.uptimeMs,
  });
  return { budget, spend, settings, time, end: () => rmSync(root, { recursive: true }) };
}

test('the period begins on the start day, across the ends of months and years', () => {
  assert.deepEqual(periodOf('2026-11-23', 1), ['2026-11-01', '2026-12-01']);
  assert.deepEqual(periodOf('2026-11-23', 24), ['2026-10-24', '2026-11-24']);
  assert.deepEqual(periodOf('2026-01-02', 15), ['2025-12-15', '2026-01-15']);
  assert.deepEqual(periodOf('2026-12-31', 28), ['2026-12-28', '2027-01-28']);
});

test('an update that fits goes, another waits; an urgent one may use the reserve', () => {
  const { budget, end } = budgetWith(500_000);
  assert.equal(budget.allows(200_000, false), true);
  assert.equal(budget.allows(300_000, false), false);
  assert.equal(budget.allows(300_000, true), true);
  assert.throws(() => budget.require("fetch 'a'", 300_000, false), { code: 'BUDGET_SPENT' });
  // One check-in a day is kept from urgent commands too: 10 days of 4096 bytes.
  assert.equal(budget.allows(450_000, true), false);
  end();
});

test('no request begins above the budget, no plain download within the reserve', () => {
  const { budget, spend, end } = budgetWith(799_000);
  budget.gate('download');
  spend(1000, NOW);
  assert.throws(() => budget.gate('download'), { code: 'BUDGET_SPENT' });
  budget.gate('read');
  spend(200_000, NOW);
  assert.throws(() => budget.gate('write'), { code: 'BUDGET_SPENT' });
  end();
});

test('with nothing left commands are looked for once a day, with what taking one over needs, and no more', () => {
  const { budget, time, end } = budgetWith(1_000_000);
  const allowed = (purpose: TrafficPurpose): boolean => {
    try {
      budget.gate(purpose);
      return true;
    } catch {
      return false;
    }
  };
  for (let day = 0; day < 60; day++) {
    assert.deepEqual([allowed('write'), allowed('download')], [false, false]);
    const looks = Array.from({ length: 10 }, () => allowed('read')).filter(Boolean).length;
    assert.equal(looks, 4, `day ${day}`);
    for (let hour = 1; hour < 23; hour++) {
      time.uptimeMs += DAY_MS / 24;
      assert.equal(allowed('read'), false, `day ${day}, hour ${hour}`);
    }
    time.uptimeMs += DAY_MS / 12;
  }
  end();
});

test('in the reserve, check-ins are spread over the rest of the month', () => {
  const wide = budgetWith(100);
  assert.equal(wide.budget.stretch(1000), 1000);
  const tight = budgetWith(900_000);
  // 100,000 bytes of 2048 each are 48 check-ins in 10 days.
  assert.equal(tight.budget.stretch(1000), (10 * DAY_MS) / 48);
  assert.equal(tight.budget.stretch(6 * 3600 * 1000), 6 * 3600 * 1000);
  const spent = budgetWith(1_000_000);
  assert.equal(spent.budget.stretch(1000), DAY_MS);
  for (const each of [wide, tight, spent]) each.end();
});

test('bytes of unknown days count, and a clock that nobody trusts brings no new month', () => {
  const { budget, spend, end } = budgetWith(400_000);
  spend(300_000, undefined);
  assert.equal(budget.state()?.usedBytes, 700_000);
  end();
  const lost = budgetWith(400_000, undefined);
  assert.equal(lost.budget.state()?.from, '2026-11-01');
  assert.equal(lost.budget.state()?.usedBytes, 400_000);
  lost.end();
  const next = budgetWith(400_000, '2026-12-01');
  assert.equal(next.budget.state()?.usedBytes, 0);
  next.end();
});

test('a look whose answer was large is over for the day', () => {
  const { budget, spend, end } = budgetWith(1_000_000);
  assert.equal(budget.gate('read'), 16 * 1024);
  spend(20_000, NOW);
  assert.throws(() => budget.gate('read'), { code: 'BUDGET_SPENT' });
  end();
});

test('without budget_month nothing is held back', () => {
  const { budget, settings, end } = budgetWith(10_000_000);
  settings.budgetMonthBytes = 0;
  assert.equal(budget.state(), undefined);
  budget.gate('download');
  assert.equal(budget.stretch(5), 5);
  assert.equal(budget.allows(1e12, false), true);
  end();
});
