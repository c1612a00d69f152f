/** What a rollout waits for, and until when. There is an answer for every state. */

import { isOpen, nextOpening } from '../../base/time/windows.ts';
import { isHeldBackForGood } from './agent-knows.ts';
import { IN_FLIGHT } from './member-states.ts';
import { awaitsGateways, countIn, type Member, type Rollout } from './rollout.ts';
import { deadlineOf, MOST_PREPARING_S, soakEndsAt } from './tick.ts';

interface Waiting {
  /** In words for a person. */
  readonly waitsFor: string;
  /** Unix seconds at which the wait ends by itself, where it does. */
  readonly until?: number | undefined;
}

export function explain(rollout: Rollout, nowS: number): Waiting {
  const { state, by, reason } = rollout;
  const why = reason === '' ? '' : `: ${reason}`;
  switch (state) {
    case 'draft':
      return { waitsFor: 'its start' };
    case 'awaiting-approval':
      return { waitsFor: `the approval of somebody other than ${rollout.author}` };
    case 'preparing':
      return { waitsFor: 'its patches', until: rollout.since + MOST_PREPARING_S };
    case 'running':
      return explainRunning(rollout, nowS);
    case 'soaking':
      return nowS < soakEndsAt(rollout)
        ? { waitsFor: `the end of the soak of wave ${rollout.wave + 1}`, until: soakEndsAt(rollout) }
        : { waitsFor: `${inFlight(rollout)} gateways under way` };
    case 'paused':
      return { waitsFor: `somebody to resume or abort it (paused by ${by}${why})` };
    case 'held':
      return { waitsFor: `a decision: go on, retry or abort${why}` };
    default:
      return { waitsFor: 'nothing' };
  }
}

/** Waiting for a wave ends when the gateways that did not come count as unreachable. */
function explainRunning(rollout: Rollout, nowS: number): Waiting {
  const { policy, waves, wave } = rollout;
  const { windows, notBefore = 0 } = policy;
  const unreachableAt = (waves[wave]?.openedAt ?? nowS) + policy.reachS;
  if (awaitsGateways(rollout)) return { waitsFor: describeFollowing(rollout) };
  const waitsFor = describeRunning(rollout);
  const opensAt = nextOpening(windows, Math.max(nowS, notBefore));
  if (notBefore <= nowS && isOpen(windows, nowS)) return { waitsFor, until: unreachableAt };
  const what = notBefore > nowS ? 'its time' : 'its window';
  return { waitsFor: `${what}; ${waitsFor}`, until: opensAt };
}

/** Until when (Unix seconds) a member waits to which nothing is shown because of its agent. */
export function heldBackUntil(rollout: Rollout, member: Member, nowS: number): number | undefined {
  if (isHeldBackForGood(rollout, member)) return deadlineOf(rollout, member)?.at;
  const { windows, notBefore = 0 } = rollout.policy;
  return nextOpening(windows, Math.max(nowS, notBefore));
}

function describeFollowing({ policy: { follow = '' } }: Rollout): string {
  return follow === '' ? 'gateways that are new' : `gateways that come to match ${follow}`;
}

function inFlight({ waves }: Rollout): number {
  return countIn(waves, IN_FLIGHT);
}

function describeRunning(rollout: Rollout): string {
  const left = countIn(rollout.waves.slice(0, rollout.wave + 1), ['waiting']);
  const full =
    inFlight(rollout) >= rollout.policy.concurrency
      ? `; all ${rollout.policy.concurrency} slots are taken`
      : '';
  const put = countIn(rollout.waves, ['deferred']);
  const later = put === 0 ? '' : `, ${put} wait for their data budget or room`;
  return `${left} gateways of wave ${rollout.wave + 1} to read, ${inFlight(rollout)} under way${later}${full}`;
}
