import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runtimeFacts } from '../../../src/base/version.ts';

test('a runtime is past its end from the day after the last one of its release line', () => {
  const lastMs = Date.parse('2026-04-30T12:00:00Z');
  assert.deepEqual(runtimeFacts(lastMs, '20.11.0'), {
    node: '20.11.0',
    fixesUntil: '2026-04-30',
    isPastEnd: false,
  });
  assert.equal(runtimeFacts(lastMs + 24 * 3600 * 1000, '20.11.0').isPastEnd, true);
});

test('of a release line that is not known nothing is claimed', () => {
  assert.deepEqual(runtimeFacts(Number.MAX_SAFE_INTEGER, '99.0.0'), { node: '99.0.0', isPastEnd: false });
});
