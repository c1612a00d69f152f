/** The SQLite file: how it is opened, its schema, and transactions. */
import type { DatabaseSync } from 'node:sqlite';
import { describeError, GweError } from '../base/errors.ts';

/** Raised when the tables change; an older gwe refuses a newer file instead of guessing. */
const SCHEMA_VERSION = 2;

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
  last_write_at INTEGER NOT NULL DEFAULT 0,
  last_seen_at INTEGER NOT NULL DEFAULT 0,
  UNIQUE (product, serial)
) STRICT;
CREATE INDEX device_serial ON device (serial);
CREATE TABLE current (
  device INTEGER NOT NULL REFERENCES device(id),
  alias TEXT NOT NULL,
  value BLOB NOT NULL,
  timestamp INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (device, alias)
) STRICT;
CREATE TABLE history (
  device INTEGER NOT NULL REFERENCES device(id),
  alias TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  writer TEXT NOT NULL,
  size INTEGER NOT NULL,
  value BLOB NOT NULL
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
`;

/** What makes a file of version N one of N + 1, by N. */
const UPGRADES: Readonly<Record<number, string>> = {
  1: 'ALTER TABLE device ADD COLUMN last_seen_at INTEGER NOT NULL DEFAULT 0',
};

/** Opens or makes the file. Throws PLATFORM_STATE where the runtime has no SQLite, or the file is not ours. */
export function openDatabase(path: string): DatabaseSync {
  const { DatabaseSync: Database } = loadSqlite();
  let database: DatabaseSync | undefined;
  try {
    database = new Database(path);
    // FULL: in WAL mode only this syncs the log at every commit, so that what was acknowledged survives a power cut.
    // EXCLUSIVE: a second platform on the same directory would sweep the first one's uploads; it ends with the process.
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

/**
 * Loaded on demand: the agent never needs it, and the runtime of armv7l does not have it. Not by `import()`, which a
 * single executable need not support.
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
  if (version > SCHEMA_VERSION) {
    throw new GweError(
      'PLATFORM_STATE',
      `cannot open database '${path}': schema version ${version}, expected ${SCHEMA_VERSION}; use a newer gwe`,
    );
  }
  transaction(database, () => {
    if (version === 0) database.exec(SCHEMA);
    else for (let at = version; at < SCHEMA_VERSION; at++) database.exec(UPGRADES[at] ?? '');
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

/** Runs `work` in one transaction: all of it is durable when this returns, none of it if it throws. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
