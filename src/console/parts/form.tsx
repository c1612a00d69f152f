/** A form with a few fields, one button, and a place for what is wrong. */
import type { JSX } from 'preact';
import { useId, useState } from 'preact/hooks';
import { problemIn } from './check.ts';

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly first?: string;
  /** The field is a choice among these, in place of a text. */
  readonly options?: readonly (readonly [value: string, label: string])[];
  readonly lines?: number;
  readonly hint?: string;
  readonly isOptional?: boolean;
  readonly more?: JSX.IntrinsicElements['input'];
}

interface FormProps {
  readonly fields: readonly Field[];
  readonly action: string;
  /**
   * Called with a function that gives the text of a field, without spaces around it. What it throws is shown;
   * otherwise the form is emptied.
   */
  submit(of: (name: string) => string): Promise<void>;
}

export function Form({ fields, action, submit }: FormProps) {
  const firsts = (): Record<string, string> =>
    Object.fromEntries(fields.map(({ name, first, options }) => [name, first ?? options?.[0]?.[0] ?? '']));
  const [typed, setTyped] = useState(firsts);
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    const wrong = problemIn(event.currentTarget);
    if (wrong !== undefined) return setProblem(wrong);
    setBusy(true);
    try {
      await submit((name) => (typed[name] ?? '').trim());
      setTyped(firsts());
      setProblem('');
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="plan" noValidate onSubmit={send}>
      {fields.map((field) => (
        <FormField
          key={field.name}
          field={field}
          value={typed[field.name] ?? ''}
          change={(value) => setTyped((before) => ({ ...before, [field.name]: value }))}
        />
      ))}
      <p role="alert" class="problem">
        {problem}
      </p>
      <p class="actions">
        <button type="submit" class="main" disabled={isBusy}>
          {action}
        </button>
      </p>
    </form>
  );
}

interface FormFieldProps {
  readonly field: Field;
  readonly value: string;
  change(value: string): void;
}

function FormField({ field, value, change }: FormFieldProps) {
  const [id, hintId] = [useId(), useId()];
  const { label, options, lines, hint, isOptional = false, more } = field;
  const common = {
    id,
    value,
    required: !isOptional,
    ...(hint === undefined ? {} : { 'aria-describedby': hintId }),
  };
  const input = (event: { currentTarget: { value: string } }): void => change(event.currentTarget.value);
  return (
    <p>
      <label for={id}>{label}</label>
      {options !== undefined ? (
        <select {...common} onChange={input}>
          {options.map(([one, said]) => (
            <option key={one} value={one}>
              {said}
            </option>
          ))}
        </select>
      ) : lines !== undefined ? (
        <textarea {...common} rows={lines} spellcheck={false} onInput={input} />
      ) : (
        <input autocomplete="off" spellcheck={false} {...more} {...common} onInput={input} />
      )}
      {hint !== undefined && (
        <span id={hintId} class="hint">
          {hint}
        </span>
      )}
    </p>
  );
}
