/** Parts of the fleet's suite: tokens, the audit, and the small records of the platform itself. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { verifyAudit } from '../../src/fleet/people/audit.ts';
import { createSealer, SEAL_KEY_BYTES, type Sealer } from '../../src/fleet/people/seal.ts';
import { keepDay, listDays } from '../../src/fleet-api/history/days.ts';
import { enqueue, listDeliveries, listTargets, notifyOnce } from '../../src/fleet-api/notices/notifier.ts';
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
  test('a fleet is counted once a day, and its days are listed oldest first', async (t) => {
    const { storage, setClock } = await open(t);
    await setClock(START_S);
    const [day, other] = [86_400, { at: START_S, count: 9 }];
    await keepDay(storage, 'p', START_S);
    assert.deepEqual(await listDays(storage, 'p', other), []);
    for (const product of ['p', 'p q', 'p/q']) await storage.createProduct(product);
    for (const product of ['p', 'p q', 'p/q'])
      await storage.addDevices(product, [{ serial: 'gw-1', extra: '' }]);
    for (const product of ['p', 'p q', 'p/q']) await keepDay(storage, product, START_S - 2 * day);
    await keepDay(storage, 'p', START_S - 9 * day);
    await storage.addDevices('p', [{ serial: 'gw-2', extra: '' }]);
    await Promise.all([keepDay(storage, 'p', START_S), keepDay(storage, 'p', START_S)]);
    await keepDay(storage, 'p', START_S - 2 * day + 60);
    const first = Math.floor(START_S / day) * day;
    assert.deepEqual(
      (await listDays(storage, 'p', other)).map((one) => [one.day - first, one.gateways, one.apps]),
      [
        [-2 * day, 1, {}],
        [0, 2, {}],
      ],
    );
    assert.equal((await listDays(storage, 'p', { at: START_S + 300 * day, count: 366 })).length, 3);
    await setClock(START_S + 366 * day);
    await storage.sweepRecords();
    assert.deepEqual(await listDays(storage, 'p', other), []);
  });

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

  test('the secret of a webhook that was kept in the clear is sealed at the next look, and signs as before', async (t) => {
    const { storage } = await open(t);
    const sealer = createSealer(Buffer.alloc(SEAL_KEY_BYTES, 7));
    const { received, url } = await webhook(t);
    const common = { product: '*', kinds: ['backup-failed'], silentAfterS: 60, secret: 's3cret' };
    for (const [id, to] of [
      ['t1', url],
      ['t2', 'mailto:ann@example.com'],
    ] as const)
      await storage.changeRecord({ kind: 'target', key: id }, () => ({
        result: 0,
        put: { body: JSON.stringify({ ...common, id, url: to }) },
      }));
    const notice = { key: 'k', kind: 'backup-failed', product: '*', at: 1, title: 'x', text: 'x' } as const;
    const [target] = await listTargets(storage);
    assert.ok(target !== undefined);
    await enqueue(storage, [target], notice);
    const clock = createSystemClock();
    const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
    const look = (sealer: Sealer) => notifyOnce({ storage, clock, log }, { allowsLocal: true, sealer });
    await look(sealer);
    const stored = (await storage.listRecords('target', { limit: 9 })).items.map(({ body }) => body);
    assert.match(stored[0] ?? '', /"secret":"sealed1\./);
    assert.match(stored[1] ?? '', /"secret":""/);
    assert.doesNotMatch(stored.join(), /s3cret/);
    await enqueue(storage, await listTargets(storage), { ...notice, key: 'again' });
    await look(sealer);
    assert.equal(received.length, 2);
    for (const { signature, body } of received) {
      const [, at = '', mac = ''] = /^t=(\d+),v1=(.+)$/.exec(signature) ?? [];
      assert.equal(mac, createHmac('sha256', 's3cret').update(`${at}.${body}`).digest('hex'));
    }
    await enqueue(storage, await listTargets(storage), { ...notice, key: 'with another key' });
    await look(createSealer(Buffer.alloc(SEAL_KEY_BYTES, 8)));
    assert.equal(received.length, 2, 'nothing goes out that nobody could check');
    const errors = (await listDeliveries(storage)).map(({ delivery }) => delivery.error);
    assert.ok(
      errors.some((error) => /cannot sign: it is sealed with key .* remove it and add it/.test(error)),
    );
  });
}

async function webhook(t: TestContext) {
  const received: { signature: string; body: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    received.push({ signature: String(request.headers['x-gwe-signature']), body });
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  return { received, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/hook` };
}
