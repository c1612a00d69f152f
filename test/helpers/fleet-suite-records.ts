/** Parts of the fleet's suite: tokens, the audit, and the small records of the platform itself. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { verifyAudit } from '../../src/fleet/people/audit.ts';
import type { Storage } from '../../src/platform/storage/storage.ts';
import { START_S } from './rollout-parts.ts';

/** An empty storage of a test's own whose clock stands where it is set; it ends with the test. */
export type OpenFleet = (
  t: TestContext,
) => Promise<{ storage: Storage; setClock(unixSeconds: number): Promise<void> }>;

export const AUDIT = {
  at: START_S,
  actor: 'ann',
  request: 'q',
  action: 'test',
  target: 't',
  before: '',
  after: '',
};

export function recordTests(open: OpenFleet): void {
  test('small records are changed one after the other, expire by themselves, and appear in the audit', async (t) => {
    const { storage, setClock } = await open(t);
    await setClock(START_S);
    const which = { kind: 'count', key: 'a' };
    const results = await Promise.all(
      Array.from({ length: 12 }, () =>
        storage.changeRecord(which, (found, nowS) => ({
          result: Number(found ?? 0),
          put: { body: String(Number(found ?? 0) + 1), endsAt: nowS + 60 },
        })),
      ),
    );
    assert.deepEqual(
      results.sort((one, other) => one - other),
      Array.from({ length: 12 }, (_, at) => at),
    );
    await storage.changeRecord({ kind: 'count', key: 'b' }, () => ({
      result: 0,
      put: { body: 'for good' },
      audit: { ...AUDIT, action: 'record.put' },
    }));
    assert.deepEqual(await storage.listRecords('count', { limit: 1 }), {
      items: [{ key: 'a', body: '12' }],
      next: 'a',
    });
    assert.equal(await storage.findRecord('count', 'a'), '12');
    await setClock(START_S + 60);
    assert.equal(await storage.findRecord('count', 'a'), undefined);
    await storage.sweepRecords();
    assert.deepEqual((await storage.listRecords('count', { limit: 9 })).items, [
      { key: 'b', body: 'for good' },
    ]);
    await storage.changeRecord({ kind: 'count', key: 'b' }, () => ({ result: 0, isRemoved: true }));
    assert.equal(await storage.findRecord('count', 'b'), undefined);
    assert.deepEqual(
      (await storage.listAudit(0, 9)).map(({ action }) => action),
      ['record.put'],
    );
  });

  test('tokens are kept by their digests, and whoever touches them is in the audit', async (t) => {
    const { storage, setClock } = await open(t);
    await setClock(START_S);
    const token = { id: 'a1', digest: 'd', name: 'ann', grants: [], expiresAt: START_S };
    await storage.putToken(token, { ...AUDIT, action: 'token.create' });
    await assert.rejects(storage.putToken(token, { ...AUDIT, action: 'never' }));
    assert.deepEqual(await storage.findToken('a1'), token);
    assert.deepEqual(await storage.listTokens(), [token]);
    assert.equal(await storage.removeToken('a1', { ...AUDIT, action: 'token.remove' }), true);
    assert.equal(await storage.removeToken('a1', { ...AUDIT, action: 'never' }), false);
    assert.equal(await storage.findToken('a1'), undefined);
    const entries = await storage.listAudit(0, 10);
    assert.deepEqual(
      entries.map(({ action, number }) => [action, number]),
      [
        ['token.create', 1],
        ['token.remove', 2],
      ],
    );
    assert.deepEqual(verifyAudit(entries), entries.at(-1));
    assert.deepEqual(await storage.listAudit(1, 1), entries.slice(1));
  });
}
