/** What the fleet costs, what became of its updates, and which gateways are silent. */
import { reportWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { bytes, plain } from '../base/format.ts';
import { STATUS, TRAFFIC, type Traffic, UPDATES, type Updates } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { DayBars, dayOf } from '../parts/day-bars.tsx';
import { Unread } from '../parts/unread.tsx';

export function ReportsPage() {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}`;
  const found = useLoaded(`${path} reports`, () =>
    Promise.all([
      api.read(`${path}/traffic`, TRAFFIC),
      api.read(`${path}/updates?days=30`, UPDATES),
      api.read(`${path}/status`, STATUS),
    ]),
  );
  if (found.value === undefined) return <Unread problem={found.problem} />;
  const [traffic, updates, status] = found.value;
  return (
    <>
      <Unread problem={found.problem} isOld />
      <TrafficReport traffic={traffic} />
      <UpdatesReport updates={updates} />
      <section aria-labelledby="silent">
        <h2 id="silent">{says.silent}</h2>
        <p>
          {says.silentSaid(status.silent)}{' '}
          {status.silent > 0 && (
            <a href={hrefOf({ product, page: 'gateways', query: { filter: 'silent' } })}>{says.showSilent}</a>
          )}
        </p>
      </section>
    </>
  );
}

function TrafficReport({ traffic }: { traffic: Traffic }) {
  const { product } = useConsole();
  const { month, monthBytes, reporting, gateways, purposes, most } = traffic;
  const sorted = [...purposes].sort(([, a], [, b]) => b - a);
  return (
    <section aria-labelledby="traffic">
      <h2 id="traffic">{says.month(month)}</h2>
      <p>{reporting === 0 ? says.noLedger : says.sum(bytes(monthBytes), reporting, gateways)}</p>
      {sorted.length > 0 && (
        <Counts
          caption={says.purposes}
          heads={[says.purpose, says.bytes]}
          rows={sorted.map(([purpose, count]) => ({ name: plain(purpose), count, said: bytes(count) }))}
        />
      )}
      {most.length > 0 && (
        <Counts
          caption={says.most}
          heads={['', says.bytes]}
          rows={most.map(({ serial, bytes: count }) => ({
            name: plain(serial),
            count,
            said: bytes(count),
            href: hrefOf({ product, page: 'gateways', item: serial }),
          }))}
        />
      )}
    </section>
  );
}

function UpdatesReport({ updates: { days, codes, isAll } }: { updates: Updates }) {
  const sum = (kind: 'good' | 'bad'): number => days.reduce((before, day) => before + day[kind], 0);
  const isNone = sum('good') + sum('bad') === 0;
  const busy = days.filter(({ good, bad }) => good + bad > 0).toReversed();
  const sorted = [...codes].sort(([, a], [, b]) => b - a);
  return (
    <section aria-labelledby="updates">
      <h2 id="updates">{says.updates}</h2>
      <p>{isNone ? says.noUpdates : says.updatesSaid(sum('good'), sum('bad'))}</p>
      {!isAll && <p class="problem">{says.notAll}</p>}
      {!isNone && <DayBars days={days} />}
      {busy.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">{says.day}</th>
              <th scope="col">{says.good}</th>
              <th scope="col">{says.bad}</th>
            </tr>
          </thead>
          <tbody>
            {busy.map(({ day, good, bad }) => (
              <tr key={day}>
                <th scope="row">{dayOf(day)}</th>
                <td>{good.toLocaleString('en')}</td>
                <td>{bad.toLocaleString('en')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {sorted.length > 0 && (
        <Counts
          caption={says.codes}
          heads={[says.code, says.count]}
          rows={sorted.map(([code, count]) => ({
            name: plain(code),
            count,
            said: count.toLocaleString('en'),
          }))}
        />
      )}
    </section>
  );
}

interface CountsProps {
  readonly caption: string;
  readonly heads: readonly [string, string];
  readonly rows: readonly { name: string; count: number; said: string; href?: string }[];
}

/** Numbers, each with a bar beside it. */
function Counts({ caption, heads, rows }: CountsProps) {
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return (
    <table>
      <caption>{caption}</caption>
      <thead class="unseen">
        <tr>
          {heads.map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, count, said, href }) => (
          <tr key={name}>
            <th scope="row">{href === undefined ? name : <a href={href}>{name}</a>}</th>
            <td>
              <meter min={0} max={most} value={count} aria-hidden="true" /> {said}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
