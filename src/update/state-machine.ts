/** The life of one update as data: which state follows which, for every event. Resume uses the same table. */

/** A state says what is being done; its effect runs after the state is in the journal. */
export const WORKING_STATES = [
  'planned',
  'downloading',
  'verified',
  'staged',
  'promoted',
  'installing',
  'activating',
  'probing',
  'rolling-back',
] as const;
export type WorkingState = (typeof WORKING_STATES)[number];

/** Before the bytes are checked. In every other state their digest is known. */
const UNCHECKED_STATES = ['planned', 'downloading', 'verified'] as const;
export type UncheckedState = (typeof UNCHECKED_STATES)[number];

/** `parked`: its version is on the gateway, checked and unpacked, and another transaction of its id installs it later. */
export const FINAL_STATES = ['committed', 'failed', 'rolled-back', 'rollback-failed', 'parked'] as const;
type FinalState = (typeof FINAL_STATES)[number];

export type UpdateState = WorkingState | FinalState;

/**
 * `done`: the state's work is finished. `skip-fetch`: the bytes are on the gateway already.
 * `one-off`: there is no program to watch. `park`: it is there, and is to be installed later. `failed`: the work cannot be
 * finished.
 */
export type UpdateEvent = 'done' | 'skip-fetch' | 'park' | 'one-off' | 'failed';

/**
 * Up to `promoted` nothing that runs has been touched, so a failure leaves the gateway as it was. From
 * `installing` on a failure goes through `rolling-back`.
 */
export const TRANSITIONS: Readonly<Record<WorkingState, Partial<Record<UpdateEvent, UpdateState>>>> = {
  planned: { done: 'downloading', 'skip-fetch': 'promoted', park: 'parked', failed: 'failed' },
  downloading: { done: 'verified', failed: 'failed' },
  verified: { done: 'staged', failed: 'failed' },
  staged: { done: 'promoted', park: 'parked', failed: 'failed' },
  promoted: { done: 'installing', failed: 'failed' },
  installing: { done: 'activating', failed: 'rolling-back' },
  activating: { done: 'probing', 'one-off': 'committed', failed: 'rolling-back' },
  probing: { done: 'committed', failed: 'rolling-back' },
  'rolling-back': { done: 'rolled-back', failed: 'rollback-failed' },
};

export function isUnchecked(state: UpdateState): state is UncheckedState {
  return (UNCHECKED_STATES as readonly string[]).includes(state);
}

export function isFinal(state: UpdateState): state is FinalState {
  return (FINAL_STATES as readonly string[]).includes(state);
}

/** The state after `event`; an event that the table does not have is a bug, so it throws. */
export function nextState(state: WorkingState, event: UpdateEvent): UpdateState {
  const next = TRANSITIONS[state][event];
  if (next === undefined) throw new Error(`no transition from '${state}' on '${event}'`);
  return next;
}
