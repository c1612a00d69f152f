import type { JSX } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import { type Api, ApiProblem } from '../base/api.ts';
import type { Session } from '../base/replies.ts';
import { words } from '../base/words.ts';
import { problemIn } from './check.ts';

const says = words.signIn;

interface SignInProps {
  readonly api: Api;
  onSignedIn(session: Session): void;
  /** A page is open behind it that must not be lost. */
  readonly isAgain?: boolean;
}

/** Exchanges a token, or a name with its password, for a session; neither is kept. */
export function SignIn({ api, onSignedIn, isAgain = false }: SignInProps) {
  const hasSignOn = useSignOn(api);
  const [isByToken, setByToken] = useState(true);
  const [typed, setTyped] = useState({ token: '', name: '', password: '', code: '', newPassword: '' });
  const [mustChange, setMustChange] = useState(false);
  const [problem, setProblem] = useState('');
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wrong = problemIn(event.currentTarget);
    if (wrong !== undefined) return setProblem(wrong);
    setProblem('');
    const { token, name, password, code, newPassword } = typed;
    const who = { name: name.trim(), password, ...(code.trim() === '' ? {} : { code: code.trim() }) };
    try {
      const session = await (mustChange
        ? api.changePassword(password, newPassword)
        : isByToken
          ? api.signIn(token.trim())
          : api.logIn(who));
      if (session.mustChangePassword === true) setMustChange(true);
      else onSignedIn(session);
    } catch (error) {
      const isWrongToken = isByToken && error instanceof ApiProblem && error.status === 401;
      setProblem(isWrongToken ? says.wrong : error instanceof Error ? error.message : String(error));
    }
  };
  const field = (name: keyof typeof typed, more: JSX.IntrinsicElements['input']) => (
    <Field
      label={says[name]}
      value={typed[name]}
      change={(value) => setTyped((before) => ({ ...before, [name]: value }))}
      more={more}
    />
  );
  return (
    <form noValidate onSubmit={submit} class="sign-in">
      {isByToken ? (
        <>
          {field('token', { type: 'password', autocomplete: 'off', required: true })}
          <p class="hint">{says.hint}</p>
        </>
      ) : (
        <>
          {field('name', { autocomplete: 'username', required: true })}
          {field('password', { type: 'password', autocomplete: 'current-password', required: true })}
          {field('code', { inputMode: 'numeric', autocomplete: 'one-time-code' })}
          {mustChange &&
            field('newPassword', { type: 'password', autocomplete: 'new-password', required: true })}
        </>
      )}
      <p role="alert" class="problem">
        {problem}
      </p>
      <p class="actions">
        <button type="submit" class="main">
          {says.submit}
        </button>
        <button type="button" onClick={() => setByToken(!isByToken)}>
          {isByToken ? says.byPassword : says.byToken}
        </button>
        {hasSignOn && (
          <a href={SIGN_ON} {...(isAgain ? { target: '_blank', rel: 'noopener' } : {})}>
            {says.singleSignOn}
          </a>
        )}
      </p>
    </form>
  );
}

const SIGN_ON = 'gwe/v2/sign-on';

/** Whether the platform has a provider of identities. */
function useSignOn(api: Api): boolean {
  const [hasSignOn, setSignOn] = useState(false);
  useEffect(() => {
    api.signInWays().then(
      ({ singleSignOn }) => setSignOn(singleSignOn),
      () => undefined,
    );
  }, []);
  return hasSignOn;
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly more: JSX.IntrinsicElements['input'];
  change(value: string): void;
}

function Field({ label, value, more, change }: FieldProps) {
  const id = useId();
  return (
    <p>
      <label for={id}>{label}</label>
      <input {...more} id={id} value={value} onInput={(event) => change(event.currentTarget.value)} />
    </p>
  );
}
