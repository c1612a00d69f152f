/** Gateways as rows of a table. */
import { actWords } from '../base/admin-words.ts';
import { useConsole } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { hearingOf } from '../base/hearing.ts';
import type { Gateway } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { words } from '../base/words.ts';
import type { Column } from './long-table.tsx';
import { Time } from './time.tsx';

export interface Selection {
  readonly selected: ReadonlySet<string>;
  select(serial: string, isSelected: boolean): void;
}

export function gatewayColumns(product: string, { selected, select }: Selection): readonly Column<Gateway>[] {
  const { columns } = words.list;
  return [
    {
      name: columns.serial,
      cell: ({ serial }) => (
        <>
          <input
            type="checkbox"
            aria-label={actWords.select(plain(serial))}
            checked={selected.has(serial)}
            onChange={(event) => select(serial, event.currentTarget.checked)}
          />{' '}
          <a href={hrefOf({ product, page: 'gateways', item: serial })}>{plain(serial)}</a>
        </>
      ),
    },
    { name: columns.state, cell: (gateway) => <Heard gateway={gateway} /> },
    { name: columns.seen, cell: ({ lastSeenAt }) => <Time at={lastSeenAt} /> },
    {
      name: columns.apps,
      cell: ({ apps }) =>
        plain([...apps].map(([app, { version, status }]) => sayApp(app, version, status)).join(', ')),
    },
    { name: columns.gwe, isWide: true, cell: ({ gweVersion }) => plain(gweVersion ?? '') },
    {
      name: columns.tags,
      isWide: true,
      cell: ({ tags }) => plain([...tags].map(([name, value]) => `${name}=${value}`).join(' ')),
    },
  ];
}

function sayApp(app: string, version: string, status: string): string {
  return status === 'RUNNING' || status === 'EXITED' ? `${app} ${version}` : `${app} ${version} ${status}`;
}

export function Heard({ gateway }: { gateway: Gateway }) {
  const { nowS } = useConsole();
  const hearing = hearingOf(gateway, nowS);
  const more = [
    ...(gateway.isShared ? [words.heardStates.shared] : []),
    ...(gateway.hold === undefined ? [] : [words.heardStates.held]),
  ];
  return <span class={`heard ${hearing}`}>{[words.heardStates[hearing], ...more].join(', ')}</span>;
}
