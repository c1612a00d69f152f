/** The platform's database across versions of gwe. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { openDatabase } from '../../../src/platform/storage/sqlite/database.ts';

function databasePath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-sqlite-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'platform.db');
}

/** What each step took away again, the newest first: a database of today becomes one of version N. */
const BACK: readonly [version: number, sql: string][] = [
  [8, 'ALTER TABLE device DROP COLUMN reactivate_until'],
  [7, 'DROP TABLE fleet_hold; DROP TABLE fleet_record'],
  [6, 'DROP TABLE fleet_token; DROP TABLE fleet_audit'],
  [5, 'DROP TABLE secret'],
  [
    4,
    `DROP TABLE fleet_member; DROP TABLE fleet_rollout; DROP TABLE fleet_group; DROP TABLE fleet_event;
     DROP TABLE fleet_tag; DROP TABLE fleet_gateway`,
  ],
  [
    3,
    `ALTER TABLE device DROP COLUMN shown_at; ALTER TABLE current DROP COLUMN shown_sequence;
     ALTER TABLE current DROP COLUMN writer; ALTER TABLE history DROP COLUMN written_at`,
  ],
  [2, 'ALTER TABLE device DROP COLUMN extra; DROP TABLE activation'],
  [1, 'ALTER TABLE device DROP COLUMN last_seen_at'],
];

for (const [at, [version]] of BACK.entries())
  test(`a database of version ${version} keeps its devices and gets what is new`, (t) => {
    const path = databasePath(t);
    openDatabase(path).close();
    const old = new DatabaseSync(path);
    for (const [, sql] of BACK.slice(0, at + 1)) old.exec(sql);
    old.exec(`
    INSERT INTO product (name) VALUES ('p');
    INSERT INTO device (product, serial, rid, state, enabled_at) VALUES ('p', 's', 'r', 'activated', 1);
    INSERT INTO current (device, alias, value, timestamp, modified_at, sequence) VALUES (1, 'a', x'41', 2, 3, 4);
    INSERT INTO history (device, alias, timestamp, sequence, writer, size, value${version < 4 ? '' : ', written_at'})
      VALUES (1, 'a', 2, 4, 'device', 1, x'41'${version < 4 ? '' : ', unixepoch()'});
    PRAGMA user_version = ${version}`);
    old.close();
    const upgraded = openDatabase(path);
    const row = upgraded.prepare('SELECT serial, last_seen_at, extra FROM device').get();
    assert.deepEqual({ ...row }, { serial: 's', last_seen_at: 0, extra: '' });
    assert.equal(upgraded.prepare('SELECT count(*) AS n FROM activation').get()?.n, 0);
    const value = upgraded.prepare('SELECT sequence, shown_sequence, writer FROM current').get();
    assert.deepEqual({ ...value }, { sequence: 4, shown_sequence: 0, writer: 'device' });
    const writtenAt = Number(upgraded.prepare('SELECT written_at FROM history').get()?.written_at);
    assert.ok(Math.abs(Date.now() / 1000 - writtenAt) < 60, 'history of before ages from now on');
    upgraded.close();
    openDatabase(path).close();
  });

test('a database of a newer gwe is refused and left as it is', (t) => {
  const path = databasePath(t);
  const newer = openDatabase(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.throws(() => openDatabase(path), {
    code: 'PLATFORM_SCHEMA',
    message: /schema version 99.*use a newer gwe/,
  });
  const found = new DatabaseSync(path);
  assert.equal(Number(found.prepare('PRAGMA user_version').get()?.user_version), 99);
  found.close();
});
