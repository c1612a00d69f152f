import { useId, useState } from 'preact/hooks';
import { useConsole, useMay } from '../base/context.ts';
import { object } from '../base/decode.ts';
import type { Gateway } from '../base/replies.ts';
import { words } from '../base/words.ts';
import { Confirm, Dialog, type Question } from './confirm.tsx';

interface TagAllProps {
  /** Reads all that are meant. */
  all(): Promise<readonly Gateway[]>;
  say(text: string): void;
}

/** One tag for all gateways of a list, after their number was said. */
export function TagAll({ all, say }: TagAllProps) {
  const { api, product, refresh } = useConsole();
  const may = useMay();
  const [isOpen, setOpen] = useState(false);
  const [question, setQuestion] = useState<Question>();
  if (!may('gateway.tag')) return null;
  const ask = async (name: string, value: string): Promise<void> => {
    const gateways = await all();
    setOpen(false);
    setQuestion({
      ask: words.list.tagAsk(gateways.length, name, value),
      action: words.list.tag,
      typed: gateways.length,
      async run() {
        const body = { [name]: value === '' ? null : value };
        for (const { serial } of gateways) {
          const path = `/products/${encodeURIComponent(product)}/devices/${encodeURIComponent(serial)}/tags`;
          await api.change({ method: 'PATCH', path, body, decoder: object({}) });
        }
        say(words.list.tagged(gateways.length));
        refresh();
      },
    });
  };
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {words.list.tag}
      </button>
      {isOpen && (
        <Dialog title={words.list.tag} close={() => setOpen(false)}>
          <TagForm submit={ask} />
        </Dialog>
      )}
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}

export function TagForm({ submit }: { submit: (name: string, value: string) => Promise<void> }) {
  const [name, setName] = useState('');
  const [value, setValue] = useState('');
  const [problem, setProblem] = useState('');
  const [nameField, valueField] = [useId(), useId()];
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await submit(name.trim(), value.trim());
      setName('');
      setValue('');
      setProblem('');
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <form class="line" onSubmit={send}>
      <label for={nameField}>{words.list.tagName}</label>
      <input
        id={nameField}
        value={name}
        required
        pattern="[A-Za-z0-9_.\-]{1,64}"
        autocomplete="off"
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <label for={valueField}>{words.list.tagValue}</label>
      <input
        id={valueField}
        value={value}
        maxLength={256}
        autocomplete="off"
        onInput={(event) => setValue(event.currentTarget.value)}
      />
      <button type="submit">{words.gateway.setTag}</button>
      <span role="alert" class="problem">
        {problem}
      </span>
    </form>
  );
}
