/** Which pairs of versions get a patch, and what becomes of one whose worker does not come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CLAIM_S,
  claimJob,
  commonVersions,
  endJob,
  newJob,
  savedBytes,
} from '../../../src/fleet/patch/patch-job.ts';
import { beginFirstWave, MOST_PREPARING_S, tickRollout } from '../../../src/fleet/rollout/tick.ts';
import { START_S, startedRollout } from '../../helpers/rollout-parts.ts';

const JOB = newJob({ app: 'hello', version: '2', from: '1', gateways: 20, of: '1 2' });
const END = { reason: '', name: 'x.patch', chunkedBytes: 100, patchedBytes: 30 };

test('the commonest versions get one: at least 1 % or 20 gateways, eight at the most, never the version itself', () => {
  const few: [string, number][] = [
    ['2', 5000],
    ['1', 4000],
    ['0.9', 39],
    ['0.8', 20],
    ['0.7', 19],
  ];
  assert.deepEqual(commonVersions(few, '2'), [
    ['1', 4000],
    ['0.9', 39],
    ['0.8', 20],
  ]);
  const many = Array.from({ length: 12 }, (_, at): [string, number] => [`1.${at}`, 100 + at]);
  const common = commonVersions(many, '2');
  assert.deepEqual([common.length, common[0]], [8, ['1.11', 111]]);
  assert.deepEqual(commonVersions([['__proto__', 1]], '2'), [['__proto__', 1]]);
});

test('one worker has a job until its time is over, then another; a third does not', () => {
  const first = claimJob(JOB, 'a', START_S);
  assert.deepEqual([first.worker, first.claimedUntil], ['a', START_S + CLAIM_S]);
  assert.equal(claimJob(first, 'b', START_S + CLAIM_S - 1), first);
  const second = claimJob(first, 'b', START_S + CLAIM_S);
  assert.equal(second.worker, 'b');
  const third = claimJob(second, 'c', START_S + 2 * CLAIM_S);
  assert.deepEqual([third.state, third.reason], ['without', '2 workers began it and did not come back']);
});

test('the first end counts, also that of a worker whose time was over', () => {
  const claimed = claimJob(claimJob(JOB, 'a', START_S), 'b', START_S + CLAIM_S);
  const made = endJob(claimed, { ...END, state: 'made' });
  assert.ok(made !== undefined);
  assert.equal(savedBytes(made), 70);
  assert.equal(endJob(made, { ...END, state: 'without' }), undefined);
  assert.equal(claimJob(made, 'c', START_S + 9 * CLAIM_S), made);
});

test('a rollout waits half an hour for its patches, and then goes on without', () => {
  const waiting = { ...startedRollout([2]), state: 'preparing' as const };
  const closed = { ...waiting, waves: waiting.waves.map((wave) => ({ ...wave, openedAt: 0 })) };
  assert.equal(tickRollout(closed, START_S + MOST_PREPARING_S - 1), closed);
  const begun = tickRollout(closed, START_S + MOST_PREPARING_S);
  assert.deepEqual([begun.state, begun.waves[0]?.openedAt], ['running', START_S + MOST_PREPARING_S]);
  assert.match(begun.reason, /waited for long enough/);
  assert.equal(beginFirstWave(begun, { at: START_S, by: 'rule' }), undefined);
});
