import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lackOfSaving } from '../../../../src/cli/developer/patch.ts';

test('a patch that saves less than it costs is not said to save nothing', () => {
  assert.equal(lackOfSaving(0), 'it would save nothing over chunks');
  assert.equal(lackOfSaving(-9), 'it would save nothing over chunks');
  assert.equal(lackOfSaving(900), 'it would save 900 bytes over chunks, and requesting it costs 2048');
});
