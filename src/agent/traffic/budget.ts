import * as v from 'valibot';
import { uptimeMs } from '../../base/clock.ts';
import { GweError } from '../../base/errors.ts';
import { storedFile } from '../../base/stored-file.ts';
import type { EngineSettings } from '../../config/schema.ts';
import type { TrafficPurpose } from '../../protocol/transport-types.ts';
import type { Layout } from '../../store/layout.ts';
import type { Journal } from '../../update/journal.ts';
import { type Book, sumCells, usedSince } from './book.ts';
import { createDailyLook, LOOK_REPLY_BYTES } from './daily-look.ts';
import type { TrafficLedger } from './ledger.ts';

/**
 * The data budget of a month. It never stops a request half way, and never lets one begin that would start above
 * it: so it is exceeded by one request at most. What is left last belongs to check-ins, spread over the rest of the
 * month.
 */

const DAY_MS = 24 * 3600 * 1000;
/** What a check-in costs as long as nothing is known about this gateway's. */
const USUAL_CHECK_IN_BYTES = 2048;
/** Kept from urgent commands too: one check-in a day, so that the gateway can still be reached. */
const DAILY_BYTES = 4096;
/** HTTP and TLS around the bytes of a tarball: records, headers, one handshake. */
const OVERHEAD_BYTES = 4096;
const OVERHEAD_SHARE = 0.02;
const LONGEST_PAUSE_MS = 7 * DAY_MS;

const LARGEST_WAIT_BYTES = 4096;

const WaitSchema = v.object({
  tx: v.string(),
  app: v.string(),
  version: v.string(),
  neededBytes: v.number(),
  urgent: v.boolean(),
});
/** An update whose bytes do not fit into what is left. */
type BudgetWait = v.InferOutput<typeof WaitSchema>;

export interface BudgetState {
  limitBytes: number;
  usedBytes: number;
  /** What is left of the limit; 0 when it is used up. */
  leftBytes: number;
  /** Kept for check-ins and urgent commands. */
  reserveBytes: number;
  /** First day of this period, and of the next one: `2026-11-01`. */
  from: string;
  until: string;
  /** Only the reserve is left: check-ins become rare and short. */
  isTight: boolean;
}

export interface Budget {
  /** `undefined` when there is none (`budget_month` = 0). */
  state(): BudgetState | undefined;
  /** Whether `bytes` of content may be fetched now, what goes around them included. */
  allows(bytes: number, urgent: boolean): boolean;
  /** Throws BUDGET_SPENT where `allows` is false: the update waits. `what` reads `fetch 'NAME'`. */
  require(what: string, bytes: number, urgent: boolean): void;
  /**
   * Throws BUDGET_SPENT where a request may not begin. Returns the largest answer it may have, where that is bounded.
   */
  gate(purpose: TrafficPurpose): number | undefined;
  /** The pause until the next check-in: longer than `pauseMs` when only the reserve is left. */
  stretch(pauseMs: number): number;
  waiting(): BudgetWait | undefined;
  /** Remembers what waits. True if that is news. */
  wait(waiting: BudgetWait): boolean;
  /** Nothing waits any more. */
  clearWait(): void;
}

interface BudgetParts {
  layout: Layout;
  ledger: TrafficLedger;
  journal: Journal;
  settings(): EngineSettings;
  /** Since this machine's boot. */
  uptimeMs?(): number;
}

export function createBudget(parts: BudgetParts): Budget {
  const waitFile = storedFile(parts.layout.budgetWait, {
    schema: WaitSchema,
    limitBytes: LARGEST_WAIT_BYTES,
  });
  const state = (): BudgetState | undefined => readState(parts);
  const floorOf = (found: BudgetState, urgent: boolean): number =>
    urgent ? Math.min(found.reserveBytes, DAILY_BYTES * daysLeft(parts.ledger, found)) : found.reserveBytes;
  const allows = (bytes: number, urgent: boolean): boolean => {
    const found = state();
    return found === undefined || costOf(bytes) <= found.leftBytes - floorOf(found, urgent);
  };
  const mayLook = createDailyLook(parts.layout.budgetLook, parts.uptimeMs ?? uptimeMs);
  const waiting = (): BudgetWait | undefined => waitFile.readOr(undefined);
  return {
    state,
    allows,
    require(what, bytes, urgent) {
      const found = state();
      if (found === undefined || allows(bytes, urgent)) return;
      const free = Math.max(0, found.leftBytes - floorOf(found, urgent));
      throw new GweError(
        'BUDGET_SPENT',
        `cannot ${what} now: ${costOf(bytes)} bytes needed, ${free} left of budget_month ${found.limitBytes}` +
          `${urgent ? '' : ' without its reserve'} until ${found.until}; it waits. Raise budget_month` +
          `${urgent ? '' : ', or send the command with "urgent": true'}`,
        { facts: { neededBytes: bytes, leftBytes: found.leftBytes } },
      );
    },
    gate(purpose) {
      const found = state();
      if (found === undefined) return undefined;
      const floor = purpose === 'download' ? floorOf(found, isUrgent(parts.journal)) : 0;
      if (found.leftBytes > floor) return undefined;
      if (mayLook(purpose, found.usedBytes)) return LOOK_REPLY_BYTES;
      throw new GweError(
        'BUDGET_SPENT',
        `cannot begin a request (${purpose}): ${found.usedBytes} bytes used since ${found.from}, ` +
          `budget_month is ${found.limitBytes}${floor > 0 ? ` and ${floor} of it are kept for check-ins` : ''}; ` +
          `the next month begins on ${found.until}`,
        { facts: { leftBytes: found.leftBytes } },
      );
    },
    stretch(pauseMs) {
      const found = state();
      if (found?.isTight !== true) return pauseMs;
      const spanMs = daysLeft(parts.ledger, found) * DAY_MS;
      const affordable = Math.floor(found.leftBytes / checkInBytes(parts.ledger.book()));
      // With none left gwe waits for the end of the month, a day at a time: the setting may be raised.
      const evenMs = affordable < 1 ? Math.min(spanMs, DAY_MS) : spanMs / affordable;
      return Math.max(pauseMs, Math.min(evenMs, LONGEST_PAUSE_MS));
    },
    waiting,
    wait(next) {
      const before = waiting();
      waitFile.write(next);
      return before?.tx !== next.tx;
    },
    clearWait() {
      if (waiting() !== undefined) waitFile.remove();
    },
  };
}

function readState({ ledger, settings }: BudgetParts): BudgetState | undefined {
  const { budgetMonthBytes: limitBytes, budgetReservePercent, budgetStartDay } = settings();
  if (limitBytes === 0) return undefined;
  const book = ledger.book();
  const [from, until] = periodOf(today(ledger, book), budgetStartDay);
  const usedBytes = usedSince(book, from);
  const leftBytes = Math.max(0, limitBytes - usedBytes);
  const reserveBytes = Math.floor((limitBytes * budgetReservePercent) / 100);
  return { limitBytes, usedBytes, leftBytes, reserveBytes, from, until, isTight: leftBytes <= reserveBytes };
}

/** Without a clock to trust it is the last day that was known, or a later one that must have come by now. */
function today(ledger: TrafficLedger, book: Book): string {
  const nowMs = ledger.monthMs();
  const least = nowMs === undefined ? '1970-01-01' : new Date(nowMs).toISOString().slice(0, 10);
  const known = Object.keys(book.days).sort().at(-1) ?? least;
  return ledger.trustedMs() === undefined && known > least ? known : least;
}

/** First day of the period that `day` is in, and of the next one. */
export function periodOf(day: string, startDay: number): [from: string, until: string] {
  const [year = 1970, month = 1, date = 1] = day.split('-').map(Number);
  const first = date >= startDay ? month : month - 1;
  const at = (offset: number): string =>
    new Date(Date.UTC(year, first - 1 + offset, startDay)).toISOString().slice(0, 10);
  return [at(0), at(1)];
}

/** Whole days until the next period, at least 1; a month when nobody knows. */
function daysLeft(ledger: TrafficLedger, { until }: BudgetState): number {
  const nowMs = ledger.monthMs();
  return nowMs === undefined ? 31 : Math.max(1, Math.ceil((Date.parse(until) - nowMs) / DAY_MS));
}

/** On average, a little more: the next one may carry a report. */
function checkInBytes(book: Book): number {
  const cells = Object.values(book.totals).flatMap((row) => [row['check-in'], row.report]);
  const { rxBytes, txBytes, num } = sumCells(cells.filter((cell) => cell !== undefined));
  return num === 0 ? USUAL_CHECK_IN_BYTES : Math.max(256, Math.ceil((1.5 * (rxBytes + txBytes)) / num));
}

function costOf(bytes: number): number {
  return bytes === 0 ? 0 : Math.ceil(bytes * (1 + OVERHEAD_SHARE)) + OVERHEAD_BYTES;
}

function isUrgent(journal: Journal): boolean {
  try {
    const open = journal.read();
    return open?.closed === false && open.urgent === true;
  } catch {
    return false;
  }
}

/** What the report of an update says about the budget; nothing where there is none. */
export function budgetNotes(
  context: { budget: Pick<Budget, 'state'> },
  way: 'full' | 'delta',
  bytes: number,
): string[] {
  const state = context.budget.state();
  if (state === undefined) return [];
  return [
    `data budget: ${way}, ${bytes} bytes; ${state.leftBytes} of ${state.limitBytes} were left until ${state.until}`,
  ];
}
