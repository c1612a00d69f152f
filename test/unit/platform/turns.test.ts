/** Lists of many gateways in SQLite, which is read on the event loop. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';

const COUNT = 1000;

test('requests are served while a list of many gateways is made, whichever list it is', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-turns-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const storage = await openSqliteStorage({ directory, clock: createSystemClock() });
  t.after(() => storage.close());
  await storage.createProduct('acme');
  const devices = Array.from({ length: COUNT }, (_, n) => ({ serial: `gw-${n}`, extra: '' }));
  await storage.addDevices('acme', devices);
  for (const list of [
    () => storage.listDevices('acme', { limit: COUNT }),
    () => storage.listDevices('acme', { limit: COUNT, prefix: 'gw-' }),
    () => storage.listGateways('acme', { limit: 300 }),
  ]) {
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const { items } = await list();
    isOver = true;
    assert.ok(items.length / turns <= 50, `${items.length} gateways in ${turns} turns of the event loop`);
  }
});
