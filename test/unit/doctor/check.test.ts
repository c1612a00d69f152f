import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { type Check, runChecks } from '../../../src/doctor/check.ts';

const clock = createSystemClock();
const good: Check = { id: 'good', run: () => ({ status: 'ok', finding: 'fine' }) };

test('a check that hangs has failed when its deadline is over, and holds up no other', async () => {
  const hanging: Check = { id: 'hanging', run: () => new Promise(() => undefined) };
  const results = await runChecks([hanging, good], clock, 30);
  assert.deepEqual(
    results.map(({ id, status }) => [id, status]),
    [
      ['hanging', 'fail'],
      ['good', 'ok'],
    ],
  );
  assert.match(results[0]?.finding ?? '', /no answer within 0\.03 s/);
});

test('a check that throws, at once or later, has failed with the words of the error', async () => {
  const atOnce: Check = {
    id: 'at-once',
    run: () => {
      throw new Error('bad thing');
    },
  };
  const later: Check = { id: 'later', run: () => Promise.reject(new Error('worse thing')) };
  assert.deepEqual(await runChecks([atOnce, later], clock), [
    { id: 'at-once', status: 'fail', finding: 'bad thing' },
    { id: 'later', status: 'fail', finding: 'worse thing' },
  ]);
});
