/** A rollout and its members as values: what storage keeps, and what the rules change. */

import type { Windows } from '../../base/time/windows.ts';
import type { MemberState } from './member-states.ts';
import { MEMBER_STATES, OUT_OF_REACH } from './member-states.ts';
import type { RolloutState } from './rollout-states.ts';
import type { Limits, Tally } from './stop-rule.ts';

export interface Artifact {
  readonly app: string;
  readonly version: string;
  /** sha256 of the uncompressed tarball; without it, it is enough that the gateway shows the version. */
  readonly digest?: string | undefined;
}

/** How a rollout goes; seconds everywhere. */
export interface Policy extends Limits {
  /** At most this many gateways at once in the states from `offered` to `installed`. */
  readonly concurrency: number;
  /** From the last time that a gateway of the wave took the command until the wave is judged. */
  readonly soakS: number;
  /** The time that a gateway has to come and read. */
  readonly reachS: number;
  /** The time for download, install.sh and probe, in addition to two intervals. */
  readonly installS: number;
  /** Pauses before each further try after a fault of the network or the platform. */
  readonly retriesS: readonly number[];
  readonly windows: Windows;
  /** No gateway installs before this, Unix seconds. */
  readonly notBefore?: number | undefined;
  /** All artifacts are installed on a gateway, or none. */
  readonly together?: boolean | undefined;
  /** A filter: gateways that match it later join the last wave. */
  readonly follow?: string | undefined;
  /**
   * Made by whoever started the rollout, for gateways that take only signed commands. It is passed on; the key is not
   * known here.
   */
  readonly signed?: Readonly<Record<string, string | number>> | undefined;
}

export type Counts = Readonly<Record<MemberState, number>>;

export interface Wave {
  /** Unix seconds; 0 while it has not begun. */
  readonly openedAt: number;
  /** When the last gateway took the command. */
  readonly lastTakenAt: number;
  readonly counts: Counts;
}

export interface Rollout {
  readonly id: string;
  /** In the order in which they are installed. */
  readonly artifacts: readonly Artifact[];
  readonly policy: Policy;
  readonly state: RolloutState;
  /** The state to return to after `paused` or `held`. */
  readonly before?: RolloutState | undefined;
  /** Index of the wave that is open. */
  readonly wave: number;
  readonly waves: readonly Wave[];
  /** Who made it. */
  readonly author: string;
  readonly needsApproval: boolean;
  /** Unix seconds. */
  readonly startedAt: number;
  /** Since when it is in its state. */
  readonly since: number;
  /** Who or what brought it into its state, and why. */
  readonly by: string;
  readonly reason: string;
  readonly rollbackFailures: number;
  /** What its gateways have fetched, by their own reports, and the size of the whole tarballs. */
  readonly fetched?: { readonly bytes: number; readonly fullBytes: number } | undefined;
  /** How many bad members a person has seen and gone on with: the rule applies again when there are more. */
  readonly acceptedBad: number;
}

export interface Member {
  readonly serial: string;
  readonly wave: number;
  readonly state: MemberState;
  /** Unix seconds at which it entered its state. */
  readonly since: number;
  /** When it last reported or asked, or when its wave was opened. */
  readonly heardAt: number;
  /** Seconds between its check-ins. */
  readonly intervalS: number;
  /** Counted from 1: a recalled command is shown again under the same id, and one after a failure under a new id. */
  readonly attempt: number;
  /** Not offered again before this, Unix seconds. */
  readonly notBefore: number;
  /** Apps that were installed well, and apps that have been seen running. */
  readonly good: readonly string[];
  readonly shown: readonly string[];
  readonly code?: string | undefined;
  readonly reason?: string | undefined;
}

/** The `id` of the command shown to a member in its present attempt: its reports name this id. */
export function commandId(rollout: Pick<Rollout, 'id'>, member: Pick<Member, 'attempt'>): string {
  return `${rollout.id}.${member.attempt}`;
}

/** The counts of a wave without members. */
export function noCounts(): Counts {
  return ZERO;
}

const ZERO: Counts = {
  waiting: 0,
  offered: 0,
  taken: 0,
  working: 0,
  deferred: 0,
  installed: 0,
  succeeded: 0,
  failed: 0,
  silent: 0,
  unreachable: 0,
  withdrawn: 0,
  superseded: 0,
  excluded: 0,
};

/** Members in any of these states, of one wave or of all. */
export function countIn(waves: readonly Wave[], states: readonly MemberState[]): number {
  return waves.reduce((sum, { counts }) => states.reduce((more, state) => more + counts[state], sum), 0);
}

/** Whether it waits for gateways that are not in it yet: its last wave has begun, and nobody is in it. */
export function awaitsGateways({ policy, wave, waves }: Rollout): boolean {
  return (
    policy.follow !== undefined &&
    wave === waves.length - 1 &&
    countIn(waves.slice(wave), MEMBER_STATES) === 0
  );
}

/** The tally of the waves that have begun. */
export function tallyOf(waves: readonly Wave[]): Tally {
  const begun = waves.filter(({ openedAt }) => openedAt > 0);
  return {
    succeeded: countIn(begun, ['succeeded']),
    failed: countIn(begun, ['failed']),
    silent: countIn(begun, ['silent']),
    reachable: countIn(begun, MEMBER_STATES) - countIn(begun, OUT_OF_REACH),
  };
}
