/** The filter of a list: checked while it is typed, by the platform's own parser, with the place of a fault. */
import { useId, useState } from 'preact/hooks';
import { listFields } from '../../fleet/filter/fields.ts';
import { parseFilter } from '../../fleet/filter/filter.ts';
import { FilterError } from '../../fleet/filter/tokens.ts';
import { plain } from '../base/format.ts';
import { words } from '../base/words.ts';

interface FilterBarProps {
  readonly filter: string;
  /** Apps known to be in the fleet, offered as completions. */
  readonly apps: readonly string[];
  apply(filter: string): void;
}

export function FilterBar({ filter, apps, apply }: FilterBarProps) {
  const [text, setText] = useState(filter);
  const [problem, setProblem] = useState<FilterError>();
  const [field, hint, options] = [useId(), useId(), useId()];
  const [applied, setApplied] = useState(filter);
  // While it is drawn, not afterwards: what somebody types in between would be lost.
  if (applied !== filter) {
    setApplied(filter);
    setText(filter);
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    const found = problemOf(text);
    setProblem(found);
    if (found === undefined) apply(text.trim());
  };
  return (
    <form class="filter" onSubmit={submit}>
      <label for={field}>{words.filter.label}</label>
      <input
        id={field}
        value={text}
        list={options}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        aria-invalid={problem !== undefined}
        aria-describedby={hint}
        onInput={(event) => {
          setText(event.currentTarget.value);
          // A problem is shown when the filter is sent, and disappears as soon as the text is right.
          if (problem !== undefined) setProblem(problemOf(event.currentTarget.value));
        }}
      />
      <datalist id={options}>
        {completions(text, apps).map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <button type="submit">{words.filter.apply}</button>
      <div id={hint} class="hint">
        {problem === undefined ? words.filter.hint : <FilterProblem text={text} error={problem} />}
      </div>
    </form>
  );
}

/** The text once more, with the part that does not fit marked, and what was expected there. */
function FilterProblem({ text, error }: { text: string; error: FilterError }) {
  const { at, length, found, expected } = error.problem;
  return (
    <div role="alert" class="problem">
      <code class="place">
        {text.slice(0, at)}
        <mark>{text.slice(at, at + length) || '\u00a0'}</mark>
        {text.slice(at + length)}
      </code>
      <br />
      {words.filter.problem(plain(found), expected)}
    </div>
  );
}

function problemOf(text: string): FilterError | undefined {
  try {
    parseFilter(text);
    return undefined;
  } catch (error) {
    if (error instanceof FilterError) return error;
    throw error;
  }
}

/** Completes the last word to each field that it may be the beginning of. */
function completions(text: string, apps: readonly string[]): readonly string[] {
  const [, before = '', word = ''] = /^(.*?)([\w.-]*)$/su.exec(text) ?? [];
  const fields = listFields()
    .split(', ')
    .flatMap((field) => (field.startsWith('app.') ? apps.map((app) => field.replace('NAME', app)) : [field]))
    .filter((field) => !field.includes('NAME'));
  return fields.filter((field) => field.startsWith(word)).map((field) => before + field);
}
