/** How results look on stdout: at most as wide as the terminal, in colour only on one and never with NO_COLOR. */
import type { CommandIo } from './command.ts';

export type Tone = 'plain' | 'good' | 'bad' | 'dim';

export interface Cell {
  text: string;
  tone: Tone;
}

const CODES: Readonly<Record<Exclude<Tone, 'plain'>, string>> = { good: '32', bad: '31', dim: '2' };
const NARROWEST = 40;
const NO_BREAK = '\u00a0';

export function cell(text: string, tone: Tone = 'plain'): Cell {
  return { text, tone };
}

/** Columns to fit into; without end when stdout is not a terminal, because a program reads it then. */
export function screenWidth(io: CommandIo): number {
  return io.isTerminal ? Math.max(NARROWEST, io.columns) : Number.POSITIVE_INFINITY;
}

export function paint(io: CommandIo, text: string, tone: Tone): string {
  const isColoured = io.isTerminal && (io.env.NO_COLOR ?? '') === '' && io.env.TERM !== 'dumb';
  return tone === 'plain' || !isColoured ? text : `\u001b[${CODES[tone]}m${text}\u001b[0m`;
}

/** Prints `text` broken between words; the lines after the first are indented by `indent`. */
export function printParagraph(io: CommandIo, text: string, indent = 2, tone: Tone = 'plain'): void {
  const lines = foldText(printable(text), screenWidth(io), indent);
  io.stdout(`${lines.map((line) => paint(io, line, tone)).join('\n')}\n`);
}

/** Prints a label and its text in two columns; the lines after the first stand below the text. */
export function printLabelled(io: CommandIo, label: string, text: string, labelColumns: number): void {
  // The label is one word with its spaces, so that it is not broken off.
  const row = `${label.padEnd(labelColumns).replaceAll(' ', NO_BREAK)}${printable(text)}`;
  const lines = foldText(row, screenWidth(io), labelColumns);
  io.stdout(`${lines.join('\n').replaceAll(NO_BREAK, ' ')}\n`);
}

/** `text` in lines of at most `width`, the lines after the first indented. A word that is too long is cut. */
export function foldText(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const candidate = line.trim() === '' ? `${line}${word}` : `${line} ${word}`;
    if (candidate.length <= width) {
      line = candidate;
      continue;
    }
    if (line.trim() !== '') lines.push(line);
    line = `${' '.repeat(lines.length === 0 ? 0 : indent)}${word}`;
    while (line.length > width) {
      lines.push(line.slice(0, width));
      line = ' '.repeat(indent) + line.slice(width);
    }
  }
  return [...lines, line];
}

/** Prints rows in columns; the widest columns are cut where the terminal is too narrow for all. */
export function printTable(io: CommandIo, rows: readonly (readonly Cell[])[]): void {
  const clean = rows.map((row) => row.map((each) => ({ ...each, text: printable(each.text) })));
  const widths = fitWidths(columnWidths(clean), screenWidth(io));
  for (const row of clean) {
    const texts = row.map((each, column) => {
      const text = cut(each.text, widths[column] ?? 0);
      const padding = column === row.length - 1 ? '' : ' '.repeat((widths[column] ?? 0) - text.length);
      return `${paint(io, text, each.tone)}${padding}`;
    });
    io.stdout(`${texts.join('  ').trimEnd()}\n`);
  }
}

function columnWidths(rows: readonly (readonly Cell[])[]): number[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  return Array.from({ length: count }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.text.length ?? 0)),
  );
}

function fitWidths(wanted: readonly number[], width: number): number[] {
  const widths = [...wanted];
  const gaps = 2 * Math.max(0, widths.length - 1);
  const total = (): number => widths.reduce((sum, each) => sum + each, gaps);
  while (total() > width) {
    const widest = widths.indexOf(Math.max(...widths));
    widths[widest] = (widths[widest] ?? 1) - 1;
  }
  return widths;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}\u2026`;
}

/** Text from outside must not move the cursor or begin another line. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** One JSON document on one line. `version` says what the other fields mean; fields may be added to it. */
export function printDocument(io: CommandIo, document: Readonly<Record<string, unknown>>): void {
  io.stdout(`${JSON.stringify({ version: 1, ...document })}\n`);
}

/** `2026-11-23 12:00:00` in UTC. */
export function renderMoment(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');
}

/** `3 s`, `5 min`, `4 h`, `2 days`: how long something takes or is ago. */
export function renderSpan(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `512 B`, `3.4 KB`, `120 MB`: powers of 1000, as data plans are counted. */
export function renderBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
