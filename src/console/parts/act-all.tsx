/** One act for all gateways of a list, or for the selected ones, after their number has been shown and typed. */
import { useId, useState } from 'preact/hooks';
import { needsApproval, ROLES } from '../../fleet/people/roles.ts';
import { ACTS, type Act, type Acted, actOn, type Wanted, wantedOf } from '../base/acts.ts';
import { actWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { CONTENT } from '../base/replies.ts';
import { Confirm, Dialog, type Question } from './confirm.tsx';
import { type Field, Form } from './form.tsx';

const PERMISSIONS = {
  tag: 'gateway.tag',
  install: 'gateway.command',
  interval: 'gateway.command',
  hold: 'gateway.hold',
  release: 'gateway.hold',
} as const satisfies Record<Act, string>;

interface ActAllProps {
  readonly selected: ReadonlySet<string>;
  clear(): void;
  /** Reads the serial numbers of all gateways that the act is for. */
  all(): Promise<readonly string[]>;
  say(text: string): void;
}

export function ActAll({ selected, clear, all, say }: ActAllProps) {
  const { api, product, refresh, session } = useConsole();
  const may = useMay();
  const [isOpen, setOpen] = useState(false);
  const [question, setQuestion] = useState<Question>();
  const [acted, setActed] = useState<Acted>();
  const acts = ACTS.filter((act) => may(PERMISSIONS[act]));
  if (acts.length === 0) return null;
  const ask = async (act: Act, wanted: Wanted): Promise<void> => {
    const serials = selected.size > 0 ? [...selected] : await all();
    const count = serials.length;
    if (count === 0) throw new Error(says.nobody);
    const grants = session.grants.flatMap(({ role, product: of }) => {
      const known = ROLES.find((one) => one === role);
      return known === undefined ? [] : [{ role: known, product: of }];
    });
    if (act === 'install' && needsApproval(grants, product, count)) throw new Error(says.needsRollout(count));
    setOpen(false);
    setQuestion({
      ask: plain(wanted.ask(count)),
      action: says.acts[act],
      typed: count,
      async run() {
        const found = await actOn(api, product, { serials, wanted }, (done) =>
          say(says.progress(done, count)),
        );
        setActed(found.leftOut.length > 0 ? found : undefined);
        say(says.done(found.done));
        clear();
        refresh();
      },
    });
  };
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {says.open(selected.size)}
      </button>
      {selected.size > 0 && (
        <button type="button" onClick={clear}>
          {says.clear}
        </button>
      )}
      {isOpen && (
        <Dialog title={says.open(selected.size)} close={() => setOpen(false)}>
          <ChooseAct acts={acts} ask={ask} close={() => setOpen(false)} />
        </Dialog>
      )}
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
      {acted !== undefined && <LeftOut acted={acted} close={() => setActed(undefined)} />}
    </>
  );
}

interface ChooseActProps {
  readonly acts: readonly Act[];
  ask(act: Act, wanted: Wanted): Promise<void>;
  close(): void;
}

function ChooseAct({ acts, ask, close }: ChooseActProps) {
  const { api, product } = useConsole();
  const [act, setAct] = useState<Act>(acts[0] ?? 'tag');
  const id = useId();
  const path = `/products/${encodeURIComponent(product)}/content?limit=1000`;
  const content = useLoaded(path, () => api.read(path, CONTENT)).value?.content ?? [];
  const artifacts = content.filter(({ app, isUploaded }) => app !== undefined && isUploaded);
  const choose = (event: { currentTarget: { value: string } }): void =>
    setAct(acts.find((one) => one === event.currentTarget.value) ?? act);
  return (
    <>
      <p class="plan">
        <label for={id}>{says.what}</label>
        <select id={id} value={act} onChange={choose}>
          {acts.map((one) => (
            <option key={one} value={one}>
              {says.acts[one]}
            </option>
          ))}
        </select>
      </p>
      {act === 'install' && artifacts.length === 0 ? (
        <p>{says.noArtifact}</p>
      ) : (
        <Form
          key={act}
          fields={fieldsOf(
            act,
            artifacts.map((item) => item.id),
          )}
          action={says.next}
          submit={(of) => ask(act, wantedOf(act, of))}
        />
      )}
      <button type="button" onClick={close}>
        {says.close}
      </button>
    </>
  );
}

function fieldsOf(act: Act, artifacts: readonly string[]): readonly Field[] {
  switch (act) {
    case 'tag':
      return [
        { name: 'tag', label: says.tag, more: { pattern: '[A-Za-z0-9_.\\-]{1,64}', title: formWords.tag } },
        { name: 'value', label: says.value, isOptional: true, more: { maxLength: 256 } },
      ];
    case 'install':
      return [{ name: 'artifact', label: says.artifact, options: artifacts.map((id) => [id, plain(id)]) }];
    case 'interval':
      return [
        {
          name: 'seconds',
          label: says.seconds,
          first: '14400',
          more: { type: 'number', min: 1, max: 31_536_000, step: 1 },
        },
      ];
    case 'hold':
      return [{ name: 'reason', label: says.reason, more: { maxLength: 300 } }];
    case 'release':
      return [];
  }
}

const MOST_SHOWN = 50;

function LeftOut({ acted: { done, leftOut }, close }: { acted: Acted; close: () => void }) {
  return (
    <Dialog title={says.leftOut(leftOut.length)} close={close}>
      <p>{says.done(done)}</p>
      <ul>
        {leftOut.slice(0, MOST_SHOWN).map(({ serial, reason }) => (
          <li key={serial}>
            {plain(serial)}: {plain(reason)}
          </li>
        ))}
      </ul>
      {leftOut.length > MOST_SHOWN && <p>{says.more(leftOut.length - MOST_SHOWN)}</p>}
      <button type="button" onClick={close}>
        {says.close}
      </button>
    </Dialog>
  );
}
