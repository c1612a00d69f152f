/** Tables: all columns where nobody looks or there is room, else the most important ones. */
import type { CommandIo } from '../shell/command.ts';
import { believeColumns, type Cell, cell, cut, paint, printable } from '../shell/screen.ts';

export interface Column {
  /** The heading; in capitals, as in kubectl. */
  title: string;
  /** Columns of the highest rank are left out first; one of rank 0 says which row it is, and is neither left out nor cut. */
  rank: number;
  /** Free text: it may be cut down to a few words before anything is left out. */
  isText?: boolean;
}

const LEAST_TEXT = 16;
const GAP = 2;

/** Prints a heading and the rows; as wide as it comes out where stdout is not a terminal. */
export function printTable(
  io: CommandIo,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): void {
  const all = [columns.map(({ title }) => cell(title, 'dim')), ...rows].map((row) =>
    row.map((each) => ({ ...each, text: printable(each.text) })),
  );
  const natural = columns.map((_, at) => Math.max(...all.map((row) => row[at]?.text.length ?? 0)));
  const screen = io.isTerminal ? believeColumns(io.columns) : Number.POSITIVE_INFINITY;
  const widths = fitColumns(columns, natural, screen);
  const last = widths.findLastIndex((width) => width !== undefined);
  for (const row of all) {
    const line = row.flatMap((each, at) => {
      const width = widths[at];
      if (width === undefined) return [];
      const text = cut(each.text, width);
      return [`${paint(io, text, each.tone)}${' '.repeat(at === last ? 0 : width - text.length)}`];
    });
    io.stdout(`${line.join(' '.repeat(GAP)).trimEnd()}\n`);
  }
}

/** The width of each column, `undefined` for one that is left out. Only the columns of rank 0 may stand out. */
function fitColumns(
  columns: readonly Column[],
  natural: readonly number[],
  screen: number,
): (number | undefined)[] {
  const widths: (number | undefined)[] = [...natural];
  for (;;) {
    const over = totalWidth(widths) - screen;
    if (over <= 0) return widths;
    const at = findText(columns, widths);
    const slack = at === undefined ? 0 : (natural[at] ?? 0) - LEAST_TEXT;
    if (at !== undefined && slack >= over) {
      widths[at] = (natural[at] ?? 0) - over;
      return widths;
    }
    const out = leastImportant(columns, widths);
    if (out === undefined) return widths;
    widths[out] = undefined;
  }
}

function totalWidth(widths: readonly (number | undefined)[]): number {
  const shown = widths.filter((width) => width !== undefined);
  return shown.reduce((sum, width) => sum + width, GAP * Math.max(0, shown.length - 1));
}

/** The widest of the texts that are shown. */
function findText(columns: readonly Column[], widths: readonly (number | undefined)[]): number | undefined {
  const texts = columns.flatMap(({ isText }, at) =>
    isText === true && widths[at] !== undefined ? [at] : [],
  );
  return texts.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
}

function leastImportant(
  columns: readonly Column[],
  widths: readonly (number | undefined)[],
): number | undefined {
  const shown = columns.flatMap(({ rank }, at) =>
    rank > 0 && widths[at] !== undefined ? [{ rank, at }] : [],
  );
  return shown.sort((a, b) => b.rank - a.rank || b.at - a.at)[0]?.at;
}
