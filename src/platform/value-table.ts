/** Alias values and their history in SQLite. `current` is what a read answers; `history` is what was ever written, bounded. */
import type { DatabaseSync } from 'node:sqlite';
import {
  MAX_ALIASES_PER_DEVICE,
  MAX_HISTORY_BYTES,
  MAX_HISTORY_BYTES_PER_DEVICE,
  MAX_HISTORY_ENTRIES,
  MAX_VALUES_BYTES_PER_DEVICE,
} from './limits.ts';
import { transaction } from './sqlite.ts';
import type { AliasValue, HistoryEntry, RecordPoint, Storage, Writer } from './storage.ts';

export type ValueTable = Pick<Storage, 'write' | 'record' | 'read' | 'history'>;

interface Context {
  database: DatabaseSync;
  nowSeconds(): number;
}

interface NewValue {
  alias: string;
  value: string;
  timestamp: number;
  writer: Writer;
}

export function createValueTable(context: Context): ValueTable {
  const { database } = context;
  return {
    write: async (deviceId, values, writer, shownAt) =>
      transaction(database, () => writeValues(context, deviceId, values, writer, shownAt)),
    record: async (deviceId, points) => transaction(database, () => recordPoints(context, deviceId, points)),
    read: async (deviceId, aliases) =>
      aliases.flatMap((alias) => readCurrent(database, deviceId, alias) ?? []),
    history: async (deviceId, alias, limit) => readHistory(database, deviceId, alias, limit),
  };
}

function writeValues(
  { database, nowSeconds }: Context,
  deviceId: number,
  values: readonly (readonly [string, string])[],
  writer: Writer,
  shownAt: number,
): 'done' | 'too-much' {
  const now = nowSeconds();
  const stamp = stampDevice(database, deviceId, values.length, now, shownAt);
  for (const [index, [alias, value]] of values.entries()) {
    const fresh: NewValue = { alias, value, timestamp: now, writer };
    const sequence = stamp.firstSequence + index;
    setCurrent(database, deviceId, fresh, stamp.modifiedAt, sequence);
    addHistory(database, deviceId, fresh, sequence);
  }
  return keepBounds(
    database,
    deviceId,
    values.map(([alias]) => alias),
  );
}

/** Reserves `count` sequence numbers and moves `modified_at` on: never back, and past what readers have seen. */
function stampDevice(
  database: DatabaseSync,
  deviceId: number,
  count: number,
  now: number,
  shownAt: number,
): { modifiedAt: number; firstSequence: number } {
  const row = database
    .prepare(
      `UPDATE device SET sequence = sequence + ?, modified_at = max(modified_at, ?, ?), last_write_at = ?
       WHERE id = ? RETURNING sequence, modified_at`,
    )
    .get(count, now, shownAt + 1, now, deviceId);
  if (row === undefined) throw new Error('a write to a device that is not in its table');
  return { modifiedAt: Number(row.modified_at), firstSequence: Number(row.sequence) - count + 1 };
}

/** Trims the history of what was written. A device that would have more than its share has written nothing. */
function keepBounds(
  database: DatabaseSync,
  deviceId: number,
  written: readonly string[],
): 'done' | 'too-much' {
  const row = database
    .prepare('SELECT count(*) AS count, sum(length(value)) AS bytes FROM current WHERE device = ?')
    .get(deviceId);
  const count = Number(row?.count);
  if (count > MAX_ALIASES_PER_DEVICE || Number(row?.bytes) > MAX_VALUES_BYTES_PER_DEVICE) {
    database.exec('ROLLBACK');
    database.exec('BEGIN IMMEDIATE');
    return 'too-much';
  }
  const share = Math.floor(MAX_HISTORY_BYTES_PER_DEVICE / Math.max(1, count));
  trimHistory(database, deviceId, written, Math.min(MAX_HISTORY_BYTES, share));
  return 'done';
}

function setCurrent(
  database: DatabaseSync,
  deviceId: number,
  fresh: NewValue,
  modifiedAt: number,
  sequence: number,
): void {
  database
    .prepare(
      `INSERT INTO current (device, alias, value, timestamp, modified_at, sequence) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (device, alias) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,
         modified_at = excluded.modified_at, sequence = excluded.sequence`,
    )
    .run(deviceId, fresh.alias, Buffer.from(fresh.value), fresh.timestamp, modifiedAt, sequence);
}

function addHistory(database: DatabaseSync, deviceId: number, fresh: NewValue, sequence: number): void {
  const bytes = Buffer.from(fresh.value);
  database
    .prepare(
      'INSERT INTO history (device, alias, timestamp, sequence, writer, size, value) VALUES (?, ?, ?, ?, ?, ?, ?)',
    )
    .run(deviceId, fresh.alias, fresh.timestamp, sequence, fresh.writer, bytes.length, bytes);
}

/** Drops what is older than the newest entries that fit the bounds; the index alone answers which. */
function trimHistory(
  database: DatabaseSync,
  deviceId: number,
  aliases: Iterable<string>,
  mostBytes: number,
): void {
  const trim = database.prepare(
    `DELETE FROM history WHERE rowid IN (
         SELECT id FROM (
           SELECT rowid AS id, row_number() OVER newest AS place, sum(size) OVER newest AS total
           FROM history WHERE device = ? AND alias = ?
           WINDOW newest AS (ORDER BY timestamp DESC, sequence DESC))
         WHERE place > 1 AND (place > ? OR total > ?))`,
  );
  for (const alias of new Set(aliases)) trim.run(deviceId, alias, MAX_HISTORY_ENTRIES, mostBytes);
}

/** A recorded point becomes what reads answer only if it is newer than that. */
function recordPoints(
  { database, nowSeconds }: Context,
  deviceId: number,
  points: readonly RecordPoint[],
): RecordPoint[] | 'too-much' {
  const stamp = stampDevice(database, deviceId, points.length, nowSeconds(), 0);
  const clashes: RecordPoint[] = [];
  for (const [index, point] of points.entries()) {
    if (hasPoint(database, deviceId, point)) {
      clashes.push(point);
      continue;
    }
    const fresh: NewValue = { ...point, writer: 'device' };
    const sequence = stamp.firstSequence + index;
    const current = readCurrent(database, deviceId, point.alias);
    if (current === undefined || point.timestamp > current.timestamp) {
      setCurrent(database, deviceId, fresh, stamp.modifiedAt, sequence);
    }
    addHistory(database, deviceId, fresh, sequence);
  }
  const written = points.map((point) => point.alias);
  return keepBounds(database, deviceId, written) === 'done' ? clashes : 'too-much';
}

function hasPoint(database: DatabaseSync, deviceId: number, point: RecordPoint): boolean {
  const sql = 'SELECT 1 FROM history WHERE device = ? AND alias = ? AND timestamp = ? LIMIT 1';
  return database.prepare(sql).get(deviceId, point.alias, point.timestamp) !== undefined;
}

function readCurrent(database: DatabaseSync, deviceId: number, alias: string): AliasValue | undefined {
  const row = database.prepare('SELECT * FROM current WHERE device = ? AND alias = ?').get(deviceId, alias);
  if (row === undefined) return undefined;
  return {
    alias,
    value: blobText(row.value),
    timestamp: Number(row.timestamp),
    modifiedAt: Number(row.modified_at),
    sequence: Number(row.sequence),
  };
}

function readHistory(database: DatabaseSync, deviceId: number, alias: string, limit: number): HistoryEntry[] {
  const rows = database
    .prepare(
      `SELECT value, timestamp, writer FROM history WHERE device = ? AND alias = ?
       ORDER BY timestamp DESC, sequence DESC LIMIT ?`,
    )
    .all(deviceId, alias, limit);
  return rows.map((row) => ({
    value: blobText(row.value),
    timestamp: Number(row.timestamp),
    writer: row.writer === 'operator' ? 'operator' : 'device',
  }));
}

/** Values are stored as blobs, since SQLite's text ends at a NUL for some of its readers. */
function blobText(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : '';
}
