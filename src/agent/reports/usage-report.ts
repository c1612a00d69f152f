import { type Book, sumTable } from '../traffic/book.ts';
import type { Budget } from '../traffic/budget.ts';
import { nameOf, type SetAside } from './delivery.ts';
import type { Report } from './engine-report.ts';

/** `usage_report` (one-platform.md §4.2): the traffic ledger as old readers take it apart, and the budget behind it. */

interface UsageParts {
  book: Book;
  budget: Pick<Budget, 'state' | 'waiting'>;
  today: string | undefined;
  /** Reports that do not come through. */
  setAside: readonly SetAside[];
}

/**
 * Three levels: interface, group (`gwe`), method; `top_consumer` stands beside the groups. A reader of its time prints
 * a row for everything at the third level whose name is longer than two characters, so ours has two levels.
 */
export function renderUsageReport({ book, budget, today, setAside }: UsageParts): Report {
  const interfaces = Object.entries(book.totals).map(([iface, row]) => {
    const methods = Object.entries(row).map(([purpose, total]) => [
      purpose,
      { tot_rx: total.rx, max_rx: total.maxRx, tot_tx: total.tx, max_tx: total.maxTx, num: total.num },
    ]);
    return [iface, { top_consumer: 'gwe', gwe: Object.fromEntries(methods) }];
  });
  const month = sumTable(today === undefined ? undefined : book.months[today.slice(0, 7)]);
  const day = sumTable(today === undefined ? undefined : book.days[today]);
  const state = budget.state();
  const waiting = budget.waiting();
  const plan = waiting !== undefined ? 'wait' : state?.isTight === true ? 'reserve' : 'free';
  const ledger = {
    since: book.since ?? '',
    day: today ?? '',
    day_rx: day.rxBytes,
    day_tx: day.txBytes,
    month_rx: month.rxBytes,
    month_tx: month.txBytes,
    ...(setAside.length === 0 ? {} : { set_aside: setAside }),
    ...(state === undefined
      ? {}
      : {
          budget: state.limitBytes,
          budget_used: state.usedBytes,
          budget_left: state.leftBytes,
          budget_reserve: state.reserveBytes,
          budget_from: state.from,
          budget_until: state.until,
          budget_plan: plan,
          ...(waiting === undefined
            ? {}
            : {
                waiting: `${waiting.app} ${waiting.version}`.slice(0, 90),
                waiting_bytes: waiting.neededBytes,
              }),
        }),
  };
  // Every check-in adds to `check-in` and `report`: only what else was done makes the report worth sending on its own.
  const worth = Object.entries(book.totals).map(([iface, row]) => [
    iface,
    row.download?.num ?? 0,
    row['self-update']?.num ?? 0,
    row.activation?.num ?? 0,
  ]);
  return {
    text: JSON.stringify({ ...Object.fromEntries(interfaces), gwe_ledger: ledger }),
    stable: JSON.stringify([worth, plan, waiting?.tx, state?.limitBytes, setAside.map(nameOf)]),
  };
}
