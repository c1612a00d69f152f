/** Rollouts and members as values, for tests of their rules. */

import { ALWAYS_OPEN } from '../../src/base/time/windows.ts';
import type { StatusReport } from '../../src/fleet/gateway/fetch-status.ts';
import { MEMBER_STATES, type MemberState } from '../../src/fleet/rollout/member-states.ts';
import {
  type Counts,
  type Member,
  noCounts,
  type Policy,
  type Rollout,
} from '../../src/fleet/rollout/rollout.ts';

export const START_S = 1_800_000_000;
export const INTERVAL_S = 300;

export const POLICY: Policy = {
  limit: 0.05,
  need: 0.95,
  stopsAtFailedRollback: false,
  concurrency: 1000,
  soakS: 3600,
  reachS: 7200,
  installS: 600,
  retriesS: [600, 3600],
  windows: ALWAYS_OPEN,
};

/** A running rollout of hello 2.1 whose waves have so many members, all of them waiting. */
export function startedRollout(sizes: readonly number[], policy: Partial<Policy> = {}): Rollout {
  return {
    id: 'r1',
    artifacts: [{ app: 'hello', version: '2.1' }],
    policy: { ...POLICY, ...policy },
    state: 'running',
    wave: 0,
    waves: sizes.map((size, index) => ({
      openedAt: index === 0 ? START_S : 0,
      lastTakenAt: 0,
      counts: { ...noCounts(), waiting: size },
    })),
    author: 'ann',
    needsApproval: false,
    startedAt: START_S,
    since: START_S,
    by: 'ann',
    reason: '',
    rollbackFailures: 0,
    acceptedBad: 0,
  };
}

export function waitingMember(serial: string, wave: number): Member {
  return {
    serial,
    wave,
    state: 'waiting',
    since: START_S,
    heardAt: START_S,
    intervalS: INTERVAL_S,
    attempt: 1,
    notBefore: 0,
    good: [],
    shown: [],
  };
}

export function membersOf(sizes: readonly number[]): Member[] {
  return sizes.flatMap((size, wave) =>
    Array.from({ length: size }, (_, at) => waitingMember(`gw-${wave}-${String(at).padStart(5, '0')}`, wave)),
  );
}

export function statusReport(parts: Partial<StatusReport>): StatusReport {
  return { app: 'hello', version: '2.1', isWaiting: false, lines: [], ...parts };
}

/** What the counters of a wave have to be. */
export function countsOf(members: readonly Member[], wave: number): Counts {
  const counts: Record<MemberState, number> = { ...noCounts() };
  for (const state of MEMBER_STATES)
    counts[state] = members.filter((member) => member.wave === wave && member.state === state).length;
  return counts;
}
