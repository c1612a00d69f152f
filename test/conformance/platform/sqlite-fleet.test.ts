/** What the fleet keeps, in SQLite. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { fleetSuite } from '../../helpers/fleet-suite.ts';
import { seedGateways } from '../../helpers/large-fleet.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

fleetSuite('SQLite', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  let nowS = 0;
  const clock = { wallMs: () => nowS * 1000, sleep: () => Promise.resolve() };
  const storage = await openSqliteStorage({ directory, clock });
  t.after(async () => {
    await storage.close();
    removeRoot(directory);
  });
  return {
    storage,
    async setClock(unixSeconds) {
      nowS = unixSeconds;
    },
  };
});

test('lists of many gateways let other requests be served after each hundred, however many are made at once', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  chmodSync(directory, 0o700);
  t.after(() => removeRoot(directory));
  const clock = { wallMs: () => 0, sleep: () => Promise.resolve() };
  const first = await openSqliteStorage({ directory, clock });
  await first.createProduct('p');
  await first.close();
  seedGateways(directory, 400);
  const storage = await openSqliteStorage({ directory, clock });
  t.after(() => storage.close());
  let [looked, most, isOver] = [0, 0, false];
  const chosen = (): boolean => {
    looked++;
    return false;
  };
  const watch = (): void => {
    most = Math.max(most, looked);
    looked = 0;
    if (!isOver) setImmediate(watch);
  };
  setImmediate(watch);
  await Promise.all([1, 2, 3, 4].map(() => storage.listGateways('p', { limit: 10, chosen })));
  isOver = true;
  // Two parts may fall between two looks, never one of each list.
  assert.ok(most > 0 && most <= 200, `${most} in one turn`);
});
