/**
 * `gwe traffic`: what the platform has cost, by day or by month, interface and purpose. TCP payload, TLS included.
 *
 * `--json`: {version, since, periods: [{period, interface, purpose, rxBytes, txBytes, requests}], budget:
 * {limitBytes, usedBytes, leftBytes, reserveBytes, from, until, plan, waiting: {app, appVersion, neededBytes}}};
 * `period` is a day or with --month a month, null for what was counted while the clock could not be trusted; `budget`
 * is null without one.
 */
import type { AgentContext } from '../../agent/run/context.ts';
import { type Book, PURPOSES, sumTable, type Table } from '../../agent/traffic/book.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandIo, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { type Cell, cell, printParagraph, renderBytes } from '../shell/screen.ts';

export const trafficCommand: CommandSpec = {
  path: ['traffic'],
  positionals: [],
  summary: 'Show the bytes that gwe has sent and received, by purpose, and what is left of the data budget',
  options: [{ name: 'month', help: 'by month instead of by day' }, ...LIST_OPTIONS],
  run: runTraffic,
};

/** How many days are shown; the months are all shown. */
const SHOWN_DAYS = 31;

const FIELDS = ['period', 'interface', 'purpose', 'rxBytes', 'txBytes', 'requests'] as const;

type Period = readonly [period: string | undefined, table: Table];

async function runTraffic(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const context = gatewayOf(call);
  const book = context.ledger.book();
  const periods = periodsOf(book, options.has('month'));
  const rows = periods.flatMap(renderPeriod);
  printListing(call, {
    document: { since: book.since ?? null, periods: rows, budget: renderBudget(context) },
    fields: FIELDS,
    rows,
    printText() {
      if (periods.length === 0) io.stdout('no traffic yet\n');
      else printPeriods(io, periods, options.has('month'));
      printParagraph(io, describeBudget(context));
    },
  });
  return EXIT.ok;
}

function periodsOf(book: Book, byMonth: boolean): Period[] {
  const named = Object.entries(byMonth ? book.months : book.days).sort(([a], [b]) => (a < b ? -1 : 1));
  const unknown: Period[] = sumTable(book.unknown).num === 0 ? [] : [[undefined, book.unknown]];
  return [...(byMonth ? named : named.slice(-SHOWN_DAYS)), ...unknown];
}

function renderPeriod([period, table]: Period): Record<(typeof FIELDS)[number], unknown>[] {
  return Object.entries(table).flatMap(([iface, row]) =>
    Object.entries(row).map(([purpose, { rx, tx, num }]) => ({
      period: period ?? null,
      interface: iface,
      purpose,
      rxBytes: rx,
      txBytes: tx,
      requests: num,
    })),
  );
}

/** One row for each period, one column for each purpose that ever came up. */
function printPeriods(io: CommandIo, periods: readonly Period[], byMonth: boolean): void {
  const used = PURPOSES.filter((purpose) =>
    periods.some(([, table]) => Object.values(table).some((row) => row[purpose] !== undefined)),
  );
  const columns = [
    { title: byMonth ? 'MONTH' : 'DAY (UTC)', rank: 0 },
    { title: 'SENT', rank: 1 },
    { title: 'RECEIVED', rank: 1 },
    { title: 'REQUESTS', rank: 2 },
    ...used.map((purpose) => ({ title: purpose.toUpperCase(), rank: 3 })),
  ];
  printTable(
    io,
    columns,
    periods.map(([period, table]) => periodRow(period, table, used)),
  );
}

function periodRow(
  period: string | undefined,
  table: Table,
  used: readonly (typeof PURPOSES)[number][],
): Cell[] {
  const { rxBytes, txBytes, num } = sumTable(table);
  const both = (purpose: (typeof PURPOSES)[number]): number =>
    Object.values(table).reduce((sum, row) => sum + (row[purpose]?.rx ?? 0) + (row[purpose]?.tx ?? 0), 0);
  return [
    cell(period ?? 'unknown'),
    cell(renderBytes(txBytes)),
    cell(renderBytes(rxBytes)),
    cell(String(num)),
    ...used.map((purpose) => cell(renderBytes(both(purpose)), purpose === 'wasted' ? 'bad' : 'plain')),
  ];
}

function planOf(context: Pick<AgentContext, 'budget'>): 'free' | 'reserve' | 'wait' {
  if (context.budget.waiting() !== undefined) return 'wait';
  return context.budget.state()?.isTight === true ? 'reserve' : 'free';
}

function renderBudget(context: Pick<AgentContext, 'budget'>) {
  const state = context.budget.state();
  if (state === undefined) return null;
  const { limitBytes, usedBytes, leftBytes, reserveBytes, from, until } = state;
  const waiting = context.budget.waiting();
  return {
    limitBytes,
    usedBytes,
    leftBytes,
    reserveBytes,
    from,
    until,
    plan: planOf(context),
    waiting:
      waiting === undefined
        ? null
        : { app: waiting.app, appVersion: waiting.version, neededBytes: waiting.neededBytes },
  };
}

function describeBudget(context: Pick<AgentContext, 'budget'>): string {
  const state = context.budget.state();
  if (state === undefined) return 'budget: none (budget_month is 0)';
  const waiting = context.budget.waiting();
  const tail =
    waiting !== undefined
      ? `; ${waiting.app} ${waiting.version} waits (${renderBytes(waiting.neededBytes)})`
      : state.isTight
        ? '; only the reserve is left: check-ins are rare until then'
        : '';
  return (
    `budget: ${renderBytes(state.usedBytes)} of ${renderBytes(state.limitBytes)} used since ${state.from}, ` +
    `${renderBytes(state.leftBytes)} left until ${state.until} (${renderBytes(state.reserveBytes)} of it reserve)${tail}`
  );
}
