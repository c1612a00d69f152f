/** `gwe remove` takes away what gwe has put there, says what is left, and may be cut short anywhere. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasData, removeApp } from '../../../../src/agent/operator/remove-app.ts';
import { readHistory } from '../../../../src/store/history.ts';
import { appDataDirectory, programFile, versionDirectory } from '../../../../src/store/layout.ts';
import { programMarker } from '../../../../src/supervisor/program.ts';
import { agentParts, transactionOf, VERSION_1 } from '../../../helpers/agent-parts.ts';
import { createFakeSupervisor } from '../../../helpers/fake-supervisor.ts';

const wait = { waitMs: 0, onWait: () => undefined, signal: new AbortController().signal };

/** An installed app with a version and data; nothing answers at supervisord's socket unless it is asked for. */
function gateway(t: TestContext, hasSupervisor = true) {
  const { context, layout } = agentParts(t);
  mkdirSync(layout.programsDirectory, { recursive: true });
  const version = versionDirectory(layout, 'app', VERSION_1);
  mkdirSync(version, { recursive: true });
  writeFileSync(join(version, 'install.sh'), '');
  const data = appDataDirectory(layout, 'app');
  mkdirSync(data, { recursive: true });
  context.installed.set('app', { active: VERSION_1, refused: [] });
  const { client } = createFakeSupervisor(layout.programsDirectory);
  return {
    context: hasSupervisor ? { ...context, supervisor: () => client } : context,
    layout,
    version,
    data,
  };
}

test('the versions and the record go, and the history says so; the data stays unless it is asked for', async (t) => {
  const { context, layout, version, data } = gateway(t);
  const { removed, left } = await removeApp(context, 'app', { withData: false, wait });
  assert.deepEqual([existsSync(version), existsSync(data)], [false, true]);
  assert.ok(removed.includes(version));
  assert.ok(left.some((line) => line.includes(data) && line.includes('gwe remove app --data')));
  assert.deepEqual(context.installed.get('app'), { refused: [] });
  assert.deepEqual(
    readHistory(layout).map(({ app, outcome, version: was }) => [app, outcome, was]),
    [['app', 'removed', '1']],
  );
  const again = await removeApp(context, 'app', { withData: true, wait });
  assert.deepEqual([existsSync(data), again.removed], [false, [`its data ${data}`]]);
  assert.equal(readHistory(layout).length, 1);
});

test('a program entry that gwe did not write stays, and is reported', async (t) => {
  const { context, layout } = gateway(t);
  const entry = programFile(layout, 'app');
  writeFileSync(entry, '[program:app]\ncommand=/bin/true\n');
  const { removed, left } = await removeApp(context, 'app', { withData: false, wait });
  assert.equal(existsSync(entry), true);
  assert.ok(!removed.includes(entry));
  assert.ok(left.includes(`${entry}, which gwe did not write`));
});

test('without supervisord the entry goes all the same, and processes may be left', async (t) => {
  const { context, layout } = gateway(t, false);
  const entry = programFile(layout, 'app');
  writeFileSync(entry, `${programMarker('app')}\n[program:app]\ncommand=/bin/true\n`);
  const { removed, left } = await removeApp(context, 'app', { withData: false, wait });
  assert.equal(existsSync(entry), false);
  assert.ok(removed.includes('program app') && removed.includes(entry));
  assert.ok(left.some((line) => line.startsWith('supervisord was not running')));
  assert.deepEqual(context.installed.get('app'), { refused: [] });
});

test('an update in the middle keeps its app from being removed; a download does not', async (t) => {
  const { context, version } = gateway(t);
  context.journal.write(transactionOf({ state: 'installing' }));
  await assert.rejects(removeApp(context, 'app', { withData: false, wait }), { code: 'STORE_LOCKED' });
  assert.equal(existsSync(version), true);
  context.journal.write(transactionOf({ state: 'downloading' }));
  await removeApp(context, 'app', { withData: false, wait });
  assert.equal(existsSync(version), false);
});

test('a name that is no app has no data, whatever lies at that path', (t) => {
  const { context } = gateway(t);
  assert.equal(hasData(context, 'app'), true);
  assert.equal(hasData(context, 'other'), false);
  assert.equal(hasData(context, '..'), false);
});
