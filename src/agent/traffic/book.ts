/** The traffic ledger as data: bytes and requests per interface and purpose, in all, per month and per day. Pure. */
import * as v from 'valibot';

/**
 * What a request was for: a look for commands; the same with reports in it; an app's bytes; gwe's own; a key; or
 * nothing at all, because no usable answer came.
 */
export const PURPOSES = ['check-in', 'report', 'download', 'self-update', 'activation', 'wasted'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Two billing periods of any length that operators have. */
const MOST_DAYS = 62;
const MOST_MONTHS = 24;
/** A modem that reappears as ppp0, ppp1, ... must not fill the ledger. */
const MOST_INTERFACES = 8;
const OTHERS = 'other';

const BytesSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const CellSchema = v.object({ rx: BytesSchema, tx: BytesSchema, num: BytesSchema });
const TotalSchema = v.object({ ...CellSchema.entries, maxRx: BytesSchema, maxTx: BytesSchema });
const table = <T extends v.GenericSchema>(cell: T) =>
  v.record(v.pipe(v.string(), v.maxLength(64)), v.record(v.picklist(PURPOSES), cell));
const DaySchema = v.pipe(v.string(), v.regex(/^\d{4}-\d\d-\d\d$/));
const MonthSchema = v.pipe(v.string(), v.regex(/^\d{4}-\d\d$/));

type Cell = v.InferOutput<typeof CellSchema>;
type Total = v.InferOutput<typeof TotalSchema>;
/** By interface, then by purpose; what is not there is zero. */
export type Table<T extends Cell = Cell> = Record<string, Partial<Record<Purpose, T>>>;

export const BookSchema = v.object({
  version: v.literal(1),
  /** Grows with each request: of two copies the higher one is the later one. */
  sequence: BytesSchema,
  /** The first day that is known. */
  since: v.optional(DaySchema),
  totals: table(TotalSchema),
  months: v.record(MonthSchema, table(CellSchema)),
  days: v.record(DaySchema, table(CellSchema)),
  /** Counted while the clock could not be trusted. */
  unknown: table(CellSchema),
});

export interface Book {
  version: 1;
  sequence: number;
  since?: string | undefined;
  totals: Table<Total>;
  months: Record<string, Table>;
  days: Record<string, Table>;
  unknown: Table;
}

/** What one request, or a part of a long one, has cost. */
export interface Entry {
  iface: string;
  purpose: Purpose;
  rxBytes: number;
  txBytes: number;
  /** The bytes of the whole request, from which the largest one is found; set with its last part. */
  whole?: { rxBytes: number; txBytes: number };
}

export function createBook(): Book {
  return { version: 1, sequence: 0, totals: {}, months: {}, days: {}, unknown: {} };
}

/** Adds an entry to the day (`2026-11-23`), or to the unknown days. Changes `book`. */
export function addEntry(book: Book, entry: Entry, day: string | undefined): void {
  const { iface, purpose, rxBytes, txBytes, whole } = entry;
  const cell: Cell = { rx: rxBytes, tx: txBytes, num: whole === undefined ? 0 : 1 };
  book.sequence++;
  addCell(book.totals, iface, purpose, cell);
  const total = cellOf(book.totals, iface, purpose);
  total.maxRx = Math.max(total.maxRx ?? 0, whole?.rxBytes ?? 0);
  total.maxTx = Math.max(total.maxTx ?? 0, whole?.txBytes ?? 0);
  if (day === undefined) addCell(book.unknown, iface, purpose, cell);
  else addToDay(book, day, { [iface]: { [purpose]: cell } });
}

/**
 * The clock can be trusted: what was counted without a day, and what stands under days that have not come yet, belongs
 * to `day`. True if anything was moved. Changes `book`.
 */
export function nameDays(book: Book, day: string): boolean {
  const wrong = Object.keys(book.days).filter((known) => known > day);
  const moved: Table[] = Object.keys(book.unknown).length === 0 ? [] : [book.unknown];
  for (const known of wrong) {
    const table = book.days[known] ?? {};
    moved.push(table);
    delete book.days[known];
    const month = known.slice(0, 7);
    addTable(tableOf(book.months, month), table, -1);
    if (sumTable(book.months[month]).num === 0) delete book.months[month];
  }
  if (moved.length === 0) return false;
  book.unknown = {};
  book.sequence++;
  for (const table of moved) addToDay(book, day, table);
  return true;
}

/** Bytes both ways and requests of everything in `table`. */
export function sumTable(table: Table | undefined): { rxBytes: number; txBytes: number; num: number } {
  return sumCells(Object.values(table ?? {}).flatMap((row) => Object.values(row)));
}

export function sumCells(cells: readonly Cell[]): { rxBytes: number; txBytes: number; num: number } {
  const sum = (key: keyof Cell): number => cells.reduce((total, cell) => total + cell[key], 0);
  return { rxBytes: sum('rx'), txBytes: sum('tx'), num: sum('num') };
}

/** Bytes both ways of the days from `firstDay` on, unknown days included: they may be of this period. */
export function usedSince(book: Book, firstDay: string): number {
  const tables = Object.entries(book.days).filter(([day]) => day >= firstDay);
  return [book.unknown, ...tables.map(([, table]) => table)]
    .map(sumTable)
    .reduce((total, { rxBytes, txBytes }) => total + rxBytes + txBytes, 0);
}

/** The later of two copies, `undefined` if there is none. */
export function laterBook(a: Book | undefined, b: Book | undefined): Book | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.sequence > a.sequence ? b : a;
}

function addToDay(book: Book, day: string, table: Table): void {
  if (book.since === undefined || day < book.since) book.since = day;
  addTable(tableOf(book.days, day), table);
  addTable(tableOf(book.months, day.slice(0, 7)), table);
  dropOldest(book.days, MOST_DAYS);
  dropOldest(book.months, MOST_MONTHS);
}

function dropOldest(byTime: Record<string, Table>, most: number): void {
  for (const key of Object.keys(byTime).sort().slice(0, -most)) delete byTime[key];
}

function addTable(into: Table, table: Table, sign = 1): void {
  for (const [iface, row] of Object.entries(table)) {
    for (const [purpose, { rx, tx, num }] of Object.entries(row)) {
      addCell(into, iface, purpose as Purpose, { rx: sign * rx, tx: sign * tx, num: sign * num });
    }
  }
}

function addCell(table: Table, iface: string, purpose: Purpose, added: Cell): void {
  const cell = cellOf(table, iface, purpose);
  cell.rx = Math.max(0, cell.rx + added.rx);
  cell.tx = Math.max(0, cell.tx + added.tx);
  cell.num = Math.max(0, cell.num + added.num);
}

function cellOf(table: Table, iface: string, purpose: Purpose): Cell & Partial<Total> {
  const name = iface in table || Object.keys(table).length < MOST_INTERFACES ? iface : OTHERS;
  const row = table[name] ?? {};
  const cell = row[purpose] ?? { rx: 0, tx: 0, num: 0 };
  table[name] = row;
  row[purpose] = cell;
  return cell;
}

function tableOf(byTime: Record<string, Table>, key: string): Table {
  const table = byTime[key] ?? {};
  byTime[key] = table;
  return table;
}
