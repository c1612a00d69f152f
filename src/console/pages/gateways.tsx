/** Which gateways there are, and how they are: all of them, or by filter or group, as a table or as CSV. */
import { useState } from 'preact/hooks';
import type { Api } from '../base/api.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { csvOf, save } from '../base/csv.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { type PageOf, usePages } from '../base/pages.ts';
import { GATEWAYS, type Gateway, GROUPS, STATUS } from '../base/replies.ts';
import { go, hrefOf, NEW, type Route } from '../base/route.ts';
import { words } from '../base/words.ts';
import { ActAll } from '../parts/act-all.tsx';
import { problemIn } from '../parts/check.ts';
import { FilterBar } from '../parts/filter-bar.tsx';
import { gatewayColumns, type Selection } from '../parts/gateway-rows.tsx';
import { LongTable } from '../parts/long-table.tsx';
import { Unread } from '../parts/unread.tsx';
import { Versions } from '../parts/versions.tsx';

const PAGE = 200;
const LARGEST_PAGE = 1000;

const serialOf = ({ serial }: Gateway): string => serial;

/** The selection belongs to this list: another filter starts with an empty one. */
function useSelection(key: string): Selection & { clear(): void } {
  const [own, setOwn] = useState<{ key: string; selected: ReadonlySet<string> }>({
    key,
    selected: new Set(),
  });
  const selected: ReadonlySet<string> = own.key === key ? own.selected : new Set();
  return {
    selected,
    select(serial, isSelected) {
      const next = new Set(selected);
      if (isSelected) next.add(serial);
      else next.delete(serial);
      setOwn({ key, selected: next });
    },
    clear: () => setOwn({ key, selected: new Set() }),
  };
}

export function GatewaysPage({ route, say }: { route: Route; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const [filter, group] = [route.query.get('filter') ?? '', route.query.get('group') ?? ''];
  const key = `${product}\n${filter}\n${group}`;
  const read = (after: string | undefined, limit: number): Promise<PageOf<Gateway>> =>
    readPage(api, product, { filter, group, after, limit });
  const found = usePages(
    key,
    (after) => read(after, PAGE),
    ({ serial }) => serial,
  );
  const all = async (): Promise<readonly Gateway[]> => {
    const gateways: Gateway[] = [];
    for (let after: string | undefined; ; ) {
      const page = await read(after, LARGEST_PAGE);
      gateways.push(...page.items);
      say(words.list.csvRead(gateways.length));
      if (page.next === undefined) return gateways;
      after = page.next;
    }
  };
  const selection = useSelection(key);
  const apply = (wanted: string): void => go({ product, page: 'gateways', query: { filter: wanted, group } });
  const status = useLoaded(`status of ${product}`, () =>
    api.read(`/products/${encodeURIComponent(product)}/status`, STATUS),
  ).value;
  return (
    <>
      <FilterBar filter={filter} apps={[...(status?.apps.keys() ?? [])]} apply={apply} />
      <Groups filter={filter} group={group} say={say} />
      <div class="actions">
        <span role="status">{found.isRead && words.list.shown(found.items.length, found.isComplete)}</span>
        <button type="button" onClick={() => void all().then((rows) => save(`${product}.csv`, csvOf(rows)))}>
          {words.list.csv}
        </button>
        {may('rollout.start') && (
          <a href={hrefOf({ product, page: 'rollouts', item: NEW, query: { filter, group } })}>
            {words.list.rollout}
          </a>
        )}
        <ActAll
          selected={selection.selected}
          clear={selection.clear}
          all={() => all().then((rows) => rows.map(serialOf))}
          say={say}
        />
      </div>
      <Unread problem={found.problem} isOld={found.isRead} />
      {found.isRead && found.items.length === 0 && <p>{words.list.none}</p>}
      {found.items.length > 0 && (
        <LongTable
          name={words.gateways}
          items={found.items}
          isComplete={found.isComplete}
          columns={gatewayColumns(product, selection)}
          idOf={serialOf}
          look={found.look}
        />
      )}
      {status !== undefined && status.apps.size > 0 && <Versions status={status} />}
    </>
  );
}

interface PageRequest {
  readonly filter: string;
  readonly group: string;
  readonly after: string | undefined;
  readonly limit: number;
}

/** Where few gateways match, a page may be empty: the next ones are read until there is an item, or no more pages. */
async function readPage(api: Api, product: string, request: PageRequest): Promise<PageOf<Gateway>> {
  const { filter, group, limit } = request;
  for (let { after } = request; ; ) {
    const query = new URLSearchParams({
      limit: String(limit),
      ...(filter === '' ? {} : { filter }),
      ...(group === '' ? {} : { group }),
      ...(after === undefined ? {} : { after }),
    });
    const page = await api.read(`/products/${encodeURIComponent(product)}/devices?${query}`, GATEWAYS);
    if (page.devices.length > 0 || page.next === undefined) return { items: page.devices, next: page.next };
    after = page.next;
  }
}

function Groups({ filter, group, say }: { filter: string; group: string; say: (text: string) => void }) {
  const { api, product, refresh } = useConsole();
  const may = useMay();
  const [name, setName] = useState('');
  const path = `/products/${encodeURIComponent(product)}/groups`;
  const found = useLoaded(path, () => api.read(path, GROUPS));
  const [problem, setProblem] = useState('');
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wrong = problemIn(event.currentTarget);
    if (wrong !== undefined) return setProblem(wrong);
    try {
      const saved = `${path}/${encodeURIComponent(name.trim())}`;
      await api.change({ method: 'PUT', path: saved, body: { filter }, decoder: object({}) });
      say(words.filter.saved(name.trim()));
      setName('');
      setProblem('');
      refresh();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const groups = found.value?.groups ?? [];
  return (
    <>
      <p class="groups">
        {words.filter.groups}: {groups.length === 0 && <span class="hint">{words.filter.noGroups}</span>}
        {groups.map((one) => (
          <a
            key={one.name}
            href={hrefOf({ product, page: 'gateways', query: { group: one.name } })}
            aria-current={one.name === group ? 'true' : undefined}
            title={plain(one.filter)}
          >
            {plain(one.name)}
          </a>
        ))}
        {(group !== '' || filter !== '') && (
          <a href={hrefOf({ product, page: 'gateways' })}>{words.filter.all}</a>
        )}
      </p>
      {filter !== '' && group === '' && may('group.write') && (
        <form class="line" noValidate onSubmit={submit}>
          <label>
            {words.filter.saveAs}{' '}
            <input
              value={name}
              required
              pattern="[A-Za-z0-9_.\-]{1,64}"
              title={formWords.tag}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <button type="submit">{words.filter.save}</button>
          <span role="alert" class="problem">
            {problem}
          </span>
        </form>
      )}
    </>
  );
}
