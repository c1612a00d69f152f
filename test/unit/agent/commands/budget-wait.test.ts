/** An update whose bytes do not fit into the data budget waits: said once, and not asked about until they fit. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isHeldBack, noteWait } from '../../../../src/agent/commands/budget-wait.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createCommandStore } from '../../../../src/store/command.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';

const spent = (neededBytes: number) =>
  new GweError('BUDGET_SPENT', 'cannot fetch now', { facts: { neededBytes } });

/** With the update `c1-00` open; `fits` says whether its bytes may be fetched. */
function gateway(t: TestContext) {
  const parts = agentParts(t);
  const commands = createCommandStore(parts.layout.command);
  const budget = { fits: false, asked: [] as [number, boolean][] };
  const allows = (bytes: number, urgent: boolean): boolean => {
    budget.asked.push([bytes, urgent]);
    return budget.fits;
  };
  const context = { ...parts.context, budget: { ...parts.context.budget, allows } };
  context.journal.write(transactionOf({ id: 'c1-00' }));
  const command = (id: string) =>
    commands.write({ current: { id, digest: id, clear: 'shown', entries: [], next: 0 } });
  command('c1');
  return { ...parts, context, commands, budget, command };
}

test('only a spent budget makes an update wait, and only one that is open', (t) => {
  const { context } = gateway(t);
  assert.equal(noteWait(context, new GweError('PROTOCOL_OFFLINE', 'cannot reach it')), false);
  assert.equal(noteWait(context, new TypeError('a bug')), false);
  context.journal.write(transactionOf({ closed: true }));
  assert.equal(noteWait(context, spent(100)), false);
  assert.equal(context.budget.waiting(), undefined);
  assert.equal(context.outbox.size(), 0);
});

test('the wait is remembered with what it needs, and reported once however often it is met', (t) => {
  const { context, events } = gateway(t);
  for (const _ of [1, 2, 3]) assert.equal(noteWait(context, spent(5000)), true);
  const wanted = { tx: 'c1-00', app: 'app', version: '2', neededBytes: 5000, urgent: false };
  assert.deepEqual(context.budget.waiting(), wanted);
  assert.deepEqual(context.outbox.keys(), ['c1-00-wait']);
  assert.match(context.outbox.oldest()?.value ?? '', /BUDGET_SPENT/);
  assert.deepEqual(events, ['budget.wait']);
});

test('as long as its bytes do not fit an update is held back, by what it needs and how urgent it is', (t) => {
  const { context, commands, budget } = gateway(t);
  assert.equal(isHeldBack(context, commands), false, 'nothing waits');
  noteWait(context, spent(5000));
  assert.equal(isHeldBack(context, commands), true);
  assert.deepEqual(budget.asked, [[5000, false]]);
});

test('when its bytes fit it goes on, and waits no more', (t) => {
  const { context, commands, budget, events } = gateway(t);
  noteWait(context, spent(5000));
  budget.fits = true;
  assert.equal(isHeldBack(context, commands), false);
  assert.equal(context.budget.waiting(), undefined);
  assert.equal(events.at(-1), 'budget.resume');
});

test('a newer command, or the end of the update, ends its wait without a question about bytes', (t) => {
  const ends = [
    ({ command }: ReturnType<typeof gateway>) => command('c2'),
    ({ context }: ReturnType<typeof gateway>) =>
      context.journal.write(transactionOf({ id: 'c1-00', closed: true })),
    ({ context }: ReturnType<typeof gateway>) => context.journal.write(transactionOf({ id: 'c1-01' })),
  ];
  for (const change of ends) {
    const rig = gateway(t);
    noteWait(rig.context, spent(5000));
    change(rig);
    assert.equal(isHeldBack(rig.context, rig.commands), false);
    assert.deepEqual(rig.budget.asked, []);
    assert.equal(rig.context.budget.waiting(), undefined);
  }
});
