import { useId, useState } from 'preact/hooks';
import { formWords } from '../base/form-words.ts';
import { words } from '../base/words.ts';
import { problemIn } from './check.ts';

/** One tag of a gateway. */
export function TagForm({ submit }: { submit: (name: string, value: string) => Promise<void> }) {
  const [name, setName] = useState('');
  const [value, setValue] = useState('');
  const [problem, setProblem] = useState('');
  const [nameField, valueField] = [useId(), useId()];
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wrong = problemIn(event.currentTarget);
    if (wrong !== undefined) return setProblem(wrong);
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
    <form class="line" noValidate onSubmit={send}>
      <label for={nameField}>{words.list.tagName}</label>
      <input
        id={nameField}
        value={name}
        required
        pattern="[A-Za-z0-9_.\-]{1,64}"
        title={formWords.tag}
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
