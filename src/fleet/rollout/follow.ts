/** Gateways that come to a rollout after its start, because they match what it follows. */
import { parseFilter } from '../filter/filter.ts';
import { FilterError } from '../filter/tokens.ts';
import type { GatewayRecord } from '../gateway/record.ts';
import { reasonToLeaveOut } from './plan.ts';
import type { Member, Rollout } from './rollout.ts';
import type { RolloutState } from './rollout-states.ts';

/** In all other states gateways are taken in; while the rollout is halted they wait with the others. */
const CLOSED: readonly RolloutState[] = ['draft', 'done', 'aborted'];

/** Whether a gateway that is not in the rollout belongs into it now. `at`: Unix seconds. */
export function belongsTo(rollout: Rollout, gateway: GatewayRecord, at: number): boolean {
  const { artifacts, policy, state } = rollout;
  if (policy.follow === undefined || CLOSED.includes(state)) return false;
  return reasonToLeaveOut(gateway, { artifacts, at }) === undefined && matches(policy.follow, gateway, at);
}

/** A filter of an earlier version that can no longer be read chooses nobody. */
function matches(filter: string, gateway: GatewayRecord, at: number): boolean {
  try {
    return parseFilter(filter)(gateway, at);
  } catch (error) {
    if (error instanceof FilterError) return false;
    throw error;
  }
}

/** The rollout with one more gateway, which waits in its last wave, and that gateway. */
export function takeIn(
  rollout: Rollout,
  { serial, intervalS }: { serial: string; intervalS: number },
  at: number,
): { rollout: Rollout; member: Member } {
  const last = rollout.waves.length - 1;
  const waves = rollout.waves.map((wave, index) =>
    index === last ? { ...wave, counts: { ...wave.counts, waiting: wave.counts.waiting + 1 } } : wave,
  );
  return { rollout: { ...rollout, waves }, member: newMember(serial, { wave: last, at, intervalS }) };
}

export function newMember(
  serial: string,
  { wave, at, intervalS }: { wave: number; at: number; intervalS: number },
): Member {
  const times = { since: at, heardAt: at, notBefore: 0 };
  return { serial, wave, state: 'waiting', ...times, intervalS, attempt: 1, good: [], shown: [] };
}
