/**
 * Turns an embedded platform into one in PostgreSQL: copies its content first, while it goes on, then its rows, while
 * it is read-only, and then compares both. The next copy continues one that was interrupted, and no replica starts on
 * a database that holds part of a copy.
 */
import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../../base/clock.ts';
import { GweError } from '../../../base/errors.ts';
import { MAX_CONTENT_BYTES } from '../../bounds.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { S3Target } from '../objects/s3-client.ts';
import { createS3Objects } from '../objects/s3-objects.ts';
import {
  assertReachable,
  type Connection,
  createConnection,
  NOW,
  type Query,
} from '../postgres/connection.ts';
import { OWNER } from '../postgres/postgres-storage.ts';
import { COPY_TABLE, migrate } from '../postgres/schema.ts';
import { markShown } from '../postgres/value-table.ts';
import type { Frozen } from '../sqlite/connection.ts';
import {
  createPostgresSource,
  insertRows,
  type PostgresTables,
  readTables,
  setNumbers,
} from './postgres-rows.ts';
import { digestTable, type TableDigest, type TableShape } from './rows.ts';
import { createSqliteSource } from './sqlite-rows.ts';

interface CopySource {
  database: DatabaseSync;
  /** The directory that contains `content`. */
  directory: string;
  /** Identifies the platform for as long as it exists, wherever its data is stored. */
  id: string;
  /** From now on nothing is written. */
  freeze(): Promise<Frozen>;
}

export interface CopyTarget {
  url: string;
  password?: string | undefined;
  /** Without it the content stays where it is, and replicas are given that directory. */
  objects?: S3Target | undefined;
}

export interface Progress {
  clock: Clock;
  /** Prints one line about the progress. */
  say(text: string): void;
  signal: AbortSignal;
}

interface Copied {
  devices: number;
  rows: number;
  content: number;
}

/**
 * Throws PLATFORM_STATE where the target cannot be used, or differs in the end; the source then goes on as before.
 */
export async function copyPlatform(
  source: CopySource,
  target: CopyTarget,
  progress: Progress,
): Promise<Copied> {
  const connection = createConnection(target);
  const objects = target.objects === undefined ? undefined : createS3Objects(target.objects, progress.clock);
  let frozen: Frozen | undefined;
  try {
    await assertReachable(connection, target);
    await migrate(connection);
    await begin(connection, source);
    await objects?.claim(source.id);
    if (objects !== undefined) await copyContent(source, objects, progress);
    frozen = await source.freeze();
    progress.say('copying rows: gateways read commands, and write again when this is over');
    const content = objects === undefined ? 0 : await copyContent(source, objects, progress);
    const rows = await copyRowsVerified(connection, source, progress);
    await finish(connection, frozen, source.id);
    // Stays frozen: the copy is the platform now.
    frozen = undefined;
    return { ...rows, content };
  } finally {
    frozen?.end();
    objects?.close();
    await connection.close();
  }
}

const CONTENT = 'SELECT blob, size FROM content WHERE blob IS NOT NULL ORDER BY blob';

/**
 * Blobs have random names and never change, so one that is there in full size need not be copied. Returns how many
 * there are.
 */
async function copyContent(
  { database, directory }: CopySource,
  objects: ObjectStore,
  { say, signal }: Progress,
): Promise<number> {
  const there = new Map<string, number>();
  for await (const { name, sizeBytes } of objects.list()) there.set(name, sizeBytes);
  const wanted = database
    .prepare(CONTENT)
    .all()
    .map((row) => ({ blob: String(row.blob), size: Number(row.size) }));
  const missing = wanted.filter(({ blob, size }) => there.get(blob) !== size);
  for (const [index, { blob }] of missing.entries()) {
    signal.throwIfAborted();
    const path = join(directory, 'content', blob);
    // The blob may have been replaced meanwhile.
    if (statSync(path, { throwIfNoEntry: false }) === undefined) continue;
    await objects.put(blob, createReadStream(path), MAX_CONTENT_BYTES);
    say(`content: ${index + 1} of ${missing.length} copied, ${wanted.length - missing.length} were there`);
  }
  return wanted.length;
}

/** Checks that the target is empty, or holds the beginning of a copy of this very platform. */
async function begin(connection: Connection, { id }: CopySource): Promise<void> {
  await connection.transaction(async (query) => {
    const [row] = await query(`SELECT to_regclass('${COPY_TABLE}') IS NOT NULL AS is_there`);
    if (row?.is_there === true) {
      const [begun] = await query(`SELECT source FROM ${COPY_TABLE} LIMIT 1`);
      if (begun?.source === id) return;
      throw new GweError('PLATFORM_STATE', 'cannot copy: the database holds the beginning of another copy');
    }
    const used = await query('SELECT 1 FROM product UNION ALL SELECT 1 FROM secret LIMIT 1');
    if (used.length > 0)
      throw new GweError(
        'PLATFORM_STATE',
        'cannot copy: the database holds a platform, expected an empty one',
      );
    await query(
      `CREATE TABLE ${COPY_TABLE} (source text NOT NULL, name text PRIMARY KEY, next bigint NOT NULL)`,
    );
    await query(`INSERT INTO ${COPY_TABLE} (source, name, next) VALUES ($1, '', 0)`, id);
  });
}

async function copyRowsVerified(
  connection: Connection,
  source: CopySource,
  progress: Progress,
): Promise<{ devices: number; rows: number }> {
  const known = await readTables(connection.query);
  const shapes = fitTables(await createSqliteSource(source.database).tables(), known);
  for (let isAgain = false; ; isAgain = true) {
    for (const shape of shapes) await copyTable(connection, source, { known, shape }, progress);
    const difference = await compare(connection, source, known, shapes);
    if (typeof difference !== 'string') return difference;
    if (isAgain) throw new GweError('PLATFORM_STATE', `cannot copy: ${difference}`);
    // An earlier copy has ended, and the platform was written to since.
    progress.say(`${difference}: copying the rows again`);
    await connection.transaction(async (query) => {
      await query(`TRUNCATE ${shapes.map(({ name }) => name).join(', ')}`);
      await query(`UPDATE ${COPY_TABLE} SET next = 0`);
    });
  }
}

/** Throws where the target has no column for one of the source. */
function fitTables(tables: readonly TableShape[], known: PostgresTables): TableShape[] {
  for (const { name, columns } of tables)
    for (const column of columns)
      if (known.get(name)?.some((each) => each.name === column) !== true)
        throw new GweError('PLATFORM_STATE', `cannot copy: the database has no place for ${name}.${column}`);
  return [...tables];
}

async function copyTable(
  connection: Connection,
  { database }: CopySource,
  { known, shape }: { known: PostgresTables; shape: TableShape },
  { say, signal }: Progress,
): Promise<void> {
  const [row] = await connection.query(`SELECT next FROM ${COPY_TABLE} WHERE name = $1`, shape.name);
  let copied = 0;
  for await (const { rows, next } of createSqliteSource(database).read(shape, Number(row?.next ?? 0))) {
    signal.throwIfAborted();
    await connection.transaction(async (query) => {
      await insertRows(query, known, shape, rows);
      await query(
        `INSERT INTO ${COPY_TABLE} (source, name, next) VALUES ('', $1, $2)
         ON CONFLICT (name) DO UPDATE SET next = excluded.next`,
        shape.name,
        next,
      );
    });
    copied += rows.length;
  }
  if (copied > 0) say(`${shape.name}: ${copied} rows`);
}

/** The first difference, or, if there is none, the numbers of devices and rows. */
async function compare(
  connection: Connection,
  { database }: CopySource,
  known: PostgresTables,
  shapes: TableShape[],
): Promise<string | { devices: number; rows: number }> {
  const here = createSqliteSource(database);
  let [devices, rows] = [0, 0];
  for (const shape of shapes) {
    const mine = await digestTable(here, shape);
    const theirs = await connection.transaction<TableDigest>((query) =>
      digestTable(createPostgresSource(query, known, shapes), shape),
    );
    if (mine.sum !== theirs.sum || mine.rows !== theirs.rows)
      return `table ${shape.name} differs (${mine.rows} rows, copied ${theirs.rows})`;
    rows += mine.rows;
    if (shape.name === 'device') devices = mine.rows;
  }
  return { devices, rows };
}

/** Also copies what devices were shown since the rows were read; after that the copy is a platform. */
async function finish(connection: Connection, frozen: Frozen, id: string): Promise<void> {
  await connection.transaction(async (query: Query) => {
    await query(
      `INSERT INTO secret (name, value, made_at) VALUES ('${OWNER.name}', $1, ${NOW}) ON CONFLICT DO NOTHING`,
      Buffer.from(id, 'hex'),
    );
    for (const [deviceId, values] of frozen.shown()) await markShown(query, deviceId, values);
    await setNumbers(query, await readTables(query));
    await query(`DROP TABLE ${COPY_TABLE}`);
  });
}
