/** How far the update that is under way is. In memory: shown on a terminal, and told to the platform now and then. */
import type { Transaction } from '../../update/journal.ts';
import type { WorkingState } from '../../update/state-machine.ts';

/** What one state has done of what it has to do, in bytes of the tarball. */
export interface Step {
  tx: string;
  state: WorkingState;
  doneBytes: number;
  totalBytes: number;
}

export interface Progress {
  move(step: Step): void;
  /** The last that was counted, of whatever update. */
  last(): Step | undefined;
  /** From now on `listener` is told of every move. */
  listen(listener: (step: Step) => void): void;
}

export function createProgress(): Progress {
  let last: Step | undefined;
  let told: (step: Step) => void = () => undefined;
  return {
    move(step) {
      last = step;
      told(step);
    },
    last: () => last,
    listen(listener) {
      told = listener;
    },
  };
}

/** Where in the whole update each state begins and ends, in percent; only what is counted in bytes moves between. */
const SPANS: Readonly<Partial<Record<Transaction['state'], readonly [from: number, to: number]>>> = {
  planned: [0, 0],
  downloading: [0, 80],
  verified: [80, 90],
  staged: [90, 90],
  promoted: [90, 90],
  installing: [92, 92],
  activating: [95, 95],
  probing: [97, 97],
};

/** Whole percent of the update; `undefined` where it is going back. */
export function percentOf(
  { id, state }: Pick<Transaction, 'id' | 'state'>,
  step: Step | undefined,
): number | undefined {
  const span = SPANS[state];
  if (span === undefined) return undefined;
  const [from, to] = span;
  const isCounted = step !== undefined && step.tx === id && step.state === state && step.totalBytes > 0;
  const share = isCounted ? Math.min(1, step.doneBytes / step.totalBytes) : 0;
  return Math.floor(from + (to - from) * share);
}
