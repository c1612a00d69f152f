/** supervisord's `%(name)s` expansion: what is said about one that it would choke on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expand } from '../../../src/supervisor/expand.ts';

test('a lone % is shown as it stands, for the message to quote once', () => {
  const result = expand('A="50%"', {});
  assert.deepEqual(result, {
    ok: false,
    found: '%"',
    expected: '%% or %(name)s',
    remedy: 'write %% for a plain %',
  });
});
