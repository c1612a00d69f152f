/** `gwe cancel` ends what has not begun activating, and says of everything else that it is too late. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { cancelUpdates } from '../../../../src/agent/operator/cancel-update.ts';
import { acquireLock } from '../../../../src/base/lock.ts';
import { isCancelAsked } from '../../../../src/store/cancel.ts';
import { createCommandStore } from '../../../../src/store/command.ts';
import { readHistory } from '../../../../src/store/history.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';

const wait = { waitMs: 0, onWait: () => undefined, signal: new AbortController().signal };

/** A command of three entries, the first of which is done. */
function gateway(t: TestContext) {
  const parts = agentParts(t);
  const entries = ['one.v1.tar.gz', 'two.v1.tar.gz', 'three.v1.tar.gz'].map((contentId) => ({ contentId }));
  const current = { id: 'c1', digest: 'd', clear: 'shown', entries, next: 1 } as const;
  createCommandStore(parts.layout.command).write({ current });
  return parts;
}

test('there is nothing to cancel where nothing is under way or waits', async (t) => {
  const { context } = agentParts(t);
  await assert.rejects(cancelUpdates(context, undefined, wait), {
    code: 'STORE_IO',
    message: /no update is/,
  });
  const { context: busy } = gateway(t);
  await assert.rejects(cancelUpdates(busy, 'one', wait), { code: 'STORE_IO', message: /no update of 'one'/ });
});

test('updates whose turn has not come end with a report and an entry in the history each', async (t) => {
  const { context, layout } = gateway(t);
  const done = await cancelUpdates(context, undefined, wait);
  assert.deepEqual(
    done.map(({ app, tx, end }) => [app, tx, end?.code]),
    [
      ['two', 'c1-01', 'CANCELLED'],
      ['three', 'c1-02', 'CANCELLED'],
    ],
  );
  assert.deepEqual(context.outbox.keys(), ['c1-01', 'c1-02']);
  assert.deepEqual(
    readHistory(layout).map(({ tx, outcome }) => [tx, outcome]),
    [
      ['c1-01', 'failed-no-change'],
      ['c1-02', 'failed-no-change'],
    ],
  );
  assert.equal(existsSync(layout.cancelMark), false, 'word of it is taken away');
  await assert.rejects(cancelUpdates(context, undefined, wait), { code: 'STORE_IO' });
});

test('with a name the updates of other apps stay', async (t) => {
  const { context, layout } = gateway(t);
  assert.equal((await cancelUpdates(context, 'three', wait)).length, 1);
  assert.deepEqual(
    readHistory(layout).map(({ app }) => app),
    ['three'],
  );
});

test('a download that broke off is ended, and waits for no budget any more', async (t) => {
  const { context, layout } = agentParts(t);
  context.journal.write(transactionOf({ state: 'downloading', previous: undefined }));
  context.budget.wait({ tx: 'tx1', app: 'app', version: '2', neededBytes: 1, urgent: false });
  const [cancelled] = await cancelUpdates(context, 'app', wait);
  assert.equal(cancelled?.end?.code, 'CANCELLED');
  assert.equal(context.journal.read()?.closed, true);
  assert.equal(context.budget.waiting(), undefined);
  assert.equal(readHistory(layout).length, 1);
});

test('whoever works on an update is asked to end what it still can, and nothing else', async (t) => {
  const { context, layout } = gateway(t);
  const lock = acquireLock(layout.transactionLock, 'transaction');
  assert.ok('release' in lock);
  t.after(() => lock.release());
  context.journal.write(transactionOf({ state: 'probing' }));
  await assert.rejects(cancelUpdates(context, undefined, wait), { code: 'STORE_LOCKED' });
  const asked = ['tx1', 'c1-00', 'c1-01', 'c1-02'].filter((tx) => isCancelAsked(layout, tx));
  assert.deepEqual(asked, ['c1-01', 'c1-02']);
});

test('a version that is being activated is left alone, and said to have no end', async (t) => {
  const { context, layout } = agentParts(t);
  for (const state of ['activating', 'probing', 'rolling-back'] as const) {
    context.journal.write(transactionOf({ state }));
    const [cancelled] = await cancelUpdates(context, undefined, wait);
    assert.deepEqual([cancelled?.tx, cancelled?.end], ['tx1', undefined], state);
    assert.equal(context.journal.read()?.state, state);
  }
  assert.deepEqual(readHistory(layout), []);
});
