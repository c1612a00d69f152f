/** The states of a rollout, and the only ways from one to another. */

export const ROLLOUT_STATES = [
  'draft',
  'awaiting-approval',
  'preparing',
  'running',
  'soaking',
  'paused',
  'held',
  'done',
  'aborted',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export type RolloutEvent =
  | 'submit'
  | 'start'
  | 'approve'
  /** The patches are there, or the time to wait for them is over. */
  | 'prepared'
  /** All gateways of the wave have taken the command, or no longer can. */
  | 'wave-taken'
  /** A gateway is to take the command again. */
  | 'reopened'
  | 'advance'
  | 'finish'
  /** The stop rule: a pause, with the numbers that caused it. */
  | 'stop'
  /** A person has to decide. */
  | 'hold'
  | 'pause'
  | 'resume'
  | 'abort';

/** `before` is the state that was paused or held. */
export const ROLLOUT_TRANSITIONS: Readonly<
  Record<RolloutState, Readonly<Partial<Record<RolloutEvent, RolloutState | 'before'>>>>
> = {
  draft: { submit: 'awaiting-approval', start: 'preparing', abort: 'aborted' },
  'awaiting-approval': { approve: 'preparing', abort: 'aborted' },
  preparing: { prepared: 'running', pause: 'paused', abort: 'aborted' },
  running: { 'wave-taken': 'soaking', stop: 'paused', pause: 'paused', abort: 'aborted' },
  soaking: {
    reopened: 'running',
    advance: 'running',
    finish: 'done',
    stop: 'paused',
    hold: 'held',
    pause: 'paused',
    abort: 'aborted',
  },
  paused: { resume: 'before', abort: 'aborted' },
  held: { advance: 'running', finish: 'done', reopened: 'running', pause: 'paused', abort: 'aborted' },
  done: {},
  aborted: {},
};
