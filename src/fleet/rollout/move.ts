/** One step of a member or of a rollout, checked against the tables; the counters change with it. */

import { MEMBER_TRANSITIONS, type MemberEvent, type MemberState } from './member-states.ts';
import { type Counts, type Member, type Rollout, tallyOf, type Wave } from './rollout.ts';
import { ROLLOUT_TRANSITIONS, type RolloutEvent } from './rollout-states.ts';
import { badOf, findRollbackStop, findStop, type Stop } from './stop-rule.ts';

/** A rollout with one of its members. */
export interface Pair {
  readonly rollout: Rollout;
  readonly member: Member;
}

interface Move {
  readonly event: MemberEvent;
  /** Unix seconds. */
  readonly at: number;
  readonly learnt?: Partial<Pick<Member, 'code' | 'reason' | 'notBefore' | 'good' | 'shown' | 'attempt'>>;
}

/** The state that the event leads to, or `undefined` where the table has no such transition. */
function nextMemberState(state: MemberState, event: MemberEvent): MemberState | undefined {
  return MEMBER_TRANSITIONS[state][event];
}

/**
 * The rollout and its member after the step; unchanged where the table has no such transition. Does not apply the
 * stop rule: the caller does so, by `settle`, after its last step.
 */
export function moveMember(pair: Pair, { event, at, learnt = {} }: Move): Pair {
  const { rollout, member } = pair;
  const next = nextMemberState(member.state, event);
  if (next === undefined) return pair;
  const moved: Member = {
    ...member,
    ...learnt,
    state: next,
    since: next === member.state ? member.since : at,
    heardAt: isHeard(event) ? at : member.heardAt,
  };
  const waves = rollout.waves.map((wave, index) =>
    index === member.wave ? countMove(wave, [member.state, next], event === 'take' ? at : undefined) : wave,
  );
  return { member: moved, rollout: { ...rollout, waves } };
}

const UNHEARD: ReadonlySet<MemberEvent> = new Set(['quiet', 'unreached', 'recall', 'withdraw', 'supersede']);

function isHeard(event: MemberEvent): boolean {
  return !UNHEARD.has(event);
}

function countMove(
  wave: Wave,
  [from, to]: readonly [MemberState, MemberState],
  takenAt: number | undefined,
): Wave {
  const counts: Counts = { ...wave.counts, [from]: wave.counts[from] - 1 };
  return {
    ...wave,
    lastTakenAt: Math.max(wave.lastTakenAt, takenAt ?? 0),
    counts: { ...counts, [to]: counts[to] + 1 },
  };
}

interface RolloutMove {
  readonly event: RolloutEvent;
  /** Unix seconds. */
  readonly at: number;
  /** The name of a person, or `rule`. */
  readonly by: string;
  readonly reason?: string;
}

/** The rollout after the step, or `undefined` where the table has no such transition. */
export function moveRollout(rollout: Rollout, move: RolloutMove): Rollout | undefined {
  const next = ROLLOUT_TRANSITIONS[rollout.state][move.event];
  if (next === undefined) return undefined;
  const isHalt = next === 'paused' || next === 'held';
  const { before } = rollout;
  return {
    ...rollout,
    state: next === 'before' ? (before ?? 'running') : next,
    // If it is paused while held, resuming leads back to the question that was asked.
    before: isHalt ? rollout.state : undefined,
    since: move.at,
    by: move.by,
    reason: move.reason ?? '',
  };
}

/** Applies the stop rule. Idempotent: a rollout that has stopped stays as it is, with the numbers that stopped it. */
export function settle(rollout: Rollout, at: number): Rollout {
  const stop = stopOf(rollout);
  if (stop === undefined) return rollout;
  return moveRollout(rollout, { event: 'stop', at, by: 'rule', reason: stop.text }) ?? rollout;
}

/**
 * What the rule says about a rollout now, whatever its state. Says nothing if a person went on in spite of these
 * numbers.
 */
export function stopOf(rollout: Rollout): Stop | undefined {
  const { waves, wave, policy } = rollout;
  const whole = tallyOf(waves);
  if (badOf(whole) <= rollout.acceptedBad) return undefined;
  return (
    findRollbackStop(rollout.rollbackFailures, policy) ??
    findStop(tallyOf(waves.slice(wave, wave + 1)), policy, `wave ${wave + 1}`) ??
    findStop(whole, policy, 'all waves')
  );
}
