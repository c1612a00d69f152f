/** Long texts on a terminal, through the pager that whoever sits there has chosen. */
import { showByProgram } from '../../base/process.ts';
import type { CommandIo } from './command.ts';
import { EXIT } from './exit.ts';
import { believeColumns, foldText } from './screen.ts';

const USUAL_PAGER = 'less';
const PAGE_COLUMNS = 80;
const NARROW_INDENT = 6;
const NO_BREAK = '\u00a0';
/** Ends at once where all fits, keeps colours, and leaves the text on the screen. */
const LESS_OPTIONS = 'FRX';

/** Prints `text`, through PAGER (less, if that is not set) where it is longer than the terminal. Returns the exit status. */
export function showPage(io: CommandIo, text: string): number {
  const shown = io.isTerminal ? fitPage(text, believeColumns(io.columns)) : text;
  if (!goesThroughPager(io, shown)) io.stdout(shown);
  return EXIT.ok;
}

/** On a narrower terminal than pages are made for, lines are folded between words, and columns move to the left. */
function fitPage(text: string, columns: number): string {
  if (columns >= PAGE_COLUMNS) return text;
  // What was folded for 80 columns is one line again first.
  const whole = text.replace(/\n {12,}(?=\S)/g, ' ').replace(/^(\S.*)\n(?=\S)/gm, '$1 ');
  const lines = whole.split('\n').flatMap((line) => {
    const margin = line.length - line.trimStart().length;
    const row = NO_BREAK.repeat(margin) + line.trimStart().replace(/ {3,}/g, '  ');
    return foldText(row, columns, NARROW_INDENT);
  });
  return lines.join('\n').replaceAll(NO_BREAK, ' ');
}

function goesThroughPager(io: CommandIo, text: string): boolean {
  const terminal = io.env.TERM ?? '';
  if (!io.isTerminal || terminal === '' || terminal === 'dumb') return false;
  if (io.rows === undefined || text.split('\n').length <= io.rows) return false;
  const [program = '', ...args] = (io.env.PAGER ?? USUAL_PAGER).split(/\s+/).filter((word) => word !== '');
  if (program === '' || program === 'cat') return false;
  return showByProgram([program, ...args], text, { LESS: LESS_OPTIONS, ...io.env });
}
