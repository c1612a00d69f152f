/** What people may do with a rollout whose command nobody takes any more, because its signature has ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approve, goOn, type Result, reopen, resume } from '../../../../src/fleet/rollout/operate.ts';
import type { Rollout } from '../../../../src/fleet/rollout/rollout.ts';
import type { RolloutState } from '../../../../src/fleet/rollout/rollout-states.ts';
import { startedRollout, START_S as UNTIL } from '../../../helpers/rollout-parts.ts';

const signed = { by: 'k', counter: 1, for: 'product', sig: 's', until: UNTIL };

function rolloutIn(state: RolloutState, waiting: number): Rollout {
  const started = startedRollout([waiting, 0], { signed });
  return { ...started, state, needsApproval: true, ...(state === 'paused' ? { before: 'running' } : {}) };
}

const refusalOf = (result: Result): string => ('refusal' in result ? result.refusal : '');
const ACTS = [
  ['approve', approve, 'awaiting-approval'],
  ['resume', resume, 'paused'],
  ['go on with', goOn, 'held'],
  ['retry', reopen, 'soaking'],
] as const;

for (const [verb, act, state] of ACTS)
  test(`what would show a command whose signature has ended is refused: to ${verb} a rollout`, () => {
    const rollout = rolloutIn(state, 2);
    assert.equal(refusalOf(act(rollout, { by: 'bob', at: UNTIL - 1 })), '');
    const refusal = refusalOf(act(rollout, { by: 'bob', at: UNTIL }));
    assert.match(
      refusal,
      new RegExp(`^cannot ${verb} rollout 'r1': the signature of its command ended at 2027-01-15T08:00:00Z`),
    );
    assert.match(refusal, /--sign-key FILE and a later --until/);
  });

test('what shows it to nobody more is not refused', () => {
  for (const [, act, state] of ACTS.slice(1, 3))
    assert.equal(refusalOf(act(rolloutIn(state, 0), { by: 'bob', at: UNTIL })), '');
});
