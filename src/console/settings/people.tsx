/** Who has an account, and what each may do. */
import { useState } from 'preact/hooks';
import { ROLES } from '../../fleet/people/roles.ts';
import { settingWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { NEW_OPERATOR, OPERATORS } from '../base/replies.ts';
import { words } from '../base/words.ts';
import { Confirm, Dialog, type Question } from '../parts/confirm.tsx';
import { type Field, Form } from '../parts/form.tsx';
import { Secret } from '../parts/secret.tsx';
import { Table } from '../parts/table.tsx';
import { Unread } from '../parts/unread.tsx';

/** A role in a product, as two fields. */
export function roleFields(products: readonly string[]): readonly Field[] {
  return [
    { name: 'role', label: says.role, options: ROLES.map((role) => [role, role]) },
    {
      name: 'product',
      label: says.inProduct,
      options: [...products.map((one): [string, string] => [one, plain(one)]), ['*', says.allProducts]],
    },
  ];
}

export function sayGrants(grants: readonly { readonly role: string; readonly product: string }[]): string {
  return plain(grants.map(({ role, product }) => says.people.says(role, product)).join(', '));
}

export function People({ say }: { say: (text: string) => void }) {
  const { api, session, refresh } = useConsole();
  const [made, setMade] = useState<{ name: string; password: string }>();
  const { value, problem } = useLoaded('/operators', () => api.read('/operators?limit=1000', OPERATORS));
  const add = async (of: (name: string) => string): Promise<void> => {
    const [name, withPassword] = [of('name'), of('by') === 'password'];
    const grants = [{ role: of('role'), product: of('product') }];
    const body = { name, grants, withPassword };
    const { password } = await api.change({
      method: 'POST',
      path: '/operators',
      body,
      decoder: NEW_OPERATOR,
    });
    setMade(password === undefined ? undefined : { name, password });
    refresh();
  };
  return (
    <>
      <Unread problem={problem} isOld={value !== undefined} />
      {value?.operators.length === 0 && <p>{says.people.none}</p>}
      {value !== undefined && value.operators.length > 0 && (
        <PeopleTable people={value.operators} say={say} />
      )}
      {made !== undefined && (
        <Secret label={says.people.firstPassword(plain(made.name))} value={made.password} />
      )}
      <h2>{says.people.add}</h2>
      <Form
        fields={[
          {
            name: 'name',
            label: says.name,
            more: { pattern: '[A-Za-z0-9_.@+\\-]{1,64}', title: formWords.person },
          },
          ...roleFields(session.products),
          {
            name: 'by',
            label: says.people.signsIn,
            options: [
              ['password', says.people.byPassword],
              ['sign-on', says.people.bySignOn],
            ],
          },
        ]}
        action={says.people.add}
        submit={add}
      />
    </>
  );
}

type Person = NonNullable<ReturnType<typeof OPERATORS>>['operators'][number];

function PeopleTable({ people, say }: { people: readonly Person[]; say: (text: string) => void }) {
  const { api, refresh } = useConsole();
  const [question, setQuestion] = useState<Question>();
  const [chosen, setChosen] = useState<string>();
  const changing = people.find(({ name }) => name === chosen);
  const remove = (name: string): Question => ({
    ask: says.people.removeAsk(plain(name)),
    action: says.remove,
    async run() {
      const path = `/operators/${encodeURIComponent(name)}`;
      await api.change({ method: 'DELETE', path, decoder: object({}) });
      say(says.removed(plain(name)));
      refresh();
    },
  });
  return (
    <>
      <Table
        name={says.tabs.people}
        heads={[says.name, says.people.may, says.people.signsIn, says.people.factor, '']}
        rows={people.map(({ name, grants, hasPassword, hasSecondFactor }) => ({
          key: name,
          cells: [
            plain(name),
            sayGrants(grants),
            hasPassword ? says.people.byPassword : says.people.bySignOn,
            hasSecondFactor ? says.people.yes : says.people.no,
            <span key="acts" class="actions">
              <button
                type="button"
                aria-label={says.people.changeOf(plain(name))}
                onClick={() => setChosen(name)}
              >
                {says.people.change}
              </button>
              <button
                type="button"
                aria-label={says.removeIt(plain(name))}
                onClick={() => setQuestion(remove(name))}
              >
                {says.remove}
              </button>
            </span>,
          ],
        }))}
      />
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
      {changing !== undefined && (
        <RoleDialog person={changing} say={say} close={() => setChosen(undefined)} />
      )}
    </>
  );
}

interface RoleDialogProps {
  readonly person: Person;
  say(text: string): void;
  close(): void;
}

function RoleDialog({ person: { name, grants }, say, close }: RoleDialogProps) {
  const { api, session, refresh } = useConsole();
  const [first] = grants;
  const fields = roleFields(session.products).map((field) => ({
    ...field,
    ...(first === undefined ? {} : { first: field.name === 'role' ? first.role : first.product }),
  }));
  const submit = async (of: (field: string) => string): Promise<void> => {
    const body = { grants: [{ role: of('role'), product: of('product') }] };
    const path = `/operators/${encodeURIComponent(name)}/grants`;
    await api.change({ method: 'PUT', path, body, decoder: object({}) });
    say(says.people.changed(plain(name)));
    close();
    refresh();
  };
  return (
    <Dialog title={says.people.changeOf(plain(name))} close={close}>
      <p class="hint">{says.people.changeHint(sayGrants(grants))}</p>
      <Form fields={fields} action={says.people.change} submit={submit} />
      <p class="actions">
        <button type="button" onClick={close}>
          {words.confirm.cancel}
        </button>
      </p>
    </Dialog>
  );
}
