/** Lines over time: drawn, summed up in a sentence, and as a table, so that nothing is shown by a picture or a colour alone. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { exactTime } from '../base/format.ts';
import { plotWords as says } from '../base/plot-words.ts';
import { Table } from '../parts/table.tsx';
import type { Drawing, Lines } from './plot-canvas.ts';

/** Lines are told apart by their dashes. */
export const DASHES: readonly (readonly number[])[] = [[], [8, 4], [2, 3], [12, 3, 2, 3], [4, 8]];
const MOST_ROWS = 50;

interface PlotProps {
  readonly name: string;
  readonly times: readonly number[];
  readonly lines: readonly { readonly label: string; readonly values: readonly (number | null)[] }[];
  say(value: number): string;
}

export function Plot({ name, times, lines, say }: PlotProps) {
  const drawn = lines.map((line, at) => ({ ...line, dash: DASHES[at % DASHES.length] ?? [] }));
  const { host, isBroken } = useDrawing({ times, lines: drawn, say });
  const rows = times.map((at, index) => ({ at, index })).toReversed();
  return (
    <figure class="plot">
      <figcaption>{name}</figcaption>
      {isBroken ? (
        <p class="hint">{says.notDrawn}</p>
      ) : (
        <div ref={host} class="canvas" role="img" aria-label={summaryOf(name, lines, say)} />
      )}
      {lines.length > 1 && (
        <ul class="lines">
          {drawn.map(({ label, dash }) => (
            <li key={label}>
              <svg width="40" height="8" aria-hidden="true">
                <line x1="0" y1="4" x2="40" y2="4" stroke-dasharray={dash.join(' ')} />
              </svg>{' '}
              {label}
            </li>
          ))}
        </ul>
      )}
      <details>
        <summary>{says.table}</summary>
        {rows.length > MOST_ROWS && <p class="hint">{says.shownLast(MOST_ROWS, rows.length)}</p>}
        <Table
          name={name}
          heads={[says.when, ...lines.map(({ label }) => label)]}
          rows={rows.slice(0, MOST_ROWS).map(({ at, index }) => ({
            key: String(index),
            cells: [exactTime(at), ...lines.map(({ values }) => sayOne(values[index], say))],
          }))}
        />
      </details>
    </figure>
  );
}

const sayOne = (value: number | null | undefined, say: (value: number) => string): string =>
  value === null || value === undefined ? '-' : say(value);

function summaryOf(name: string, lines: PlotProps['lines'], say: PlotProps['say']): string {
  return lines
    .map(({ label, values }) => {
      const known = values.filter((value) => value !== null);
      const [first = 0, last = 0] = [known[0], known.at(-1)];
      const whose = lines.length === 1 ? name : `${name}, ${label}`;
      const ends = { first: say(first), last: say(last) };
      return says.summary(whose, { ...ends, least: say(Math.min(...known)), most: say(Math.max(...known)) });
    })
    .join('. ');
}

/** Draws into `host` once the library is there, and again when the figures or the number of lines have changed. */
function useDrawing(lines: Lines) {
  const host = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | undefined>(undefined);
  const [isBroken, setBroken] = useState(false);
  const latest = useRef(lines);
  latest.current = lines;
  const labels = JSON.stringify(lines.lines.map(({ label }) => label));
  useEffect(() => {
    let isGone = false;
    import('./plot-canvas.ts').then(
      ({ draw }) => {
        if (!isGone && host.current !== null) drawing.current = draw(host.current, latest.current);
      },
      () => setBroken(true),
    );
    return () => {
      isGone = true;
      drawing.current?.end();
      drawing.current = undefined;
    };
  }, [labels]);
  const key = JSON.stringify([lines.times, lines.lines]);
  useEffect(() => drawing.current?.change(latest.current), [key]);
  return { host, isBroken };
}
