/** The person's own account: password and second factor. */
import { useState } from 'preact/hooks';
import { settingWords } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { ME, SECOND_FACTOR } from '../base/replies.ts';
import { type Field, Form } from '../parts/form.tsx';
import { Secret } from '../parts/secret.tsx';
import { Unread } from '../parts/unread.tsx';

const says = settingWords.account;
const PRESENT: Field = {
  name: 'present',
  label: says.present,
  more: { type: 'password', autocomplete: 'current-password' },
};

export function Account({ say }: { say: (text: string) => void }) {
  const { api, refresh } = useConsole();
  const { value, problem } = useLoaded('/me', () => api.read('/me', ME));
  if (value === undefined) return <Unread problem={problem} />;
  const { name, kind, hasSecondFactor = false } = value;
  const change = async (of: (name: string) => string): Promise<void> => {
    await api.changePassword(of('present'), of('fresh'));
    say(says.changed);
    refresh();
  };
  return (
    <>
      <p>{says.who(plain(name), says.kinds[kind] ?? plain(kind))}</p>
      {kind !== 'person' ? (
        <p class="hint">{says.noPerson}</p>
      ) : (
        <>
          <h2>{says.password}</h2>
          <Form
            fields={[
              PRESENT,
              {
                name: 'fresh',
                label: says.fresh,
                more: { type: 'password', autocomplete: 'new-password', minLength: 12 },
              },
            ]}
            action={says.change}
            submit={change}
          />
          <h2>{says.factor}</h2>
          {hasSecondFactor ? <p>{says.hasFactor}</p> : <SecondFactor say={say} />}
        </>
      )}
    </>
  );
}

function SecondFactor({ say }: { say: (text: string) => void }) {
  const { api, refresh } = useConsole();
  const [secret, setSecret] = useState<string>();
  const call = { method: 'POST', path: '/me/second-factor' } as const;
  const begin = async (of: (name: string) => string): Promise<void> => {
    const body = { password: of('present') };
    setSecret((await api.change({ ...call, body, decoder: SECOND_FACTOR })).secret);
  };
  const confirm = async (of: (name: string) => string): Promise<void> => {
    const body = { code: of('code') };
    await api.change({ ...call, path: `${call.path}/confirm`, body, decoder: object({}) });
    say(says.factorOn);
    refresh();
  };
  if (secret === undefined) return <Form fields={[PRESENT]} action={says.begin} submit={begin} />;
  return (
    <>
      <Secret label={says.secret} value={secret} />
      <Form
        key="confirm"
        fields={[
          {
            name: 'code',
            label: says.code,
            more: { inputMode: 'numeric', pattern: '\\d{6}', title: formWords.code },
          },
        ]}
        action={says.confirm}
        submit={confirm}
      />
    </>
  );
}
