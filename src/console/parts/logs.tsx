/** The logs of updates that a gateway has sent, and a button to ask for one. */
import { logWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { plain, plainLines } from '../base/format.ts';
import { type Gateway, LOGS } from '../base/replies.ts';
import { Form } from './form.tsx';
import { Time } from './time.tsx';

export function Logs({ gateway, path }: { gateway: Gateway; path: string }) {
  const { api, refresh } = useConsole();
  const may = useMay();
  const { value } = useLoaded(`${path}/logs`, () => api.read(`${path}/logs`, LOGS));
  const apps = [...gateway.apps.keys()];
  const ask = async (of: (name: string) => string): Promise<void> => {
    await api.change({ method: 'POST', path: `${path}/logs`, body: { app: of('app') }, decoder: object({}) });
    refresh();
  };
  return (
    <section aria-labelledby="logs">
      <h2 id="logs">{says.title}</h2>
      {value !== undefined && value.logs.length === 0 && !value.isAsked && <p>{says.none}</p>}
      {value?.isAsked === true && <p role="status">{says.asked}</p>}
      {value?.logs.map(({ tx, app, version, at, text, missing, pieces }) => (
        <details key={tx}>
          <summary>
            {plain(says.of(app, version))}, <Time at={at} />
            {missing.length > 0 && `: ${says.missing(missing.length, pieces)}`}
          </summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled by keys */}
          <pre tabIndex={0}>{plainLines(text)}</pre>
        </details>
      ))}
      {may('gateway.command') && apps.length > 0 && value?.isAsked === false && (
        <Form
          key={apps.join(' ')}
          fields={[{ name: 'app', label: says.app, options: apps.map((app) => [app, plain(app)]) }]}
          action={says.ask}
          submit={ask}
        />
      )}
    </section>
  );
}
