/**
 * Files that somebody drops or chooses become content: checked, digested, and sent; kept if what arrived is the same.
 */
import { useId, useState } from 'preact/hooks';
import { contentWords as says } from '../base/admin-words.ts';
import type { Api } from '../base/api.ts';
import { useConsole } from '../base/context.ts';
import { object, text } from '../base/decode.ts';
import { plain } from '../base/format.ts';
import { createSha256 } from '../base/sha256.ts';

interface Row {
  readonly name: string;
  readonly said: string;
  readonly share: number;
  readonly state: 'busy' | 'done' | 'failed';
}

export function UploadBox({ done }: { done: (id: string) => void }) {
  const { api, product, refresh } = useConsole();
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [isOver, setOver] = useState(false);
  const field = useId();
  const take = async (files: readonly File[]): Promise<void> => {
    // One file after the other: each is read and sent before the next begins.
    for (const file of files) {
      const tell = (row: Omit<Row, 'name'>): void =>
        setRows((before) => [
          ...before.filter(({ name }) => name !== file.name),
          { name: file.name, ...row },
        ]);
      try {
        await uploadFile(api, product, file, tell);
        tell({ said: says.kept(plain(file.name)), share: 1, state: 'done' });
        done(file.name);
        refresh();
      } catch (error) {
        const said = error instanceof Error ? error.message : String(error);
        tell({ said: plain(said), share: 0, state: 'failed' });
      }
    }
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void take([...(event.dataTransfer?.files ?? [])]);
  };
  return (
    <section
      aria-label={says.upload}
      class={isOver ? 'drop over' : 'drop'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <label for={field}>{says.choose}</label>
      <input
        id={field}
        type="file"
        multiple
        onChange={(event) => {
          void take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      <span class="hint">{says.drop}</span>
      <ul class="uploads">
        {rows.map((row) => (
          <UploadRow key={row.name} row={row} />
        ))}
      </ul>
    </section>
  );
}

function UploadRow({ row: { name, said, share, state } }: { row: Row }) {
  if (state === 'failed')
    return (
      <li role="alert" class="problem">
        {said}
      </li>
    );
  return (
    <li>
      {state === 'busy' && (
        <progress max={1} value={share} aria-label={says.progress(plain(name))}>
          {Math.round(share * 100)} %
        </progress>
      )}{' '}
      <span role="status">{state === 'busy' ? `${plain(name)}: ${said}` : said}</span>
    </li>
  );
}

type Tell = (row: Omit<Row, 'name'>) => void;

async function uploadFile(api: Api, product: string, file: File, tell: Tell): Promise<void> {
  await look(file);
  const busy = (said: string) => (share: number) => tell({ said, share, state: 'busy' });
  const sha256 = await digestOf(file, busy(says.digest));
  const moved = busy(says.sending);
  moved(0);
  const [of, id] = [encodeURIComponent(product), encodeURIComponent(file.name)];
  const path = `/products/${of}/content/${id}?sha256=${sha256}`;
  await api.upload({ path, bytes: file, decoder: object({ id: text }), moved });
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_+-]{0,63}\.v[A-Za-z0-9_][A-Za-z0-9_.+-]{0,130}\.(tar\.gz|patch)$/;

/** Throws a sentence about a file that no gateway could use. */
async function look(file: File): Promise<void> {
  if (!NAME.test(file.name)) throw new Error(says.badName(plain(file.name)));
  if (file.size === 0) throw new Error(says.empty(file.name));
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = first === 0x1f && second === 0x8b;
  if (file.name.endsWith('.tar.gz') && !isGzip) throw new Error(says.badStart(file.name));
}

const SLICE_BYTES = 1024 * 1024;

/** Reads a part at a time, so that the page responds between two of them. */
async function digestOf(file: File, moved: (share: number) => void): Promise<string> {
  const hash = createSha256();
  for (let at = 0; at < file.size; at += SLICE_BYTES) {
    hash.add(new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer()));
    moved(Math.min(1, (at + SLICE_BYTES) / file.size));
  }
  return hash.end();
}
