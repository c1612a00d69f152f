import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemberPass, type MemberTable, type Part } from '../../../src/platform/storage/member-pass.ts';
import { POLICY, START_S, startedRollout } from '../../helpers/rollout-parts.ts';

const DEVICES = 10_500;
const EACH = 1000;

/** Members 1 to DEVICES, all of them due. */
function tableOf(rollouts: Awaited<ReturnType<MemberTable['rollouts']>>): MemberTable & { parts: Part[] } {
  const parts: Part[] = [];
  return {
    parts,
    rollouts: async () => rollouts,
    async look(part) {
      parts.push(part);
      const last = Math.min(part.after + EACH, DEVICES);
      return { due: [last], next: last === DEVICES ? undefined : last };
    },
    move: async () => undefined,
  };
}

test('a pass over many members goes on at the next tick where it was, and the next one begins a minute later', async () => {
  const table = tableOf([{ ...startedRollout([DEVICES]), state: 'aborted' }]);
  const tick = createMemberPass(table);
  const looked = async (at: number): Promise<number[]> => {
    table.parts.length = 0;
    await tick(at);
    return table.parts.map(({ after }) => after);
  };
  assert.deepEqual(
    await looked(START_S),
    Array.from({ length: 5 }, (_, at) => at * EACH),
  );
  assert.equal((await looked(START_S + 1)).at(0), 5 * EACH);
  assert.deepEqual(await looked(START_S + 2), [10 * EACH]);
  assert.deepEqual(await looked(START_S + 59), []);
  assert.equal((await looked(START_S + 60)).at(0), 0);
});

test('members that wait are looked at only when they had time to come and read, or the rollout was aborted', async () => {
  const rollout = startedRollout([DEVICES]);
  const statesAt = async (given: typeof rollout, at: number): Promise<string[]> => {
    const table = tableOf([given]);
    await createMemberPass(table)(at);
    return [...new Set(table.parts.map(({ state }) => state))];
  };
  assert.deepEqual(await statesAt(rollout, START_S + POLICY.reachS), []);
  assert.deepEqual(await statesAt(rollout, START_S + POLICY.reachS + 1), ['waiting']);
  assert.deepEqual(await statesAt({ ...rollout, state: 'paused' }, START_S + POLICY.reachS + 1), []);
  assert.deepEqual(await statesAt({ ...rollout, state: 'aborted' }, START_S), ['waiting']);
});
