/** The states of one gateway in one rollout, and the only ways from one to another. */

export const MEMBER_STATES = [
  'waiting',
  'offered',
  'taken',
  'working',
  'deferred',
  'installed',
  'succeeded',
  'failed',
  'silent',
  'unreachable',
  'withdrawn',
  'superseded',
  'excluded',
] as const;
export type MemberState = (typeof MEMBER_STATES)[number];

export type MemberEvent =
  /** The gateway reads, and the command is shown to it. */
  | 'offer'
  /** It empties the alias that showed the command: it has stored the command, and no pause takes it back. */
  | 'take'
  | 'progress'
  /** It waits for data budget, or for room on its disk. */
  | 'defer'
  /** `fetch_status` says installed or unchanged for all apps of the command. */
  | 'install'
  /** `engine_report` shows that all of them run as well. */
  | 'show'
  | 'fail'
  /** Nothing was heard of it by its deadline after it took the command. */
  | 'quiet'
  /** It did not come to read by its deadline. */
  | 'unreached'
  /** The rollout was paused before the gateway took the command. */
  | 'recall'
  /** The rollout was aborted before the gateway took the command. */
  | 'withdraw'
  | 'retry'
  /** The place of this rollout's command was taken by another rollout, or by a person's command for the same app. */
  | 'supersede';

type Ways = Readonly<Partial<Record<MemberEvent, MemberState>>>;

/** What a gateway that has the command may report about it. */
const REPORTS: Ways = { progress: 'working', defer: 'deferred', install: 'installed', fail: 'failed' };
const UNDER_WAY: Ways = { ...REPORTS, quiet: 'silent', supersede: 'superseded' };

/**
 * State -> event -> next state. A gateway that read the command before it was recalled or withdrawn may still take
 * it. What the gateway does is what counts, so `take` is accepted in each state in which the command may have been
 * shown.
 */
export const MEMBER_TRANSITIONS: Readonly<Record<MemberState, Ways>> = {
  waiting: {
    offer: 'offered',
    take: 'taken',
    unreached: 'unreachable',
    withdraw: 'withdrawn',
    supersede: 'superseded',
  },
  offered: {
    take: 'taken',
    recall: 'waiting',
    unreached: 'unreachable',
    withdraw: 'withdrawn',
    supersede: 'superseded',
  },
  taken: UNDER_WAY,
  working: UNDER_WAY,
  deferred: UNDER_WAY,
  installed: { show: 'succeeded', fail: 'failed', quiet: 'silent', supersede: 'superseded' },
  silent: { ...REPORTS, retry: 'waiting', supersede: 'superseded' },
  // A failure that is reported late, while the rollout is young.
  succeeded: { fail: 'failed' },
  failed: { retry: 'waiting' },
  unreachable: { take: 'taken', retry: 'waiting', withdraw: 'withdrawn', supersede: 'superseded' },
  withdrawn: { take: 'taken' },
  superseded: {},
  excluded: {},
};

/** The states that hold a slot of `concurrency`: a silent or deferred member has freed its slot. */
export const IN_FLIGHT: readonly MemberState[] = ['offered', 'taken', 'working', 'installed'];
/** The states in which nothing is expected of a member, and it does not count as reachable. */
export const OUT_OF_REACH: readonly MemberState[] = ['unreachable', 'withdrawn', 'superseded', 'excluded'];
