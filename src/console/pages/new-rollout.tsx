/** A new rollout: shows which gateways would be in it, before it begins. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { bytes, plain } from '../base/format.ts';
import { GROUPS, PLAN, type Plan, ROLLOUT } from '../base/replies.ts';
import { go, type Route } from '../base/route.ts';
import { type Spec, specOf, type Typed } from '../base/spec.ts';
import { words } from '../base/words.ts';
import { problemIn } from '../parts/check.ts';
import { Confirm, type Question } from '../parts/confirm.tsx';

const says = words.plan;

interface Planned {
  readonly spec: Spec;
  readonly plan: Plan;
  /** What was typed when the plan was made. */
  readonly typed: Typed;
}

export function NewRolloutPage({ route, say }: { route: Route; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const [typed, setTyped] = useState<Typed>(() => firstOf(route));
  const [planned, setPlanned] = useState<Planned>();
  const [problem, setProblem] = useState('');
  const [question, setQuestion] = useState<Question>();
  const path = `/products/${encodeURIComponent(product)}/rollouts`;
  const dryRun = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wrong = problemIn(event.currentTarget);
    if (wrong !== undefined) return setProblem(wrong);
    try {
      const spec = specOf(typed);
      const plan = await api.change({ method: 'POST', path: `${path}/plan`, body: spec, decoder: PLAN });
      setPlanned({ spec, plan, typed });
      setProblem('');
    } catch (error) {
      setPlanned(undefined);
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const start = ({ spec, plan }: Planned): Question => ({
    ask: says.ask(plan.gateways, plan.artifacts.join(', ')),
    action: says.start,
    typed: plan.gateways,
    async run() {
      const made = await api.change({ method: 'POST', path, body: spec, decoder: ROLLOUT });
      say(says.started(made.name));
      go({ product, page: 'rollouts', item: made.id });
    },
  });
  return (
    <>
      <form class="plan" noValidate onSubmit={dryRun}>
        <Fields typed={typed} set={setTyped} />
        <p class="hint">{says.dryRunHint}</p>
        <button type="submit" class="main">
          {says.dryRun}
        </button>
        <p role="alert" class="problem">
          {problem}
        </p>
      </form>
      {planned !== undefined && (
        <section aria-live="polite">
          <PlanResult plan={planned.plan} />
          {planned.typed !== typed && <p class="problem">{says.changed}</p>}
          {may('rollout.start') && planned.plan.gateways > 0 && (
            <button
              type="button"
              disabled={planned.typed !== typed}
              onClick={() => setQuestion(start(planned))}
            >
              {says.start}
            </button>
          )}
        </section>
      )}
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}

function firstOf({ query }: Route): Typed {
  return {
    artifacts: query.get('artifacts') ?? '',
    filter: query.get('filter') ?? '',
    group: query.get('group') ?? '',
    waves: '5,10%,50%,100%',
    limit: '5',
    soak: '24',
    name: '',
  };
}

function Fields({ typed, set }: { typed: Typed; set: (typed: Typed) => void }) {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}/groups`;
  const groups = useLoaded(path, () => api.read(path, GROUPS)).value?.groups ?? [];
  const change = (name: keyof Typed) => (event: { currentTarget: { value: string } }) =>
    set({ ...typed, [name]: event.currentTarget.value });
  const input = (name: keyof Typed, more: object = {}): ComponentChildren => (
    <Labelled label={says[name]}>
      {(id) => (
        <input
          id={id}
          value={typed[name]}
          autocomplete="off"
          spellcheck={false}
          onInput={change(name)}
          {...more}
        />
      )}
    </Labelled>
  );
  return (
    <>
      {input('artifacts', { required: true, placeholder: says.artifactsHint })}
      {input('filter')}
      <Labelled label={says.group}>
        {(id) => (
          <select id={id} value={typed.group} onChange={change('group')}>
            <option value="">{says.noGroup}</option>
            {groups.map(({ name }) => (
              <option key={name} value={name}>
                {plain(name)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      {input('waves')}
      {input('limit', { inputMode: 'decimal' })}
      {input('soak', { inputMode: 'decimal' })}
      {input('name', { maxLength: 128 })}
    </>
  );
}

function Labelled({ label, children }: { label: string; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <p>
      <label for={id}>{label}</label>
      {children(id)}
    </p>
  );
}

function PlanResult({ plan }: { plan: Plan }) {
  const { gateways, waves, excluded, ways, lowestBudgetBytes } = plan;
  return (
    <>
      <p>
        <strong>{gateways === 0 ? says.nobody : says.result(gateways, waves.join(', '))}</strong>
      </p>
      <ul>
        {[...excluded].map(([why, { gateways: count, first }]) => (
          <li key={why}>{plain(says.excluded(count, why, first.join(', ')))}</li>
        ))}
        {[...ways].map(([way, { gateways: count, bytes: size }]) => (
          <li key={way}>{says.bytes(bytes(size), plain(way), count)}</li>
        ))}
        {lowestBudgetBytes !== undefined && <li>{says.budget(bytes(lowestBudgetBytes))}</li>}
      </ul>
    </>
  );
}
