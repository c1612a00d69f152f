/** The SQLite file: how it is opened, and its schema. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describeError, GweError } from '../../../base/errors.ts';
import { FLEET_SCHEMA, MEMBER_INDEX, PEOPLE_SCHEMA, RECORD_SCHEMA } from './fleet-schema.ts';

/** Raised when the tables change; an older gwe refuses a newer file instead of guessing. */
const SCHEMA_VERSION = 10;

/** How many pages are copied in one turn of the event loop: 2 MiB. */
const BACKUP_PAGES = 512;

const SCHEMA = `
CREATE TABLE product (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE device (
  id INTEGER PRIMARY KEY,
  product TEXT NOT NULL REFERENCES product(name),
  serial TEXT NOT NULL,
  rid TEXT NOT NULL,
  vendor TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL CHECK (state IN ('notactivated', 'activated', 'expired')),
  enabled_at INTEGER NOT NULL,
  key_hash TEXT UNIQUE,
  sequence INTEGER NOT NULL DEFAULT 0,
  modified_at INTEGER NOT NULL DEFAULT 0,
  shown_at INTEGER NOT NULL DEFAULT 0,
  last_write_at INTEGER NOT NULL DEFAULT 0,
  last_seen_at INTEGER NOT NULL DEFAULT 0,
  extra TEXT NOT NULL DEFAULT '',
  reactivate_until INTEGER NOT NULL DEFAULT 0,
  UNIQUE (product, serial)
) STRICT;
CREATE INDEX device_serial ON device (serial);
CREATE TABLE activation (
  device INTEGER NOT NULL REFERENCES device(id),
  at INTEGER NOT NULL,
  connection TEXT NOT NULL,
  entry TEXT NOT NULL
) STRICT;
CREATE INDEX activation_order ON activation (device);
CREATE TABLE current (
  device INTEGER NOT NULL REFERENCES device(id),
  alias TEXT NOT NULL,
  value BLOB NOT NULL,
  timestamp INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  shown_sequence INTEGER NOT NULL DEFAULT 0,
  writer TEXT NOT NULL DEFAULT 'device',
  PRIMARY KEY (device, alias)
) STRICT;
CREATE TABLE history (
  device INTEGER NOT NULL REFERENCES device(id),
  alias TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  writer TEXT NOT NULL,
  size INTEGER NOT NULL,
  value BLOB NOT NULL,
  written_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX history_order ON history (device, alias, timestamp, sequence, size);
CREATE TABLE content (
  product TEXT NOT NULL REFERENCES product(name),
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  size INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  meta TEXT NOT NULL,
  protected INTEGER NOT NULL,
  blob TEXT UNIQUE,
  PRIMARY KEY (product, id)
) STRICT;
CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL, made_at INTEGER NOT NULL) STRICT;
${FLEET_SCHEMA}${PEOPLE_SCHEMA}${RECORD_SCHEMA}`;

/** N -> the statements that turn a file of version N into one of N + 1. */
const UPGRADES: Readonly<Record<number, string>> = {
  1: 'ALTER TABLE device ADD COLUMN last_seen_at INTEGER NOT NULL DEFAULT 0',
  2: `ALTER TABLE device ADD COLUMN extra TEXT NOT NULL DEFAULT '';
      CREATE TABLE activation (
        device INTEGER NOT NULL REFERENCES device(id), at INTEGER NOT NULL, connection TEXT NOT NULL, entry TEXT NOT NULL
      ) STRICT;
      CREATE INDEX activation_order ON activation (device)`,
  // The age of earlier history is unknown, and the time of a recorded point does not show it, so it is counted from
  // now.
  3: `ALTER TABLE device ADD COLUMN shown_at INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE current ADD COLUMN shown_sequence INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE current ADD COLUMN writer TEXT NOT NULL DEFAULT 'device';
      ALTER TABLE history ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;
      UPDATE history SET written_at = unixepoch()`,
  4: FLEET_SCHEMA,
  5: 'CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL, made_at INTEGER NOT NULL) STRICT',
  6: PEOPLE_SCHEMA,
  7: RECORD_SCHEMA,
  8: 'ALTER TABLE device ADD COLUMN reactivate_until INTEGER NOT NULL DEFAULT 0',
  9: MEMBER_INDEX,
};

/** Opens or makes the file. Throws PLATFORM_STATE where the runtime has no SQLite, or the file is not ours. */
export function openDatabase(path: string): DatabaseSync {
  const { DatabaseSync: Database } = loadSqlite();
  let database: DatabaseSync | undefined;
  try {
    database = new Database(path);
    // FULL: in WAL mode only this syncs the log at every commit, so that acknowledged writes survive a power cut.
    // EXCLUSIVE: a second platform on the same directory would remove the first one's uploads; the lock ends with the
    // process.
    database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON',
    );
    ensureSchema(database, path);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof GweError) throw error;
    const found = /locked|busy/i.test(describeError(error))
      ? 'another platform is running on it'
      : describeError(error);
    throw new GweError('PLATFORM_STATE', `cannot open database '${path}': ${found}`);
  }
}

/** Whether another process has the database of this directory open. */
export function isServed(directory: string): boolean {
  const path = join(directory, 'platform.db');
  if (!existsSync(path)) return false;
  try {
    openDatabase(path).close();
    return false;
  } catch (error) {
    // A file that is damaged, or of a newer gwe, is not being served: a restore may replace it.
    return /another platform is running/.test(describeError(error));
  }
}

/** Copies the contents of the database to a file, a few pages at a time, while it is read and written. */
export async function backUpDatabase(database: DatabaseSync, path: string): Promise<void> {
  await loadSqlite().backup(database, path, { rate: BACKUP_PAGES });
  const copy = new (loadSqlite().DatabaseSync)(path);
  // A single file, which can also be read where nothing may be written.
  copy.exec('PRAGMA journal_mode = DELETE');
  copy.close();
}

/** Opens a backup without changing it. Throws PLATFORM_STATE for a file that is damaged or of a newer gwe. */
export function openBackedUp(path: string): DatabaseSync {
  const { DatabaseSync: Database } = loadSqlite();
  try {
    const database = new Database(path, { readOnly: true });
    const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
    const found = database.prepare('PRAGMA quick_check(1)').get()?.quick_check;
    if (found === 'ok' && version <= SCHEMA_VERSION) return database;
    database.close();
    if (found === 'ok') throw newerSchema(path, version);
    throw new Error(String(found));
  } catch (error) {
    if (error instanceof GweError) throw error;
    throw new GweError('PLATFORM_STATE', `cannot read database '${path}': ${describeError(error)}`);
  }
}

function newerSchema(path: string, version: number): GweError {
  return new GweError(
    'PLATFORM_SCHEMA',
    `cannot open database '${path}': schema version ${version}, expected ${SCHEMA_VERSION}; use a newer gwe`,
    { facts: { found: version, expected: SCHEMA_VERSION } },
  );
}

/**
 * Loaded on demand: the agent never needs it, and the runtime of armv7l does not have it. Not loaded by `import()`,
 * which a single executable need not support.
 */
function loadSqlite(): typeof import('node:sqlite') {
  const getBuiltin: typeof process.getBuiltinModule | undefined = process.getBuiltinModule;
  const sqlite = getBuiltin?.('node:sqlite');
  if (sqlite !== undefined) return sqlite;
  throw new GweError(
    'PLATFORM_STATE',
    `cannot run a platform: this executable's runtime (Node ${process.versions.node}) has no SQLite, ` +
      'expected Node 24; run it on x64 or arm64',
  );
}

function ensureSchema(database: DatabaseSync, path: string): void {
  const row = database.prepare('PRAGMA user_version').get();
  const version = Number(row?.user_version);
  if (version === SCHEMA_VERSION) return;
  if (version > SCHEMA_VERSION) throw newerSchema(path, version);
  database.exec('BEGIN IMMEDIATE');
  if (version === 0) database.exec(SCHEMA);
  else for (let at = version; at < SCHEMA_VERSION; at++) database.exec(UPGRADES[at] ?? '');
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}
