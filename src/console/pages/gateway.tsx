/** One gateway: what it is, what runs there, what happened, and when it will be heard of again. */
import type { Api } from '../base/api.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { bytes, describeEvent, duration, plain } from '../base/format.ts';
import { EVENTS, type FleetEvent, GATEWAY, type Gateway } from '../base/replies.ts';
import { words } from '../base/words.ts';
import { Fact } from '../parts/fact.tsx';
import { Heard } from '../parts/gateway-rows.tsx';
import { Logs } from '../parts/logs.tsx';
import { TagForm } from '../parts/tag-form.tsx';
import { Time } from '../parts/time.tsx';
import { Unread } from '../parts/unread.tsx';
import { GatewayPlots } from '../plots/gateway-plots.tsx';

export function GatewayPage({ serial, say }: { serial: string; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}/devices/${encodeURIComponent(serial)}`;
  const found = useLoaded(path, () => api.read(path, GATEWAY));
  const events = useLoaded(`${path} events`, () => newestEvents(api, product, serial));
  if (found.value === undefined) return <Unread problem={found.problem} />;
  return (
    <>
      <Unread problem={found.problem ?? events.problem} isOld />
      <Facts gateway={found.value} />
      <Apps gateway={found.value} />
      <GatewayPlots path={path} />
      <Tags gateway={found.value} path={path} say={say} />
      <Logs gateway={found.value} path={path} />
      <Timeline events={events.value ?? []} isRead={events.value !== undefined} />
    </>
  );
}

function Facts({ gateway }: { gateway: Gateway }) {
  const { state, lastSeenAt, gweVersion, target, freeBytes, budgetLeftBytes } = gateway;
  const { isShared, sharedWhy, hold, waiting } = gateway;
  const says = words.gateway;
  return (
    <section aria-labelledby="facts">
      <h2 id="facts">{says.facts}</h2>
      <dl>
        <Fact name={says.heard}>
          <Heard gateway={gateway} />
        </Fact>
        <Fact name={says.seen}>
          <Time at={lastSeenAt} />
        </Fact>
        <Fact name={says.next}>
          <NextCheckIn gateway={gateway} />
        </Fact>
        <Fact name={says.state}>{plain(state)}</Fact>
        <Fact name={says.gwe}>{plain(gweVersion ?? says.unknown)}</Fact>
        <Fact name={says.target}>{plain(target ?? says.unknown)}</Fact>
        <Fact name={says.free}>{freeBytes === undefined ? says.unknown : bytes(freeBytes)}</Fact>
        {budgetLeftBytes !== undefined && <Fact name={says.budget}>{bytes(budgetLeftBytes)}</Fact>}
        {waiting !== undefined && <Fact name={says.waiting}>{plain(waiting)}</Fact>}
        {isShared && <Fact name={says.shared}>{plain(sharedWhy ?? '')}</Fact>}
        {hold !== undefined && <Fact name={says.hold}>{plain(hold)}</Fact>}
      </dl>
    </section>
  );
}

function NextCheckIn({ gateway: { lastSeenAt, intervalS } }: { gateway: Gateway }) {
  const { nowS } = useConsole();
  if (lastSeenAt === 0 || intervalS === 0) return <>{words.gateway.unknown}</>;
  const at = lastSeenAt + intervalS;
  return (
    <>
      {at < nowS && `${words.gateway.overdue}: `}
      <Time at={at} /> ({words.gateway.nextAt(duration(intervalS))})
    </>
  );
}

function Apps({ gateway: { apps } }: { gateway: Gateway }) {
  const says = words.gateway;
  return (
    <section aria-labelledby="apps">
      <h2 id="apps">{says.apps}</h2>
      {apps.size === 0 ? (
        <p>{says.noApps}</p>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                {[says.app, says.version, says.status, says.wayBack, says.lastUpdate, says.restarts].map(
                  (name) => (
                    <th key={name} scope="col">
                      {name}
                    </th>
                  ),
                )}
              </tr>
            </thead>
            <tbody>
              {[...apps].map(([app, { version, status, previous, lastOutcome, restarts }]) => (
                <tr key={app}>
                  <th scope="row">{plain(app)}</th>
                  <td>{plain(version)}</td>
                  <td>{plain(status)}</td>
                  <td>{plain(previous ?? '-')}</td>
                  <td>{plain(lastOutcome ?? '-')}</td>
                  <td>{restarts ?? '-'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Tags({ gateway, path, say }: { gateway: Gateway; path: string; say: (text: string) => void }) {
  const { api, refresh } = useConsole();
  const may = useMay();
  const set = async (name: string, value: string | null): Promise<void> => {
    const body = { [name]: value === '' ? null : value };
    await api.change({ method: 'PATCH', path: `${path}/tags`, body, decoder: object({}) });
    say(words.gateway.tagged);
    refresh();
  };
  return (
    <section aria-labelledby="tags">
      <h2 id="tags">{words.gateway.tags}</h2>
      {gateway.tags.size === 0 && <p>{words.gateway.noTags}</p>}
      <ul class="tags">
        {[...gateway.tags].map(([name, value]) => (
          <li key={name}>
            {plain(name)}={plain(value)}{' '}
            {may('gateway.tag') && (
              <button
                type="button"
                aria-label={words.gateway.removeTag(plain(name))}
                onClick={() => set(name, null)}
              >
                ×
              </button>
            )}
          </li>
        ))}
      </ul>
      {may('gateway.tag') && <TagForm submit={set} />}
    </section>
  );
}

function Timeline({ events, isRead }: { events: readonly FleetEvent[]; isRead: boolean }) {
  return (
    <section aria-labelledby="timeline">
      <h2 id="timeline">{words.gateway.timeline}</h2>
      {isRead && events.length === 0 && <p>{words.gateway.noEvents}</p>}
      <ol class="timeline">
        {events.map((event) => (
          <li key={event.id}>
            <Time at={event.at} /> {describeEvent(event)}
          </li>
        ))}
      </ol>
    </section>
  );
}

const PAGE = 1000;
const MOST_PAGES = 20;
const MOST_SHOWN = 200;

/** The platform lists events oldest first, from a number on. */
async function newestEvents(api: Api, product: string, serial: string): Promise<readonly FleetEvent[]> {
  let [found, after]: [readonly FleetEvent[], number] = [[], 0];
  for (let page = 0; page < MOST_PAGES; page++) {
    const query = new URLSearchParams({ serial, after: String(after), limit: String(PAGE) });
    const { events } = await api.read(`/products/${encodeURIComponent(product)}/events?${query}`, EVENTS);
    found = [...found, ...events].slice(-MOST_SHOWN);
    after = events.at(-1)?.id ?? after;
    if (events.length < PAGE) break;
  }
  return found.toReversed();
}
