/** What an operator's update refuses before anything is touched. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installTarball, rollBackApp } from '../../../../src/agent/operator/local-update.ts';
import { acquireLock } from '../../../../src/base/lock.ts';
import { versionDirectory } from '../../../../src/store/layout.ts';
import { agentParts, transactionOf, VERSION_1 } from '../../../helpers/agent-parts.ts';

const wait = { waitMs: 0, onWait: () => undefined, signal: new AbortController().signal };

test('a file that is not there, or names no app and version, is not installed', async (t) => {
  const { context, layout } = agentParts(t);
  const missing = join(layout.root, 'app.v2.tar.gz');
  await assert.rejects(installTarball(context, missing, wait), { code: 'STORE_IO', message: /no such file/ });
  const nameless = join(layout.root, 'notes.txt');
  writeFileSync(nameless, '');
  await assert.rejects(installTarball(context, nameless, wait), { code: 'ARTIFACT_NAME' });
  assert.equal(context.journal.read(), undefined);
});

test('there is no going back without a version before, on the record and on the disk', async (t) => {
  const { context, layout } = agentParts(t);
  const refusal = { code: 'STORE_IO', message: /no earlier version/ };
  await assert.rejects(rollBackApp(context, 'app', wait), refusal);
  const active = { ...VERSION_1, version: '2' };
  context.installed.set('app', { active, previous: VERSION_1, refused: [] });
  await assert.rejects(rollBackApp(context, 'app', wait), refusal);
  // With it, the way is as far as the lock.
  mkdirSync(versionDirectory(layout, 'app', VERSION_1), { recursive: true });
  const lock = acquireLock(layout.transactionLock, 'transaction');
  assert.ok('release' in lock);
  await assert.rejects(rollBackApp(context, 'app', wait), { code: 'STORE_LOCKED' });
  lock.release();
});

test('an update of gwe that waits for its first check-in is not disturbed', async (t) => {
  const { context, layout } = agentParts(t);
  const open = transactionOf({ app: 'gwe', state: 'probing' });
  context.journal.write(open);
  const path = join(layout.root, 'app.v2.tar.gz');
  writeFileSync(path, '');
  await assert.rejects(installTarball(context, path, wait), {
    code: 'STORE_LOCKED',
    message: /first check-in/,
  });
  assert.equal(context.journal.read()?.id, open.id);
});

test('a journal that cannot be read is put aside and keeps no operator from an update', async (t) => {
  const { context, layout, events } = agentParts(t);
  mkdirSync(layout.stateDirectory, { recursive: true });
  writeFileSync(layout.journal, '{');
  const path = join(layout.root, 'app.v2.tar.gz');
  writeFileSync(path, 'no tarball');
  const ended = await installTarball(context, path, wait);
  assert.equal(ended.state, 'failed');
  assert.ok(events.includes('journal.set-aside'));
  assert.equal(context.journal.read()?.id, ended.id);
});
