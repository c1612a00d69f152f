/** The place in test/bench/README.md that holds what was measured: written by the bench, never by hand. */
import { type Row, renderPeers, renderTable } from './row.ts';

const [BEGIN, END] = ['<!-- make bench: begin -->', '<!-- make bench: end -->'];

/** `text` with the table of `rows` between the two marks. Throws when there are none. */
export function withFigures(text: string, rows: readonly Row[]): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the README has no '${BEGIN}' ... '${END}'`);
  const figures = `${renderTable(rows)}\nBeside gwe:\n\n${renderPeers(rows)}`;
  return `${text.slice(0, begin + BEGIN.length)}\n${figures}${text.slice(end)}`;
}
