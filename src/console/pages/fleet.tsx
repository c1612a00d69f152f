/** Answers: is everything all right, and if not, what has to be looked at first? */
import { useEffect, useState } from 'preact/hooks';
import { useConsole, useLoaded } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { ROLLOUTS, type Rollout, STATUS, type Status } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { words } from '../base/words.ts';
import { FirstSteps } from '../parts/first-steps.tsx';
import { RolloutCard } from '../parts/rollout-card.tsx';
import { Unread } from '../parts/unread.tsx';
import { Versions } from '../parts/versions.tsx';
import { FleetPlots } from '../plots/fleet-plots.tsx';

const NEEDS_A_PERSON = ['awaiting-approval', 'paused', 'held'];
const MOST_NEEDS = 20;

export function FleetPage({ say }: { say: (text: string) => void }) {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}`;
  const [steps, setSteps] = useState<{ product: string; isOpen: boolean }>();
  const found = useLoaded(path, () =>
    Promise.all([api.read(`${path}/status`, STATUS), api.read(`${path}/rollouts?limit=20`, ROLLOUTS)]),
  );
  // Once shown, the first steps stay: the last of them is to see the app run.
  const isEmpty = found.value?.[0].apps.size === 0;
  useEffect(() => {
    if (isEmpty) setSteps({ product, isOpen: true });
  }, [isEmpty, product]);
  if (found.value === undefined) return <Unread problem={found.problem} />;
  const [status, { rollouts }] = found.value;
  const hasSteps = steps?.product === product && steps.isOpen;
  const begun = hasSteps && (
    <FirstSteps key={product} close={() => setSteps({ product, isOpen: false })} say={say} />
  );
  if (status.gateways === 0) return begun;
  return (
    <>
      <Unread problem={found.problem} isOld />
      {begun}
      <Needs status={status} rollouts={rollouts} />
      <Heard status={status} />
      <section aria-labelledby="rollouts">
        <h2 id="rollouts">{words.rollouts}</h2>
        {rollouts.length === 0 && <p>{words.none.rollouts}</p>}
        <ul class="cards">
          {rollouts.map((rollout) => (
            <RolloutCard key={rollout.id} rollout={rollout} say={say} />
          ))}
        </ul>
      </section>
      <Versions status={status} />
      <FleetPlots />
    </>
  );
}

/** Decisions come first: each holds up many gateways, while the other problems concern one gateway each. */
function Needs({ status, rollouts }: { status: Status; rollouts: readonly Rollout[] }) {
  const { product } = useConsole();
  const waiting = rollouts.filter(({ state }) => NEEDS_A_PERSON.includes(state));
  const shown = status.problems.slice(0, MOST_NEEDS);
  const isWell = waiting.length === 0 && shown.length === 0;
  return (
    <section aria-labelledby="needs" class={isWell ? 'well' : 'needs'}>
      <h2 id="needs">{words.needsYou}</h2>
      {isWell && <p>{words.none.needs}</p>}
      <ul>
        {waiting.map(({ id, name, state, reason, waitsFor }) => (
          <li key={id}>
            <a href={hrefOf({ product, page: 'rollouts', item: id })}>{plain(name)}</a>{' '}
            <span class={`state ${state}`}>{words.rollout.states[state]}</span>{' '}
            {plain(reason || words.rollout.waitsFor(waitsFor))}
          </li>
        ))}
        {shown.map(({ serial, problems }) => (
          <li key={serial}>
            <a href={hrefOf({ product, page: 'gateways', item: serial })}>{words.problemOf(plain(serial))}</a>{' '}
            {plain(problems.join(', '))}
          </li>
        ))}
      </ul>
      {status.problems.length > shown.length && <p>{words.more(status.problems.length - shown.length)}</p>}
    </section>
  );
}

const FILTERS = { all: '', silent: 'silent', neverSeen: 'not seen', shared: 'shared' } as const;

function Heard({ status }: { status: Status }) {
  const { product } = useConsole();
  const counts = {
    all: status.gateways,
    expected: status.expected,
    late: status.late,
    silent: status.silent,
    neverSeen: status.neverSeen,
    failing: status.failing,
    shared: status.shared,
  };
  const filters: Readonly<Partial<Record<string, string>>> = FILTERS;
  return (
    <section aria-labelledby="heard">
      <h2 id="heard">{words.heard.title}</h2>
      <ul class="counts">
        {(['all', 'expected', 'late', 'silent', 'neverSeen', 'failing', 'shared'] as const).map((name) => {
          const filter = filters[name];
          const said = (
            <>
              <strong>{counts[name].toLocaleString('en')}</strong> {words.heard[name]}
            </>
          );
          const isBad = counts[name] > 0 && !['all', 'expected', 'late'].includes(name);
          return (
            <li key={name} class={isBad ? 'bad' : ''}>
              {filter === undefined ? (
                said
              ) : (
                <a href={hrefOf({ product, page: 'gateways', query: { filter } })}>{said}</a>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
