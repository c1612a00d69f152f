/** The table of states itself: nothing missing, nothing that cannot be reached, no way round the way back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  FINAL_STATES,
  isFinal,
  nextState,
  TRANSITIONS,
  type UpdateEvent,
  WORKING_STATES,
} from '../../../src/update/state-machine.ts';

const EVENTS: readonly UpdateEvent[] = ['done', 'skip-fetch', 'one-off', 'failed'];
const BEFORE_ANYTHING_RUNS = ['planned', 'downloading', 'verified', 'staged', 'promoted'];

describe('the transitions of an update', () => {
  for (const state of WORKING_STATES) {
    for (const event of EVENTS) {
      const next = TRANSITIONS[state][event];
      const name = `'${event}' in '${state}' ${next === undefined ? 'is a bug, and throws' : `leads to '${next}'`}`;
      test(name, () => {
        if (next !== undefined) assert.equal(nextState(state, event), next);
        else
          assert.throws(
            () => nextState(state, event),
            new RegExp(`no transition from '${state}' on '${event}'`),
          );
      });
    }

    test(`'${state}' can be finished and can fail`, () => {
      assert.ok(TRANSITIONS[state].done !== undefined);
      assert.ok(TRANSITIONS[state].failed !== undefined);
    });

    test(`a failure in '${state}' ${BEFORE_ANYTHING_RUNS.includes(state) ? 'changes nothing' : 'goes back'}`, () => {
      const expected = BEFORE_ANYTHING_RUNS.includes(state)
        ? 'failed'
        : state === 'rolling-back'
          ? 'rollback-failed'
          : 'rolling-back';
      assert.equal(TRANSITIONS[state].failed, expected);
    });
  }

  test('lead from the first state to every other, and from each to an end', () => {
    const reached = new Set<string>(['planned']);
    for (const state of reached)
      if (!isFinal(state as never))
        for (const next of Object.values(TRANSITIONS[state as keyof typeof TRANSITIONS])) reached.add(next);
    assert.deepEqual([...reached].sort(), [...WORKING_STATES, ...FINAL_STATES].sort());
  });

  test('never lead to an earlier state, so that every chain ends', () => {
    const order: readonly string[] = [...WORKING_STATES, ...FINAL_STATES];
    for (const state of WORKING_STATES)
      for (const next of Object.values(TRANSITIONS[state]))
        assert.ok(order.indexOf(next) > order.indexOf(state), `${state} -> ${next}`);
  });
});
