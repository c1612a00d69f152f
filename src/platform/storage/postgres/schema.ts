/** The tables in PostgreSQL, and how those of an older database are brought up to date. */
import { GweError } from '../../../base/errors.ts';
import type { Connection, Query } from './connection.ts';
import { FLEET_SCHEMA } from './fleet-schema.ts';

const OBJECT_SCHEMA = `
CREATE TABLE object (name text PRIMARY KEY, remove_after bigint NOT NULL, removing boolean NOT NULL DEFAULT false);
CREATE TABLE lease (name text PRIMARY KEY, holder text NOT NULL, until bigint NOT NULL);
ALTER TABLE device ADD COLUMN IF NOT EXISTS reactivate_until bigint NOT NULL DEFAULT 0;
`;

/**
 * Each turns a database of version N - 1 into one of version N; the first starts from an empty one. After each, the
 * gwe before it must still be able to run.
 */
const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE product (name text COLLATE "C" PRIMARY KEY);
CREATE TABLE device (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product text COLLATE "C" NOT NULL REFERENCES product(name),
  serial text COLLATE "C" NOT NULL,
  rid text NOT NULL,
  vendor text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('notactivated', 'activated', 'expired')),
  enabled_at bigint NOT NULL,
  key_hash text UNIQUE,
  sequence bigint NOT NULL DEFAULT 0,
  modified_at bigint NOT NULL DEFAULT 0,
  shown_at bigint NOT NULL DEFAULT 0,
  last_write_at bigint NOT NULL DEFAULT 0,
  last_seen_at bigint NOT NULL DEFAULT 0,
  extra text NOT NULL DEFAULT '',
  reactivate_until bigint NOT NULL DEFAULT 0,
  UNIQUE (product, serial)
) WITH (fillfactor = 80);
CREATE INDEX device_serial ON device (serial);
CREATE TABLE activation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  at bigint NOT NULL,
  connection text NOT NULL,
  entry text NOT NULL
);
CREATE INDEX activation_order ON activation (device, id);
CREATE TABLE current (
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  alias text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  timestamp bigint NOT NULL,
  modified_at bigint NOT NULL,
  sequence bigint NOT NULL,
  shown_sequence bigint NOT NULL DEFAULT 0,
  writer text NOT NULL,
  PRIMARY KEY (device, alias)
);
CREATE TABLE history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  alias text COLLATE "C" NOT NULL,
  timestamp bigint NOT NULL,
  sequence bigint NOT NULL,
  writer text NOT NULL,
  size integer NOT NULL,
  value bytea NOT NULL,
  written_at bigint NOT NULL
);
CREATE INDEX history_order ON history (device, alias, timestamp, sequence) INCLUDE (size);
CREATE INDEX history_age ON history (written_at);
CREATE TABLE content (
  product text COLLATE "C" NOT NULL REFERENCES product(name),
  id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  size bigint NOT NULL,
  updated_at bigint NOT NULL,
  meta text NOT NULL,
  protected boolean NOT NULL,
  blob text UNIQUE,
  PRIMARY KEY (product, id)
);
CREATE TABLE secret (name text PRIMARY KEY, value bytea NOT NULL, made_at bigint NOT NULL);
`,
  FLEET_SCHEMA + OBJECT_SCHEMA,
];

/** From this version on there are tables for the fleet, for unused objects, and for leases. */
export const FLEET_VERSION = 2;

/** This table exists while a platform is being copied into the database. */
export const COPY_TABLE = 'gwe_copy';

/** Any number that nothing else in the database uses: it lets one process at a time change the tables. */
const LOCK = 7_146_529_301;

/**
 * Brings the tables to the current version, or to the version `to`. Also returns the version before. Throws
 * PLATFORM_SCHEMA for a newer database.
 */
export async function migrate(
  connection: Connection,
  to = MIGRATIONS.length,
): Promise<{ from: number; to: number }> {
  return connection.transaction(async (query) => {
    await query('SELECT pg_advisory_xact_lock($1)', LOCK);
    await query('CREATE TABLE IF NOT EXISTS gwe_schema (version integer NOT NULL)');
    const from = await versionOf(query);
    if (from > MIGRATIONS.length) throw newer(from);
    if (from === 0) await checkEncoding(query);
    for (const sql of MIGRATIONS.slice(from, to)) await runAll(query, sql);
    await query('DELETE FROM gwe_schema');
    await query('INSERT INTO gwe_schema (version) VALUES ($1)', to);
    return { from, to };
  });
}

/** Another encoding takes everything but the characters that it lacks: reports with one would fail, some day. */
async function checkEncoding(query: Query): Promise<void> {
  const [row] = await query("SELECT current_setting('server_encoding') AS found");
  if (row?.found === 'UTF8') return;
  throw new GweError(
    'PLATFORM_STATE',
    `cannot use the database: its encoding is ${row?.found}, expected UTF8; nothing is changed, make another one ` +
      'with createdb --encoding UTF8 --template template0',
  );
}

/** Runs the statements one at a time: a named statement can only be a single one. */
async function runAll(query: Query, sql: string): Promise<void> {
  for (const statement of sql.split(';')) if (statement.trim() !== '') await query(statement);
}

/**
 * Makes the tables of an empty database. Throws PLATFORM_SCHEMA for a database that is newer, or more than one
 * version older: while replicas are replaced one by one, new ones run on the old tables. Returns the version.
 */
export async function ensureSchema(connection: Connection): Promise<number> {
  const [row] = await connection.query(
    `SELECT to_regclass('gwe_schema') IS NOT NULL AS is_there, to_regclass('${COPY_TABLE}') IS NOT NULL AS is_copied`,
  );
  if (row?.is_copied === true)
    throw new GweError(
      'PLATFORM_STATE',
      'cannot use the database: a platform is being copied into it; go on with gwe platform copy',
    );
  const version = row?.is_there === true ? await versionOf(connection.query) : 0;
  if (version === 0) return (await migrate(connection)).to;
  if (version > MIGRATIONS.length) throw newer(version);
  if (version < MIGRATIONS.length - 1) throw otherSchema(version, 'run gwe platform migrate');
  return version;
}

async function versionOf(query: Query): Promise<number> {
  const [row] = await query('SELECT max(version) AS version FROM gwe_schema');
  return Number(row?.version ?? 0);
}

function newer(version: number): GweError {
  return otherSchema(version, 'use a newer gwe');
}

function otherSchema(found: number, advice: string): GweError {
  const expected = MIGRATIONS.length;
  return new GweError(
    'PLATFORM_SCHEMA',
    `cannot use the database: schema version ${found}, expected ${expected}; ${advice}`,
    { facts: { found, expected } },
  );
}
