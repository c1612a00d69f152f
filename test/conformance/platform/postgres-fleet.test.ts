/** What the fleet keeps, in PostgreSQL; and several processes that share it. */

import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { verifyAudit } from '../../../src/fleet/people/audit.ts';
import { createConnection } from '../../../src/platform/storage/postgres/connection.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import { migrate } from '../../../src/platform/storage/postgres/schema.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { fleetSuite } from '../../helpers/fleet-suite.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { databaseClock } from '../../helpers/postgres-clock.ts';
import { removeRoot } from '../../helpers/remove-root.ts';
import { countsOf, startedRollout } from '../../helpers/rollout-parts.ts';
import { activated } from '../../helpers/storage-suite-context.ts';

const server = await startPostgres();
after(() => server.end());

fleetSuite('PostgreSQL', async (t) => {
  const { url, set, end } = await databaseClock(server.freshUrl());
  const directory = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  const storage = await openPostgresStorage({ url, directory, clock: createSystemClock() });
  t.after(async () => {
    await storage.close();
    await end();
    removeRoot(directory);
  });
  return { storage, setClock: set };
});

const AUDIT = { at: 1, actor: 'ann', request: 'q', action: 'test', target: 't', before: '', after: '' };

test('gateways that report to several processes at once are counted once each, and the audit holds', async (t) => {
  const where = { url: server.freshUrl(), directory: mkdtempSync(join(tmpdir(), 'gwe-fleet-')) };
  const open = (): Promise<Storage> => openPostgresStorage({ ...where, clock: createSystemClock() });
  const replicas = await Promise.all([open(), open(), open()]);
  t.after(async () => {
    for (const storage of replicas) await storage.close();
    removeRoot(where.directory);
  });
  const [one] = replicas;
  assert.ok(one !== undefined);
  const keys: string[] = [];
  const serials = Array.from({ length: 24 }, (_, at) => `gw-${String(at).padStart(2, '0')}`);
  for (const serial of serials) keys.push((await activated(one, 'p', serial)).cik);
  const rollout = { ...startedRollout([24]), startedAt: Math.floor(Date.now() / 1000) };
  await one.createRollout({ product: 'p', name: 'hello', rollout }, [serials], AUDIT);
  const seen: number[] = [];
  let isOver = false;
  const watching = (async () => {
    for (let after = 0; !isOver; ) {
      const events = await one.listEvents('p', { after, limit: 100 });
      seen.push(...events.map(({ id }) => id));
      after = events.at(-1)?.id ?? after;
    }
  })();
  await Promise.all(
    keys.map(async (cik, at) => {
      const via = replicas[at % replicas.length] ?? one;
      const also = replicas[(at + 1) % replicas.length] ?? one;
      await Promise.all(
        [via, also].map((each) => each.checkIn({ cik, writes: [], reads: ['engine_fetch'] })),
      );
      await via.checkIn({ cik, writes: [['engine_fetch', '']], reads: ['engine_fetch'] });
      const isBad = at % 8 === 0;
      const outcome = isBad ? 'failed-no-change' : 'installed';
      const status = { name: 'hello', version: '2.1', outcome, tx: `t-${at}`, command: 'r1.1' };
      const writes: [string, string][] = [
        ['fetch_status', JSON.stringify(status)],
        ['engine_report', JSON.stringify({ apps: [{ hello: { version: '2.1', status: 'RUNNING' } }] })],
      ];
      if (isBad) writes.pop();
      await Promise.all([via, also].map((each) => each.checkIn({ cik, writes, reads: [] })));
    }),
  );
  isOver = true;
  await watching;
  const members = (await one.listMembers('r1', { limit: 100 })).items;
  const stored = await one.findRollout('p', 'r1');
  assert.deepEqual(stored?.rollout.waves[0]?.counts, countsOf(members, 0));
  assert.deepEqual([countsOf(members, 0).succeeded, countsOf(members, 0).failed], [21, 3]);
  const events = await one.listEvents('p', { after: 0, limit: 100 });
  assert.equal(events.filter(({ kind }) => kind === 'update').length, 24);
  seen.push(...events.map(({ id }) => id).filter((id) => id > (seen.at(-1) ?? 0)));
  assert.deepEqual(
    seen,
    events.map(({ id }) => id),
    'whoever asked for what came after one missed none',
  );
  await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      (replicas[at % 3] ?? one).tagGateway('p', 'gw-00', { [`k${at}`]: 'v' }, AUDIT),
    ),
  );
  const entries = await one.listAudit(0, 100);
  const last = entries.at(-1);
  assert.deepEqual(verifyAudit(entries), last);
  assert.ok(entries.length >= 13);
});

test('a database of before the fleet serves gateways, and says what a fleet needs', async (t) => {
  const url = server.freshUrl();
  const connection = createConnection({ url });
  await migrate(connection, 1);
  const directory = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  const open = (): Promise<Storage> => openPostgresStorage({ url, directory, clock: createSystemClock() });
  let storage = await open();
  t.after(async () => {
    await storage.close();
    await connection.close();
    removeRoot(directory);
  });
  const { cik, device } = await activated(storage, 'p', 'gw');
  const report: [string, string] = ['engine_report', '{"apps":[{"a":{"version":"1","status":"RUNNING"}}]}'];
  const found = await storage.checkIn({ cik, writes: [report], reads: ['engine_fetch'] });
  assert.equal(found.kind, 'done');
  await storage.decideCommand(device.id);
  await storage.tickRollouts();
  await assert.rejects(storage.listGroups('p'), { code: 'PLATFORM_STATE', message: /gwe platform migrate/ });
  assert.equal(await storage.removeDevices('p', ['gw']), undefined);
  assert.deepEqual(await migrate(connection), { from: 1, to: 2 });
  await storage.close();
  storage = await open();
  assert.deepEqual(await storage.listGroups('p'), []);
});
