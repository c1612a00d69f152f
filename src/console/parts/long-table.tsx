/** A table of any number of rows, of which only the visible ones are in the page. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** The same as in the style sheet. */
const ROW_PX = 40;
/** Rows drawn above and below the visible ones. */
const SPARE = 10;

export interface Column<T> {
  readonly name: string;
  /** Not shown where there is little room. */
  readonly isWide?: boolean;
  cell(item: T): ComponentChildren;
}

interface LongTableProps<T> {
  readonly name: string;
  readonly items: readonly T[];
  readonly isComplete: boolean;
  /** The first one names the row. */
  readonly columns: readonly Column<T>[];
  idOf(item: T): string;
  /** Called with the last visible row. */
  look(at: number): void;
}

export function LongTable<T>({ name, items, isComplete, columns, idOf, look }: LongTableProps<T>) {
  const box = useRef<HTMLElement>(null);
  const [seen, setSeen] = useState({ first: 0, count: 30 });
  const follow = (): void => {
    const { scrollTop = 0, clientHeight = 0 } = box.current ?? {};
    const first = Math.floor(scrollTop / ROW_PX);
    const count = Math.ceil(clientHeight / ROW_PX) + 1;
    setSeen((before) => (before.first === first && before.count === count ? before : { first, count }));
    look(first + count);
  };
  useEffect(follow, [items.length]);
  const from = Math.max(0, Math.min(seen.first, items.length) - SPARE);
  const to = Math.min(items.length, seen.first + seen.count + SPARE);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled by keys
    <section class="rows" ref={box} tabIndex={0} aria-label={name} onScroll={follow}>
      <table aria-rowcount={isComplete ? items.length + 1 : -1}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column.name} scope="col" class={column.isWide === true ? 'wide' : ''}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap rows={from} />
          {items.slice(from, to).map((item, at) => (
            <tr key={idOf(item)} aria-rowindex={from + at + 2}>
              {columns.map((column, index) => (
                <Cell key={column.name} isHead={index === 0} isWide={column.isWide === true}>
                  {column.cell(item)}
                </Cell>
              ))}
            </tr>
          ))}
          <Gap rows={items.length - to} />
        </tbody>
      </table>
    </section>
  );
}

function Cell(props: { isHead: boolean; isWide: boolean; children: ComponentChildren }) {
  if (props.isHead) return <th scope="row">{props.children}</th>;
  return <td class={props.isWide ? 'wide' : ''}>{props.children}</td>;
}

function Gap({ rows }: { rows: number }) {
  return rows > 0 ? <tr style={{ height: `${rows * ROW_PX}px` }} /> : null;
}
