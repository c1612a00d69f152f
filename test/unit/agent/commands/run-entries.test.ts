/** The entries of a command: each once, in order, whatever became of the ones before. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runEntries } from '../../../../src/agent/commands/run-entries.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { type CommandEntry, createCommandStore } from '../../../../src/store/command.ts';
import { appendHistory } from '../../../../src/store/history.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';
import { createWorld, type Script } from '../../../helpers/update-world.ts';

const entry = (contentId: string, more: Partial<CommandEntry> = {}): CommandEntry => ({ contentId, ...more });

/** The updates themselves are scripted; `begun` has the transaction of each. */
function gateway(t: TestContext, entries: CommandEntry[], script: Script = {}) {
  const parts = agentParts(t);
  const begun: string[] = [];
  const onWrite = ({ id, app, version }: { id: string; app: string; version: string }): void => {
    const name = `${id} ${app} ${version}`;
    if (begun.at(-1) !== name) begun.push(name);
  };
  const world = createWorld({ script, onWrite });
  const context = { ...parts.context, journal: world.journal };
  const commands = createCommandStore(parts.layout.command);
  commands.write({ current: { id: 'c1', digest: 'd1', clear: 'shown', entries, next: 0 } });
  return { ...parts, context, commands, world, begun };
}

test('all entries are carried out in order, and the command is forgotten then', async (t) => {
  const { context, commands, world, begun } = gateway(t, [entry('one.v1.tar.gz'), entry('two.v2.tar.gz')]);
  await runEntries(context, commands, world.start());
  assert.deepEqual(begun, ['c1-00 one 1', 'c1-01 two 2']);
  assert.equal(commands.read().current, undefined);
});

test('an entry that fails does not keep the next one from its turn', async (t) => {
  const broken = new GweError('ARTIFACT_FORMAT', 'cannot read tarball');
  const entries = [entry('one.v1.tar.gz'), entry('two.v2.tar.gz')];
  const { context, commands, world } = gateway(t, entries, { downloading: [broken] });
  await runEntries(context, commands, world.start());
  assert.deepEqual(world.reports, ['rejected', 'installed']);
});

test('an entry that names nothing, or has a problem, is reported and begins no update', async (t) => {
  const entries = [entry('nonsense'), entry('one.v1.tar.gz', { problem: 'its sha256 is invalid' })];
  const { context, commands, world, begun } = gateway(t, entries);
  await runEntries(context, commands, world.start());
  assert.deepEqual(begun, []);
  assert.deepEqual(context.outbox.keys(), ['c1-00', 'c1-01']);
  for (const key of context.outbox.keys()) {
    assert.match(context.outbox.oldest((other) => other !== key)?.value ?? '', /COMMAND_INVALID/);
  }
  assert.equal(commands.read().current, undefined);
});

test('what the command demands of an update goes with it', async (t) => {
  const sha256 = 'a'.repeat(64);
  const { context, commands, world } = gateway(t, [entry('one.v1.tar.gz', { sha256, urgent: true })]);
  await runEntries(context, commands, world.start());
  const done = world.journal.read();
  assert.deepEqual([done?.expectedSha256, done?.urgent, done?.commandDigest], [sha256, true, 'd1']);
});

test('an entry that ended before a crash is not carried out again, by the journal or by the history', async (t) => {
  const entries = [entry('one.v1.tar.gz'), entry('two.v2.tar.gz')];
  const { context, commands, world, layout, begun } = gateway(t, entries);
  const ended = { startedAtMs: 1, endedAtMs: 2, bytesFetched: 0, outcome: 'installed' };
  appendHistory(layout, { tx: 'c1-00', app: 'one', version: '1', ...ended });
  await runEntries(context, commands, world.start());
  assert.deepEqual(begun, ['c1-01 two 2']);
  commands.write({ current: { id: 'c1', digest: 'd1', clear: 'shown', entries, next: 1 } });
  await runEntries(context, commands, world.start());
  assert.deepEqual(begun, ['c1-01 two 2']);
});

test('what was reported of an entry before a crash is not reported again', async (t) => {
  const { context, commands, world, layout } = gateway(t, [entry('nonsense')]);
  const ended = { startedAtMs: 1, endedAtMs: 2, bytesFetched: 0, outcome: 'failed-no-change' };
  appendHistory(layout, { tx: 'c1-00', app: 'nonsense', version: '', ...ended });
  await runEntries(context, commands, world.start());
  assert.equal(context.outbox.size(), 0);
  assert.equal(commands.read().current, undefined);
});

test('a stop in the middle leaves the entry its turn', async (t) => {
  const { context, commands, world, begun } = gateway(t, [entry('one.v1.tar.gz')], { downloading: ['stop'] });
  await assert.rejects(runEntries(context, commands, world.start()), { code: 'CANCELLED' });
  assert.equal(commands.read().current?.next, 0);
  assert.deepEqual(begun, ['c1-00 one 1']);
});

test('an entry that asks for a log sends it or says why there is no log, and begins no update', async (t) => {
  const { context, commands, world, begun } = gateway(t, [entry('logs', { log: { app: 'one' } })]);
  await runEntries(context, commands, world.start());
  assert.deepEqual(begun, []);
  assert.deepEqual(context.outbox.keys(), ['c1-00']);
  assert.equal(commands.read().current, undefined);
});
