/** The ways of a gateway in a rollout, written down once more: each line is a state, and where it may lead. */
import { MEMBER_STATES, type MemberState } from '../../src/fleet/rollout/member-states.ts';

export const ALLOWED: Readonly<Record<MemberState, string>> = {
  waiting: 'offered taken unreachable withdrawn superseded',
  offered: 'taken waiting withdrawn unreachable superseded',
  taken: 'working deferred installed failed silent superseded',
  working: 'working deferred installed failed silent superseded',
  deferred: 'working deferred installed failed silent superseded',
  installed: 'succeeded failed silent superseded',
  silent: 'working deferred installed failed waiting superseded',
  succeeded: 'failed',
  failed: 'waiting',
  unreachable: 'taken waiting withdrawn superseded',
  withdrawn: 'taken',
  superseded: '',
  excluded: '',
};

/** States that can be reached in at most so many steps: a call may take a member over more than one. */
export function within(from: MemberState, steps: number): Set<string> {
  const found = new Set<string>([from]);
  for (let step = 0; step < steps; step++)
    for (const state of MEMBER_STATES)
      if (found.has(state)) for (const next of ALLOWED[state].split(' ')) found.add(next);
  return found;
}
