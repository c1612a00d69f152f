/** How results look on stdout: at most as wide as the terminal, in colour only on one and never with NO_COLOR. */
import type { CommandIo } from './command.ts';

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'dim';

export interface Cell {
  text: string;
  tone: Tone;
}

const CODES: Readonly<Record<Exclude<Tone, 'plain'>, string>> = {
  good: '32',
  warn: '33',
  bad: '31',
  dim: '2',
};
/** A smaller width means a terminal of unknown size: a serial console says 0. */
const LEAST_COLUMNS = 20;
const USUAL_COLUMNS = 80;
const NO_BREAK = '\u00a0';

export function cell(text: string, tone: Tone = 'plain'): Cell {
  return { text, tone };
}

/** The width that a terminal says it has, unless that cannot be. */
export function believeColumns(columns: number | undefined): number {
  return columns !== undefined && columns >= LEAST_COLUMNS ? columns : USUAL_COLUMNS;
}

/** Columns to fit into; without end when stdout is not a terminal, because a program reads it then. */
function screenWidth(io: CommandIo): number {
  return io.isTerminal ? believeColumns(io.columns) : Number.POSITIVE_INFINITY;
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

/** The same on stderr, where results are not to be mixed with it. */
export function printRemark(io: CommandIo, text: string, indent = 2): void {
  const width = io.terminal === undefined ? Number.POSITIVE_INFINITY : believeColumns(io.columns);
  io.stderr(`${foldText(printable(text), width, indent).join('\n')}\n`);
}

/** Prints a label and its text in two columns; the lines after the first stand below the text. */
export function printLabelled(io: CommandIo, label: string, text: string, labelColumns: number): void {
  // The label is one word with its spaces, so that it is not wrapped.
  const row = `${label.padEnd(labelColumns).replaceAll(' ', NO_BREAK)}${printable(text)}`;
  const lines = foldText(row, screenWidth(io), labelColumns);
  io.stdout(`${lines.join('\n').replaceAll(NO_BREAK, ' ')}\n`);
}

/**
 * `text` in lines of at most `width`, the lines after the first indented. A word that is too long is cut. Each line holds
 * something of the text besides its indent, whatever the width: it always ends.
 */
export function foldText(text: string, width: number, indent: number): string[] {
  const most = width >= 1 ? Math.floor(width) : 1;
  const margin = ' '.repeat(Math.max(0, Math.min(indent, most - 1)));
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const candidate = line.trim() === '' ? `${line}${word}` : `${line} ${word}`;
    if (candidate.length <= most) {
      line = candidate;
      continue;
    }
    if (line.trim() !== '') lines.push(line);
    line = `${lines.length === 0 ? '' : margin}${word}`;
    while (line.length > most) {
      lines.push(line.slice(0, most));
      line = margin + line.slice(most);
    }
  }
  return [...lines, line];
}

export function cut(text: string, width: number): string {
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
