/** One rollout: what it waits for, its numbers beside the rule that stops it, its waves, and what failed and why. */
import { wilsonLowerBound } from '../../fleet/rollout/stop-rule.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { usePages } from '../base/pages.ts';
import { MEMBERS, type Member, ROLLOUT, type Rollout } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { words } from '../base/words.ts';
import { type Column, LongTable } from '../parts/long-table.tsx';
import { RolloutCard } from '../parts/rollout-card.tsx';
import { Time } from '../parts/time.tsx';
import { Unread } from '../parts/unread.tsx';

const says = words.rolloutPage;

export function RolloutPage({ id, say }: { id: string; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}/rollouts/${encodeURIComponent(id)}`;
  const { value, problem } = useLoaded(path, () => api.read(path, ROLLOUT));
  if (value === undefined) return <Unread problem={problem} />;
  return (
    <>
      <Unread problem={problem} isOld />
      <ul class="cards">
        <RolloutCard rollout={value} say={say} />
      </ul>
      <p class="hint">
        {says.author(plain(value.author))} <Time at={value.startedAt} />. {says.by(plain(value.by))}{' '}
        <Time at={value.since} />
        {value.reason !== '' && `: ${plain(value.reason)}`}
      </p>
      <Numbers rollout={value} />
      <Waves rollout={value} />
      <Failures rollout={value} />
      <Members path={path} />
    </>
  );
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Computed by the rule itself, as on the platform. */
function Numbers({ rollout: { tally, policy } }: { rollout: Rollout }) {
  const bad = tally.failed + tally.silent;
  const atLeast = wilsonLowerBound(bad, bad + tally.succeeded);
  const limit = percent(policy.limit);
  return (
    <section aria-labelledby="numbers">
      <h2 id="numbers">{says.numbers}</h2>
      <p>
        {says.sayNumbers(tally)} {bad < 3 ? says.ruleFew(limit) : says.rule(percent(atLeast), limit)}
      </p>
    </section>
  );
}

function Waves({ rollout: { waves } }: { rollout: Rollout }) {
  return (
    <section aria-labelledby="waves">
      <h2 id="waves">{says.waves}</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">{says.wave}</th>
            <th scope="col">{says.begun}</th>
            <th scope="col">{says.gateways}</th>
          </tr>
        </thead>
        <tbody>
          {waves.map(({ openedAt, counts }, at) => (
            <tr key={at}>
              <th scope="row">{at + 1}</th>
              <td>{openedAt === 0 ? says.notBegun : <Time at={openedAt} />}</td>
              <td>{sayCounts(counts)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function sayCounts(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count.toLocaleString('en')} ${plain(state)}`)
    .join(', ');
}

function Failures({ rollout: { failures = [] } }: { rollout: Rollout }) {
  const { product } = useConsole();
  return (
    <section aria-labelledby="failures">
      <h2 id="failures">{says.failures}</h2>
      {failures.length === 0 && <p>{says.noFailures}</p>}
      {failures.map(({ code, gateways, serials, reason }) => (
        <article key={code} aria-label={plain(code)}>
          <h3>
            <span class="state failed">{plain(code)}</span> {words.list.shown(gateways, true)}
          </h3>
          {reason !== '' && <pre>{plain(reason)}</pre>}
          <p>
            {serials.map((serial) => (
              <>
                <a href={hrefOf({ product, page: 'gateways', item: serial })}>{plain(serial)}</a>{' '}
              </>
            ))}
            {gateways > serials.length && words.more(gateways - serials.length)}
          </p>
        </article>
      ))}
    </section>
  );
}

const serialOf = ({ serial }: Member): string => serial;

function Members({ path }: { path: string }) {
  const { api, product } = useConsole();
  const found = usePages<Member>(
    path,
    async (after) => {
      const query = new URLSearchParams({ limit: '200', ...(after === undefined ? {} : { after }) });
      const { members, next } = await api.read(`${path}/members?${query}`, MEMBERS);
      return { items: members, next };
    },
    serialOf,
  );
  return (
    <section aria-labelledby="members">
      <h2 id="members">{says.members}</h2>
      <Unread problem={found.problem} isOld={found.isRead} />
      <LongTable
        name={says.members}
        items={found.items}
        isComplete={found.isComplete}
        columns={columnsOf(product)}
        idOf={serialOf}
        look={found.look}
      />
    </section>
  );
}

function columnsOf(product: string): readonly Column<Member>[] {
  return [
    {
      name: words.list.columns.serial,
      cell: ({ serial }) => <a href={hrefOf({ product, page: 'gateways', item: serial })}>{plain(serial)}</a>,
    },
    { name: says.wave, cell: ({ wave }) => wave + 1 },
    { name: says.state, cell: ({ state }) => <span class={`state ${state}`}>{plain(state)}</span> },
    { name: says.since, cell: ({ since }) => <Time at={since} /> },
    {
      name: says.reason,
      isWide: true,
      cell: ({ code = '', reason = '' }) => plain([code, reason].filter((part) => part !== '').join(': ')),
    },
  ];
}
