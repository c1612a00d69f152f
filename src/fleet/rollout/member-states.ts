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
  /** The gateway reads, and is shown the command. */
  | 'offer'
  /** It empties what it was shown: it has written the command down, and no pause takes it back. */
  | 'take'
  | 'progress'
  /** It waits for its data budget or for room on its disk. */
  | 'defer'
  /** `fetch_status` says installed or unchanged of all apps of the command. */
  | 'install'
  /** `engine_report` shows all of them running as well. */
  | 'show'
  | 'fail'
  /** Nothing was heard within its deadline after it took the command. */
  | 'quiet'
  /** It did not come to read within its deadline. */
  | 'unreached'
  /** Paused before it took the command. */
  | 'recall'
  /** The rollout was aborted before it took the command. */
  | 'withdraw'
  | 'retry'
  /** Another rollout or a person's command for the same app has taken this one's place. */
  | 'supersede';

type Ways = Readonly<Partial<Record<MemberEvent, MemberState>>>;

/** What a gateway that has the command may tell of it. */
const REPORTS: Ways = { progress: 'working', defer: 'deferred', install: 'installed', fail: 'failed' };
const UNDER_WAY: Ways = { ...REPORTS, quiet: 'silent', supersede: 'superseded' };

/**
 * State -> event -> next state. A gateway that read the command before it was recalled or withdrawn may take it all the
 * same: what it does is what counts, so a taking is heard in each state in which the command may have been shown.
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
  // A failure that is told of late, while the rollout is young.
  succeeded: { fail: 'failed' },
  failed: { retry: 'waiting' },
  unreachable: { take: 'taken', retry: 'waiting', withdraw: 'withdrawn', supersede: 'superseded' },
  withdrawn: { take: 'taken' },
  superseded: {},
  excluded: {},
};

/** Those that hold a slot of `concurrency`: the silent and the deferred have freed theirs. */
export const IN_FLIGHT: readonly MemberState[] = ['offered', 'taken', 'working', 'installed'];
/** Those that nothing is to be expected of, and that are not counted among the reachable. */
export const OUT_OF_REACH: readonly MemberState[] = ['unreachable', 'withdrawn', 'superseded', 'excluded'];
