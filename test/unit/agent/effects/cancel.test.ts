/** Word that an update is not wanted any more, from the one who typed it or from another process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { isBeyondCancel, watchCancel } from '../../../../src/agent/effects/cancel.ts';
import { askToCancel } from '../../../../src/store/cancel.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';

test('word from another process is heard while the update is under way', async (t) => {
  const { context, layout, clock } = agentParts(t);
  let sleeps = 0;
  clock.onSleep = () => {
    sleeps += 1;
    if (sleeps === 3) askToCancel(layout, ['tx0', 'tx1']);
  };
  const { signal } = watchCancel(context, 'tx1');
  if (!signal.aborted) await once(signal, 'abort');
  assert.equal(sleeps, 3);
});

test('word about another update is not for this one', async (t) => {
  const { context, layout, clock } = agentParts(t);
  askToCancel(layout, ['tx10', 'x1']);
  const watch = watchCancel(context, 'tx1');
  const looks = new Promise<void>((resume) => {
    let sleeps = 0;
    clock.onSleep = () => {
      sleeps += 1;
      if (sleeps === 3) resume();
    };
  });
  await looks;
  assert.equal(watch.signal.aborted, false);
  watch.end();
});

test('who typed the command is heard at once, and nobody looks on after the end', async (t) => {
  const { context, layout, clock } = agentParts(t);
  const operator = new AbortController();
  const watch = watchCancel(context, 'tx1', operator.signal);
  operator.abort();
  assert.equal(watch.signal.aborted, true);
  const ended = watchCancel(context, 'tx2');
  for (const each of [watch, ended]) each.end();
  clock.onSleep = () => assert.fail('looked again');
  askToCancel(layout, ['tx2']);
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resume) => setImmediate(resume));
  assert.equal(ended.signal.aborted, false);
});

test('a set of keys that is in its place stays; everything else may be taken back', () => {
  assert.equal(isBeyondCancel({ app: 'gwe-keys', state: 'installing' }), true);
  assert.equal(isBeyondCancel({ app: 'gwe-keys', state: 'activating' }), true);
  assert.equal(isBeyondCancel({ app: 'gwe-keys', state: 'promoted' }), false);
  assert.equal(isBeyondCancel({ app: 'app', state: 'activating' }), false);
});
