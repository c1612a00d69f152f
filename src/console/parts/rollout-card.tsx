import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useConsole, useMay } from '../base/context.ts';
import { plain } from '../base/format.ts';
import type { Rollout } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { words } from '../base/words.ts';
import { Confirm, type Question } from './confirm.tsx';
import { actsIn, type Progress, progressOf, questionOf, type RolloutAct } from './rollout-acts.ts';
import { Time } from './time.tsx';

const PERMISSION = {
  approve: 'rollout.approve',
  pause: 'rollout.pause',
  resume: 'rollout.resume',
  'go-on': 'rollout.go-on',
  retry: 'rollout.retry',
  undo: 'rollout.undo',
  abort: 'rollout.abort',
} as const satisfies Record<RolloutAct, string>;

/** One rollout: its state in a word, its waves, what it waits for, and what may be done. */
export function RolloutCard({ rollout, say }: { rollout: Rollout; say: (text: string) => void }) {
  const { product } = useConsole();
  const { id, name, state, wave, waves, reason, waitsFor, until } = rollout;
  const isOpen = state !== 'done' && state !== 'aborted';
  return (
    <li class={`rollout ${state}`}>
      <h3>
        <a href={hrefOf({ product, page: 'rollouts', item: id })}>{plain(name)}</a>
        <span class={`state ${state}`}>{words.rollout.states[state] ?? plain(state)}</span>
        <span class="hint">{words.rollout.wave(wave, waves.length)}</span>
      </h3>
      <ProgressBar name={name} progress={progressOf(rollout)} />
      {isOpen && (
        <p>
          {words.rollout.waitsFor(plain(waitsFor))}
          {until !== undefined && (
            <>
              , <Time at={until} />
            </>
          )}
        </p>
      )}
      {!isOpen && reason !== '' && <p class="hint">{plain(reason)}</p>}
      <RolloutButtons rollout={rollout} say={say} />
    </li>
  );
}

const PARTS = ['succeeded', 'failed', 'silent', 'underWay', 'waiting'] as const satisfies (keyof Progress)[];

/** The share of each kind as a bar, and the same in words: nothing is shown by colour alone. */
function ProgressBar({ name, progress }: { name: string; progress: Progress }) {
  const shown = PARTS.filter((part) => progress[part] > 0);
  const said = shown.map((part) => `${progress[part].toLocaleString('en')} ${words.rollout.legend[part]}`);
  return (
    <>
      <div class="bar" role="img" aria-label={`${words.rollout.progress(plain(name))}: ${said.join(', ')}`}>
        {shown.map((part) => (
          <span key={part} class={part} style={{ flexGrow: progress[part] }} />
        ))}
      </div>
      <p class="legend" aria-hidden="true">
        {shown.map((part, at) => (
          <span key={part} class={part}>
            {said[at]}
          </span>
        ))}
      </p>
    </>
  );
}

function RolloutButtons({ rollout, say }: { rollout: Rollout; say: (text: string) => void }): JSX.Element {
  const { api, refresh } = useConsole();
  const may = useMay();
  const [question, setQuestion] = useState<Question>();
  const done = (said: string): void => {
    say(said);
    refresh();
  };
  const acts = actsIn(rollout).filter((act) => may(PERMISSION[act]));
  const isSigned = rollout.policy.signed !== undefined;
  return (
    <div class="actions">
      {acts
        .filter((act) => act !== 'undo' || !isSigned)
        .map((act) => (
          <button
            key={act}
            type="button"
            aria-label={`${words.rollout.actions[act]} ${plain(rollout.name)}`}
            onClick={() => setQuestion(questionOf(api, act, rollout, done))}
          >
            {words.rollout.actions[act]}
          </button>
        ))}
      {isSigned && acts.includes('undo') && (
        <p class="hint">
          {words.rollout.undoSigned}{' '}
          <code>
            gwe fleet rollout undo {plain(rollout.product)} {plain(rollout.id)} --sign-key FILE
          </code>
        </p>
      )}
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </div>
  );
}
