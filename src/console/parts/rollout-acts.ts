/** What a person may do with a rollout in its state, and the question before each act. */
import type { Api } from '../base/api.ts';
import { object } from '../base/decode.ts';
import type { Rollout } from '../base/replies.ts';
import { words } from '../base/words.ts';
import type { Question } from './confirm.tsx';

const ROLLOUT_ACTS = ['approve', 'pause', 'resume', 'go-on', 'retry', 'undo', 'abort'] as const;
export type RolloutAct = (typeof ROLLOUT_ACTS)[number];

const IN_STATES: Readonly<Record<RolloutAct, readonly string[]>> = {
  approve: ['awaiting-approval'],
  pause: ['preparing', 'running', 'soaking', 'held'],
  resume: ['paused'],
  'go-on': ['held'],
  retry: ['running', 'soaking', 'paused', 'held'],
  undo: ['running', 'soaking', 'paused', 'held', 'done'],
  abort: ['awaiting-approval', 'preparing', 'running', 'soaking', 'paused', 'held'],
};

export interface Progress {
  readonly all: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly silent: number;
  readonly underWay: number;
  readonly waiting: number;
}

const UNDER_WAY = ['offered', 'taken', 'working', 'deferred', 'installed'];

export function progressOf({ waves }: Pick<Rollout, 'waves'>): Progress {
  const count = (states: readonly string[]): number =>
    waves.reduce(
      (sum, { counts }) => states.reduce((more, state) => more + (counts.get(state) ?? 0), sum),
      0,
    );
  const all = waves.reduce((sum, { counts }) => [...counts.values()].reduce((a, b) => a + b, sum), 0);
  const [succeeded, failed, silent] = [count(['succeeded']), count(['failed']), count(['silent'])];
  return { all, succeeded, failed, silent, underWay: count(UNDER_WAY), waiting: count(['waiting']) };
}

/** The acts that make sense now; `retry` and `undo` only where there is something to retry or undo. */
export function actsIn(rollout: Rollout): readonly RolloutAct[] {
  return ROLLOUT_ACTS.filter((act) => IN_STATES[act].includes(rollout.state) && touchedBy(act, rollout) > 0);
}

/** How many gateways it concerns. */
function touchedBy(act: RolloutAct, rollout: Rollout): number {
  const { all, succeeded, failed, silent, underWay, waiting } = progressOf(rollout);
  const left = waiting + underWay;
  const counts: Readonly<Record<RolloutAct, number>> = {
    approve: all,
    pause: Math.max(1, left),
    resume: Math.max(1, left),
    'go-on': Math.max(1, left),
    retry: failed,
    undo: succeeded + failed + silent,
    abort: Math.max(1, left),
  };
  return counts[act];
}

/**
 * A pause can be undone with one click, and has to be quick; before any other act the number of gateways has to be
 * typed.
 */
export function questionOf(
  api: Api,
  act: RolloutAct,
  rollout: Rollout,
  done: (said: string) => void,
): Question {
  const count = touchedBy(act, rollout);
  const { id, name, product, revision } = rollout;
  const path = `/products/${encodeURIComponent(product)}/rollouts/${encodeURIComponent(id)}/${act}`;
  return {
    ask: words.rollout.asks[act](name, count),
    action: words.rollout.actions[act],
    typed: act === 'pause' ? undefined : count,
    async run() {
      // The question is about what was shown: if the rollout has changed since, the act is refused.
      await api.change({ method: 'POST', path, body: {}, revision, decoder: object({}) });
      done(`${words.rollout.did[act]}: ${name}`);
    },
  };
}
