/** The rows of the table: ours, the peer's, their ratio, and what was to be reached. */
import { type Figure, type Result, SETTLED_NOISE } from './sample.ts';

export interface Row {
  /** Stable: the committed figures are found by it. */
  key: string;
  what: string;
  unit: string;
  ours: Figure;
  runs: number;
  peer?: { name: string; figure: Figure };
  /** The ratio to the peer where there is one, else the figure itself, that is to be reached at most. */
  goal?: number;
}

/** What a run is judged by: the ratio where there is a peer, else the figure. */
export function judged(row: Row): Figure {
  if (row.peer === undefined) return row.ours;
  const { figure } = row.peer;
  return { median: row.ours.median / figure.median, noise: row.ours.noise + figure.noise };
}

export function rowOf(
  facts: Pick<Row, 'key' | 'what' | 'unit'> & { goal?: number; quantity: string; peerQuantity?: string },
  ours: Result | undefined,
  peer?: Result,
): Row {
  const { quantity, peerQuantity = quantity, ...rest } = facts;
  const found = peer?.values[peerQuantity];
  const figure = ours?.values[quantity];
  if (ours === undefined || figure === undefined) throw new Error(`no ${quantity} for ${facts.key}`);
  return {
    ...rest,
    ours: figure,
    runs: ours.runs,
    ...(peer === undefined || found === undefined ? {} : { peer: { name: peer.name, figure: found } }),
  };
}

/** Ready for the README. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { median, noise } = judged(row);
    const isSettled = noise <= 2 * SETTLED_NOISE;
    return [
      row.what,
      `${show(row.ours.median)} ${row.unit}`,
      row.peer === undefined ? '' : `${show(row.peer.figure.median)} ${row.unit} (${row.peer.name})`,
      row.peer === undefined ? '' : `**${median.toFixed(2)}**`,
      row.goal === undefined ? '' : `${row.goal}${median <= row.goal ? '' : ' (missed)'}`,
      `${(noise * 100).toFixed(0)} %${isSettled ? '' : ', not settled'}, ${row.runs}`,
    ];
  });
  const lines = [
    ['what', 'gwe', 'peer', 'ratio', 'at most', 'noise, runs'],
    ['---', '--:', '--:', '--:', '--:', '--:'],
    ...cells,
  ];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
