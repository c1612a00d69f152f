/** What is written down when an update has ended: what is installed, the history, the report, whom to watch. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createEndPorts } from '../../../../src/agent/effects/record-end.ts';
import { readHistory } from '../../../../src/store/history.ts';
import type { Transaction } from '../../../../src/update/journal.ts';
import { agentParts, DIGEST_2, transactionOf, VERSION_1 } from '../../../helpers/agent-parts.ts';

const failedBy = (code: string, state = 'installing') => ({ failure: { code, state, message: 'it broke' } });

function end(t: TestContext, changes: Partial<Transaction>) {
  const parts = agentParts(t);
  const watched: string[] = [];
  const watcher = {
    ...parts.context.watcher,
    open: ({ id }: Transaction) => void watched.push(`open ${id}`),
    end: (app: string) => void watched.push(`end ${app}`),
  };
  const context = { ...parts.context, watcher };
  context.installed.set('app', { active: VERSION_1, refused: [] });
  const ports = createEndPorts(context);
  ports.recordEnd(transactionOf(changes));
  const report = context.outbox.oldest();
  return { context, ports, watched, report, app: context.installed.get('app') };
}

test('a version that was accepted is the active one, and the one before is kept to go back to', (t) => {
  const { context, app, watched, report } = end(t, { state: 'committed' });
  assert.deepEqual([app.active?.version, app.active?.digest], ['2', DIGEST_2]);
  assert.deepEqual(app.previous, VERSION_1);
  assert.deepEqual(watched, ['open tx1']);
  assert.match(report?.value ?? '', /tx1/);
  const [entry] = readHistory(context.layout);
  assert.deepEqual([entry?.tx, entry?.from, entry?.outcome], ['tx1', '1', 'installed']);
});

test('the active version run again does not become its own way back', (t) => {
  const before = { ...VERSION_1, version: '2', digest: DIGEST_2 };
  const { app } = end(t, { state: 'committed', previous: before });
  assert.equal(app.active?.version, '2');
  assert.equal(app.previous, undefined);
});

test('bytes whose install.sh failed are refused from then on, and the version before stays', (t) => {
  const { app, watched } = end(t, { state: 'rolled-back', ...failedBy('INSTALL_FAILED') });
  assert.deepEqual(app.active, VERSION_1);
  assert.deepEqual(
    app.refused.map(({ digest, commandDigest, failures }) => [digest, commandDigest, failures]),
    [[DIGEST_2, 'c', 1]],
  );
  assert.deepEqual(watched, ['end app']);
});

test('no bytes are refused for what the network, the disk or an operator did', (t) => {
  for (const code of ['PROTOCOL_OFFLINE', 'STORE_NO_SPACE', 'SUPERVISOR_UNREACHABLE', 'CANCELLED']) {
    const { app, context } = end(t, { state: 'failed', ...failedBy(code, 'downloading') });
    assert.deepEqual(app, { active: VERSION_1, refused: [] }, code);
    assert.equal(readHistory(context.layout)[0]?.code, code);
  }
});

test('a version that failed in its watch window is the active one no more', (t) => {
  const parts = agentParts(t);
  const active = { ...VERSION_1, version: '2', digest: DIGEST_2 };
  parts.context.installed.set('app', { active, previous: VERSION_1, refused: [] });
  const changes = { state: 'rolled-back', ...failedBy('SUPERVISOR_UNHEALTHY', 'probing') } as const;
  createEndPorts(parts.context).recordEnd(transactionOf(changes));
  const app = parts.context.installed.get('app');
  assert.deepEqual([app.active, app.previous, app.refused.length], [VERSION_1, undefined, 1]);
});

test('an end that is recorded twice is one entry, one report and one failure', (t) => {
  const changes = { state: 'committed' } as const;
  const { context, ports } = end(t, changes);
  ports.recordEnd(transactionOf(changes));
  assert.equal(readHistory(context.layout).length, 1);
  assert.equal(context.outbox.size(), 1);
});

test('the room kept for a full disk is given up once', (t) => {
  const { context } = agentParts(t);
  const ports = createEndPorts(context);
  assert.equal(ports.makeRoom(), false);
  ports.cleanUp(transactionOf({ state: 'committed', closed: true }));
  assert.equal(ports.makeRoom(), true);
  assert.equal(ports.makeRoom(), false);
});
