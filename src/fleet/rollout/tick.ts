/**
 * What happens by the passing of time alone: deadlines of members, the end of a wave and of its soak. Each step says
 * until when it waits.
 */

import { nextOpening } from '../../base/time/windows.ts';
import { isHeldBackForGood } from './agent-knows.ts';
import { IN_FLIGHT, type MemberEvent } from './member-states.ts';
import { moveMember, moveRollout, type Pair, settle } from './move.ts';
import {
  awaitsGateways,
  countIn,
  type Member,
  noCounts,
  type Rollout,
  tallyOf,
  type Wave,
} from './rollout.ts';
import { findLack } from './stop-rule.ts';

interface Deadline {
  readonly event: MemberEvent;
  /** Unix seconds after which it is due. */
  readonly at: number;
}

export const LONGEST_UPDATE_S = 14 * 86_400;

/** The time by which something must be heard of a member, or `undefined` where nothing is expected. */
export function deadlineOf(rollout: Rollout, member: Member): Deadline | undefined {
  const { policy, waves } = rollout;
  const openedAt = waves[member.wave]?.openedAt ?? 0;
  const twoIntervals = 2 * member.intervalS;
  switch (member.state) {
    case 'waiting':
    case 'offered': {
      if (openedAt === 0) return undefined;
      // A member to which nothing may be shown gets no more time by coming to read.
      const heardAt = isHeldBackForGood(rollout, member) ? 0 : member.heardAt;
      const from = Math.max(openedAt, heardAt, member.notBefore);
      return { event: 'unreached', at: from + Math.max(policy.reachS, 3 * member.intervalS) };
    }
    case 'taken':
    case 'working': {
      // Over a slow line an update may take days, and the agent is heard of each time it looks for a newer command.
      // Even so, no update is waited for longer than LONGEST_UPDATE_S.
      const quietAt = member.heardAt + twoIntervals + policy.installS;
      const beginsAt = Math.max(member.since, policy.notBefore ?? 0);
      return { event: 'quiet', at: Math.min(quietAt, beginsAt + LONGEST_UPDATE_S) };
    }
    case 'deferred':
      return { event: 'quiet', at: member.heardAt + twoIntervals + policy.installS };
    case 'installed':
      return { event: 'quiet', at: member.since + twoIntervals };
    default:
      return undefined;
  }
}

/**
 * Moves a member whose deadline is over. Before a member has taken the command, nothing runs out while the rollout is
 * halted.
 */
export function tickMember(pair: Pair, nowS: number): Pair {
  const { rollout, member } = pair;
  if (rollout.state === 'aborted' && (member.state === 'waiting' || member.state === 'offered'))
    return moveMember(pair, { event: 'withdraw', at: nowS });
  const deadline = deadlineOf(rollout, member);
  if (deadline === undefined || nowS <= deadline.at) return pair;
  const isHalted = rollout.state !== 'running' && rollout.state !== 'soaking';
  if (deadline.event === 'unreached' && isHalted) return pair;
  const moved = moveMember(pair, { event: deadline.event, at: nowS });
  return { ...moved, rollout: settle(moved.rollout, nowS) };
}

/** Waves that have begun. */
function openWaves({ waves, wave }: Rollout): readonly Wave[] {
  return waves.slice(0, wave + 1);
}

/** A command that was taken before its time is installed when that time comes; the soak begins then. */
export function soakEndsAt({ waves, wave, policy }: Rollout): number {
  const from = Math.max(waves[wave]?.lastTakenAt ?? 0, policy.notBefore ?? 0);
  return (nextOpening(policy.windows, from) ?? from) + policy.soakS;
}

/** The longest time that a rollout waits for its patches. */
export const MOST_PREPARING_S = 1800;

/** The next step of the rollout itself, at most one at a time; unchanged where nothing is due. */
export function tickRollout(rollout: Rollout, nowS: number): Rollout {
  const step = { at: nowS, by: 'rule' };
  if (rollout.state === 'preparing' && nowS >= rollout.since + MOST_PREPARING_S)
    return beginFirstWave(rollout, { ...step, reason: 'its patches were waited for long enough' }) ?? rollout;
  const left = countIn(openWaves(rollout), ['waiting', 'offered']);
  if (rollout.state === 'running' && awaitsGateways(rollout)) return rollout;
  if (rollout.state === 'running' && left === 0)
    return moveRollout(rollout, { ...step, event: 'wave-taken' }) ?? rollout;
  if (rollout.state !== 'soaking') return rollout;
  if (left > 0) return moveRollout(rollout, { ...step, event: 'reopened' }) ?? rollout;
  if (nowS < soakEndsAt(rollout) || countIn(openWaves(rollout), IN_FLIGHT) > 0) return rollout;
  const lack = findLack(tallyOf(rollout.waves.slice(rollout.wave, rollout.wave + 1)), rollout.policy);
  if (lack !== undefined)
    return (
      moveRollout(rollout, { ...step, event: 'hold', reason: `wave ${rollout.wave + 1}: ${lack}` }) ?? rollout
    );
  return nextWave(rollout, { at: nowS, by: 'rule' });
}

interface Step {
  /** Unix seconds. */
  readonly at: number;
  readonly by: string;
  readonly reason?: string;
}

/**
 * Opens the next wave, or ends the rollout after the last. One that follows has no last: whoever joins it from now on is
 * in a wave of its own, so that the rule judges them without all those that went well before.
 */
export function nextWave(rollout: Rollout, step: Step): Rollout {
  const next = rollout.wave + 1;
  const isOver = next >= rollout.waves.length;
  if (isOver && rollout.policy.follow === undefined)
    return moveRollout(rollout, { ...step, event: 'finish' }) ?? rollout;
  const moved = moveRollout(rollout, { ...step, event: 'advance' });
  if (moved === undefined) return rollout;
  const waves = isOver ? [...moved.waves, { openedAt: 0, lastTakenAt: 0, counts: noCounts() }] : moved.waves;
  return openWave({ ...moved, wave: next, waves }, step.at);
}

/** Begins the first wave: the patches are there, or the time to wait for them is over. */
export function beginFirstWave(rollout: Rollout, step: Step): Rollout | undefined {
  const moved = moveRollout(rollout, { ...step, event: 'prepared' });
  return moved === undefined ? undefined : openWave({ ...moved, startedAt: step.at }, step.at);
}

function openWave(rollout: Rollout, at: number): Rollout {
  const waves = rollout.waves.map((wave, index) =>
    index === rollout.wave ? { ...wave, openedAt: at } : wave,
  );
  return { ...rollout, waves };
}
