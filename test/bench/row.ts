/** The rows of the table: ours, the peer's, their ratio, and what was to be reached. */
import { type Figure, isSettled, type Result, ratioOf, valuesOf } from './sample.ts';

export interface Row {
  /** Stable: the committed figures are found by it. */
  key: string;
  what: string;
  unit: string;
  ours: Figure;
  runs: number;
  /** `does` says what it did, and `ratio` is of runs side by side. */
  peer?: { name: string; does: string; figure: Figure; ratio: Figure };
  /** The ratio to the peer where there is one, else the figure itself, that is to be reached at most. */
  goal?: number;
  /** Too noisy to hold a change to. */
  isOnlyShown?: boolean;
}

/** What a run is judged by: the ratio where there is a peer, else the figure. */
export function judged(row: Row): Figure {
  return row.peer?.ratio ?? row.ours;
}

export function rowOf(
  facts: Pick<Row, 'key' | 'what' | 'unit' | 'goal' | 'isOnlyShown'> & { quantity: string },
  ours: Result | undefined,
  peer?: Result,
): Row {
  const { quantity, ...rest } = facts;
  const figure = ours?.values[quantity];
  if (ours === undefined || figure === undefined) throw new Error(`no ${quantity} for ${facts.key}`);
  return {
    ...rest,
    ours: figure,
    runs: ours.samples.length,
    ...(peer === undefined ? {} : { peer: peerOf(ours, peer, quantity) }),
  };
}

function peerOf(ours: Result, peer: Result, quantity: string): NonNullable<Row['peer']> {
  const figure = peer.values[quantity];
  if (figure === undefined) throw new Error(`no ${quantity} of '${peer.name}'`);
  const ratio = ratioOf(valuesOf(ours.samples, quantity), valuesOf(peer.samples, quantity));
  return { name: peer.name, does: peer.what, figure, ratio };
}

/** Ready for the README. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { median, noise } = judged(row);
    return [
      row.what,
      withUnit(row.ours.median, row.unit),
      row.peer === undefined ? '' : `${withUnit(row.peer.figure.median, row.unit)} (${row.peer.name})`,
      row.peer === undefined ? '' : `**${median.toFixed(2)}**`,
      row.goal === undefined ? '' : `${row.goal}${median <= row.goal ? '' : ' (missed)'}`,
      `${(noise * 100).toFixed(0)} %${isSettled({ median, noise }, row.runs) ? '' : ', not settled'}, ${row.runs}`,
    ];
  });
  const lines = [
    ['what', 'gwe', 'beside it', 'ratio', 'at most', 'noise, runs'],
    ['---', '--:', '--:', '--:', '--:', '--:'],
    ...cells,
  ];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

/** What each peer did, once. */
export function renderPeers(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ peer }) => (peer === undefined ? [] : [`- ${peer.name}: ${peer.does}`]));
  return `${[...new Set(lines)].join('\n')}\n`;
}

function withUnit(value: number, unit: string): string {
  return `${show(value)} ${unit}`.trimEnd();
}

function show(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
