/** An update of gwe is judged by the new process alone, at its first check-in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awaitsCheckIn } from '../../../../src/agent/self/awaits-check-in.ts';
import { LAUNCHED_VARIABLE } from '../../../../src/service/starts.ts';
import type { Transaction } from '../../../../src/update/journal.ts';

const transaction: Transaction = {
  id: 'tx1',
  app: 'gwe',
  version: '2',
  contentId: 'gwe.v2.tar.gz',
  source: { kind: 'content' },
  commandDigest: 'c',
  state: 'probing',
  saves: 1,
  resumes: 0,
  deferrals: 0,
  startedAtMs: 0,
  digest: '0123456789abcdef'.repeat(4),
  notes: [],
  bytesFetched: 0,
  closed: false,
};
const launched = (name: string) => ({ env: { [LAUNCHED_VARIABLE]: name } });

test('the new gwe waits for its check-in before it says how the update went', () => {
  assert.equal(awaitsCheckIn(launched('2-01234567'), transaction), true);
});

test('the old gwe, another app and another state do not wait', () => {
  assert.equal(awaitsCheckIn(launched('1-01234567'), transaction), false);
  assert.equal(awaitsCheckIn({ env: {} }, transaction), false);
  assert.equal(awaitsCheckIn(launched('2-01234567'), { ...transaction, app: 'one' }), false);
  assert.equal(awaitsCheckIn(launched('2-01234567'), { ...transaction, state: 'activating' }), false);
});
