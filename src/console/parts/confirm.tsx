/**
 * Asks before an act on gateways, and says how many they are; before an act that cannot be taken back, the number has
 * to be typed.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { words } from '../base/words.ts';

export interface Question {
  readonly ask: string;
  /** The label of the button: the act. */
  readonly action: string;
  /** The number that has to be typed first. */
  readonly typed?: number | undefined;
  run(): Promise<void>;
}

export function Confirm({ question, close }: { question: Question; close: () => void }) {
  const { ask, action, typed, run } = question;
  const [given, setGiven] = useState('');
  const [problem, setProblem] = useState('');
  const [isRunning, setRunning] = useState(false);
  const field = useId();
  const isReady = (typed === undefined || given.trim() === String(typed)) && !isRunning;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!isReady) return;
    setRunning(true);
    try {
      await run();
      close();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setRunning(false);
    }
  };
  return (
    <Dialog title={words.confirm.title} close={close}>
      <form onSubmit={submit}>
        <p>{ask}</p>
        {typed !== undefined && (
          <p>
            <label for={field}>{words.confirm.typed(typed)}</label>
            <input
              id={field}
              inputMode="numeric"
              autocomplete="off"
              value={given}
              onInput={(event) => setGiven(event.currentTarget.value)}
            />
          </p>
        )}
        <p role="alert" class="problem">
          {problem}
        </p>
        <p class="actions">
          <button type="submit" class="main" disabled={!isReady}>
            {action}
          </button>
          <button type="button" onClick={close}>
            {words.confirm.cancel}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

/** Modal: the rest of the page cannot be reached until the dialog is closed; without `close` it cannot be closed. */
export function Dialog(props: { title: string; close?: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const onCancel = (event: Event): void => {
    event.preventDefault();
    props.close?.();
  };
  return (
    <dialog ref={dialog} aria-labelledby={heading} onCancel={onCancel}>
      <h2 id={heading}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}
