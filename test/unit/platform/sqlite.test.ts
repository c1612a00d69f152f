/** The platform's database across versions of gwe. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { openDatabase } from '../../../src/platform/sqlite.ts';

function databasePath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-sqlite-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'platform.db');
}

test('a database of the first version keeps its devices and gets the new column', (t) => {
  const path = databasePath(t);
  openDatabase(path).close();
  const old = new DatabaseSync(path);
  old.exec(`ALTER TABLE device DROP COLUMN last_seen_at;
    INSERT INTO product (name) VALUES ('p');
    INSERT INTO device (product, serial, rid, state, enabled_at) VALUES ('p', 's', 'r', 'activated', 1);
    PRAGMA user_version = 1`);
  old.close();
  const upgraded = openDatabase(path);
  const row = upgraded.prepare('SELECT serial, last_seen_at FROM device').get();
  assert.deepEqual({ ...row }, { serial: 's', last_seen_at: 0 });
  upgraded.close();
  openDatabase(path).close();
});

test('a database of a newer gwe is refused and left as it is', (t) => {
  const path = databasePath(t);
  const newer = openDatabase(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.throws(() => openDatabase(path), {
    code: 'PLATFORM_STATE',
    message: /schema version 99.*use a newer gwe/,
  });
  const found = new DatabaseSync(path);
  assert.equal(Number(found.prepare('PRAGMA user_version').get()?.user_version), 99);
  found.close();
});
