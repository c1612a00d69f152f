/** Tokens of programs: makes and revokes them, and shows when each was used. */
import { useState } from 'preact/hooks';
import { settingWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { NEW_TOKEN, TOKENS } from '../base/replies.ts';
import { Confirm, type Question } from '../parts/confirm.tsx';
import { Form } from '../parts/form.tsx';
import { Secret } from '../parts/secret.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { Unread } from '../parts/unread.tsx';
import { roleFields, sayGrants } from './people.tsx';

export function Tokens({ say }: { say: (text: string) => void }) {
  const { api, session, refresh } = useConsole();
  const [made, setMade] = useState<{ name: string; text: string }>();
  const [question, setQuestion] = useState<Question>();
  const { value, problem } = useLoaded('/tokens', () => api.read('/tokens', TOKENS));
  const add = async (of: (name: string) => string): Promise<void> => {
    const body = { name: of('name'), role: of('role'), product: of('product'), days: Number(of('days')) };
    setMade(await api.change({ method: 'POST', path: '/tokens', body, decoder: NEW_TOKEN }));
    refresh();
  };
  const remove = (id: string, name: string): Question => ({
    ask: says.tokens.removeAsk(plain(name)),
    action: says.remove,
    async run() {
      await api.change({ method: 'DELETE', path: `/tokens/${encodeURIComponent(id)}`, decoder: object({}) });
      say(says.removed(plain(name)));
      refresh();
    },
  });
  const tokens = value?.tokens ?? [];
  return (
    <>
      <Unread problem={problem} isOld={value !== undefined} />
      {value !== undefined && tokens.length === 0 && <p>{says.tokens.none}</p>}
      {tokens.length > 0 && (
        <Table
          name={says.tabs.tokens}
          heads={[says.name, says.people.may, says.tokens.ends, says.tokens.used, '']}
          rows={tokens.map(({ id, name, grants, expiresAt, lastUsedAt }) => ({
            key: id,
            cells: [
              plain(name),
              sayGrants(grants),
              <Time key="ends" at={expiresAt} />,
              <Time key="used" at={lastUsedAt} />,
              <button
                key="remove"
                type="button"
                aria-label={says.removeIt(plain(name))}
                onClick={() => setQuestion(remove(id, name))}
              >
                {says.remove}
              </button>,
            ],
          }))}
        />
      )}
      {made !== undefined && <Secret label={says.tokens.text(plain(made.name))} value={made.text} />}
      <h2>{says.tokens.add}</h2>
      <Form
        fields={[
          {
            name: 'name',
            label: says.name,
            more: { pattern: '[A-Za-z0-9_.@\\-]{1,64}', title: formWords.token },
          },
          ...roleFields(session.products),
          {
            name: 'days',
            label: says.tokens.days,
            first: '90',
            more: { type: 'number', min: 1, max: 3650, step: 1 },
          },
        ]}
        action={says.tokens.add}
        submit={add}
      />
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}
