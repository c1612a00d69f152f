/** Who receives which notices, by a webhook or by mail, and whether they arrive. */
import { useState } from 'preact/hooks';
import { settingWords } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { plain } from '../base/format.ts';
import { NEW_TARGET, TARGETS } from '../base/replies.ts';
import { Confirm, type Question } from '../parts/confirm.tsx';
import { Form } from '../parts/form.tsx';
import { Secret } from '../parts/secret.tsx';
import { Table } from '../parts/table.tsx';
import { Unread } from '../parts/unread.tsx';

const { targets: says, ...common } = settingWords;

/** Stands for all kinds of notices. */
const ALL = 'all';

export function Targets({ say }: { say: (text: string) => void }) {
  const { api, session, refresh } = useConsole();
  const [made, setMade] = useState<{ url: string; secret?: string | undefined }>();
  const { value, problem } = useLoaded('/targets', () => api.read('/targets', TARGETS));
  const kinds = Object.keys(says.kind);
  const add = async (of: (name: string) => string): Promise<void> => {
    const chosen = of('kinds') === ALL ? kinds : [of('kinds')];
    const silentAfterS = Math.round(Number(of('hours')) * 3600);
    const body = { product: of('product'), url: of('url'), kinds: chosen, silentAfterS };
    setMade(await api.change({ method: 'POST', path: '/targets', body, decoder: NEW_TARGET }));
    refresh();
  };
  const products = session.products.map((one): [string, string] => [one, plain(one)]);
  return (
    <>
      <Unread problem={problem} isOld={value !== undefined} />
      {value?.targets.length === 0 && <p>{says.none}</p>}
      {value !== undefined && value.targets.length > 0 && <TargetTable targets={value.targets} say={say} />}
      {made?.secret !== undefined && <Secret label={says.secret} value={made.secret} />}
      <h2>{says.add}</h2>
      <Form
        fields={[
          {
            name: 'url',
            label: says.url,
            more: { pattern: '(https://|mailto:).{1,990}', title: formWords.target },
          },
          { name: 'product', label: common.inProduct, options: [['*', common.allProducts], ...products] },
          {
            name: 'kinds',
            label: says.kinds,
            options: [[ALL, ALL], ...kinds.map((one): [string, string] => [one, says.kind[one] ?? one])],
          },
          {
            name: 'hours',
            label: says.hours,
            first: '24',
            more: { type: 'number', min: 1, max: 8760, step: 1 },
          },
        ]}
        action={says.add}
        submit={add}
      />
    </>
  );
}

type Target = ReturnType<typeof TARGETS>['targets'][number];

function TargetTable({ targets, say }: { targets: readonly Target[]; say: (text: string) => void }) {
  const { api, refresh } = useConsole();
  const [question, setQuestion] = useState<Question>();
  const [failure, setFailure] = useState('');
  const call = async (method: 'POST' | 'DELETE', path: string, said: string): Promise<void> => {
    await api.change({ method, path, decoder: object({}) });
    say(said);
    refresh();
  };
  const remove = ({ id, url }: Target): Question => ({
    ask: says.removeAsk(plain(url)),
    action: common.remove,
    run: () => call('DELETE', `/targets/${encodeURIComponent(id)}`, common.removed(plain(url))),
  });
  const tryIt = ({ id }: Target): void => {
    call('POST', `/targets/${encodeURIComponent(id)}/test`, says.tried).then(
      () => setFailure(''),
      (error: unknown) => setFailure(error instanceof Error ? error.message : String(error)),
    );
  };
  return (
    <>
      <Table
        name={common.tabs.targets}
        heads={[says.url, common.inProduct, says.kinds, says.sent, '']}
        rows={targets.map((target) => ({
          key: target.id,
          cells: [
            plain(target.url),
            target.product === '*' ? common.allProducts : plain(target.product),
            plain(target.kinds.map((kind) => says.kind[kind] ?? kind).join(', ')),
            <>
              {says.counts(target.sent, target.waiting, target.givenUp)}
              {target.lastError !== '' && <div class="problem">{plain(target.lastError)}</div>}
            </>,
            <span key="acts" class="actions">
              <button type="button" onClick={() => tryIt(target)}>
                {says.tryIt}
              </button>
              <button
                type="button"
                aria-label={common.removeIt(plain(target.url))}
                onClick={() => setQuestion(remove(target))}
              >
                {common.remove}
              </button>
            </span>,
          ],
        }))}
      />
      <p role="alert" class="problem">
        {failure}
      </p>
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}
