/** What can be installed, who signed it, and on how many gateways it runs. */
import { useState } from 'preact/hooks';
import { contentWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { bytes, plain } from '../base/format.ts';
import { usePages } from '../base/pages.ts';
import { CONTENT, CONTENT_ITEM, type ContentItem, STATUS } from '../base/replies.ts';
import { go, hrefOf, NEW } from '../base/route.ts';
import { words } from '../base/words.ts';
import { Confirm, type Question } from '../parts/confirm.tsx';
import { Fact } from '../parts/fact.tsx';
import { type Column, LongTable } from '../parts/long-table.tsx';
import { ReleaseNote } from '../parts/release-note.tsx';
import { Time } from '../parts/time.tsx';
import { Unread } from '../parts/unread.tsx';
import { UploadBox } from '../parts/upload.tsx';

const idOf = ({ id }: ContentItem): string => id;
const isPatch = (id: string): boolean => id.endsWith('.patch');

export function ContentPage({ say }: { say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const path = `/products/${encodeURIComponent(product)}`;
  const found = usePages<ContentItem>(
    `${path}/content`,
    async (after) => {
      const query = new URLSearchParams({ limit: '200', ...(after === undefined ? {} : { after }) });
      const { content, next } = await api.read(`${path}/content?${query}`, CONTENT);
      return { items: content, next };
    },
    idOf,
  );
  const status = useLoaded(`${path} status`, () => api.read(`${path}/status`, STATUS)).value;
  const runsOn = ({ app = '', version = '' }: ContentItem): number =>
    status?.apps.get(app)?.get(version) ?? 0;
  return (
    <>
      {may('content.write') && <UploadBox done={(id) => say(says.kept(id))} />}
      <ReleaseNote />
      <Unread problem={found.problem} isOld={found.isRead} />
      {found.isRead && found.items.length === 0 && <p>{says.none}</p>}
      {found.items.length > 0 && (
        <LongTable
          name={words.content}
          items={found.items}
          isComplete={found.isComplete}
          columns={columnsOf(product, found.items, runsOn)}
          idOf={idOf}
          look={found.look}
        />
      )}
    </>
  );
}

function columnsOf(
  product: string,
  items: readonly ContentItem[],
  runsOn: (item: ContentItem) => number,
): readonly Column<ContentItem>[] {
  const patches = items.filter(({ id }) => isPatch(id));
  const patchesTo = ({ app = '', version = '' }: ContentItem): number =>
    app === '' ? 0 : patches.filter(({ id }) => id.startsWith(`${app}.v${version}.`)).length;
  const said = (item: ContentItem): string =>
    [
      ...(item.isUploaded ? [] : [says.notWhole]),
      ...(runsOn(item) === 0 ? [] : [says.runsOn(runsOn(item))]),
      ...(patchesTo(item) === 0 ? [] : [says.patches(patchesTo(item))]),
    ].join(', ');
  return [
    {
      name: says.id,
      cell: ({ id }) => <a href={hrefOf({ product, page: 'content', item: id })}>{plain(id)}</a>,
    },
    { name: says.runs, cell: said },
    { name: says.size, cell: ({ sizeBytes }) => bytes(sizeBytes) },
    { name: says.at, isWide: true, cell: ({ updatedAt }) => <Time at={updatedAt} /> },
  ];
}

export function ContentItemPage({ id, say }: { id: string; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const [question, setQuestion] = useState<Question>();
  const path = `/products/${encodeURIComponent(product)}/content/${encodeURIComponent(id)}`;
  const { value, problem } = useLoaded(path, () => api.read(path, CONTENT_ITEM));
  if (value === undefined) return <Unread problem={problem} />;
  const remove: Question = {
    ask: says.removeAsk(plain(id)),
    action: says.remove,
    async run() {
      await api.change({ method: 'DELETE', path, decoder: object({}) });
      say(says.removed(plain(id)));
      go({ product, page: 'content' });
    },
  };
  const { app, sizeBytes, updatedAt, meta, index } = value;
  return (
    <>
      <p>
        <a href={hrefOf({ product, page: 'content' })}>{says.back}</a>
      </p>
      <dl>
        <Fact name={says.size}>{bytes(sizeBytes)}</Fact>
        <Fact name={says.at}>
          <Time at={updatedAt} />
        </Fact>
        {index !== undefined && (
          <>
            <Fact name={says.signed}>{index.signatures.join(', ') || says.notSigned}</Fact>
            <Fact name={says.machines}>{plain(index.architectures.join(', ')) || says.allMachines}</Fact>
            {index.release !== undefined && <Fact name={says.release}>{index.release}</Fact>}
            <Fact name={says.manifest}>{index.digest}</Fact>
          </>
        )}
        <Fact name={says.meta}>{plain(meta)}</Fact>
      </dl>
      {app !== undefined && index === undefined && <p class="hint">{says.noIndex}</p>}
      <p class="actions">
        {app !== undefined && may('rollout.plan') && (
          <a href={hrefOf({ product, page: 'rollouts', item: NEW, query: { artifacts: id } })}>
            {says.rollOut}
          </a>
        )}
        {may('content.write') && (
          <button type="button" onClick={() => setQuestion(remove)}>
            {says.remove}
          </button>
        )}
      </p>
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}
