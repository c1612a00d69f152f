/** The history of values in SQLite: writes append to it, and it is cut to its bounds later. */
import { MAX_HISTORY_BYTES, MAX_HISTORY_BYTES_PER_DEVICE, MAX_HISTORY_ENTRIES } from '../../bounds.ts';
import type { HistoryEntry, RecordPoint, Writer } from '../value-storage.ts';
import type { Connection } from './connection.ts';

export interface NewValue {
  alias: string;
  value: string;
  /** Unix seconds of the value; for a recorded point, the time that its device gives. */
  timestamp: number;
  writer: Writer;
}

interface Written {
  sequence: number;
  /** Unix seconds. */
  now: number;
}

/** Part of a commit. */
export function addHistory(
  connection: Connection,
  deviceId: number,
  fresh: NewValue,
  { sequence, now }: Written,
): void {
  const bytes = Buffer.from(fresh.value);
  connection
    .statement(
      `INSERT INTO history (device, alias, timestamp, sequence, writer, size, value, written_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(deviceId, fresh.alias, fresh.timestamp, sequence, fresh.writer, bytes.length, bytes, now);
}

export function hasPoint(connection: Connection, deviceId: number, point: RecordPoint): boolean {
  const sql = 'SELECT 1 FROM history WHERE device = ? AND alias = ? AND timestamp = ? LIMIT 1';
  return connection.statement(sql).get(deviceId, point.alias, point.timestamp) !== undefined;
}

/** What is over the bounds is never shown, whether it has been removed yet or not. */
export function readHistory(
  connection: Connection,
  deviceId: number,
  alias: string,
  limit: number,
): HistoryEntry[] {
  const rows = connection
    .statement(
      `SELECT value, timestamp, writer FROM history WHERE rowid IN (
         SELECT id FROM (
           SELECT rowid AS id, row_number() OVER newest AS place, sum(size) OVER newest AS total
           FROM history WHERE device = ? AND alias = ?
           WINDOW newest AS (ORDER BY timestamp DESC, sequence DESC))
         WHERE place = 1 OR (place <= ? AND total <= ${MAX_HISTORY_BYTES}))
       ORDER BY timestamp DESC, sequence DESC`,
    )
    .all(deviceId, alias, Math.min(limit, MAX_HISTORY_ENTRIES));
  return rows.map((row) => ({
    value: blobText(row.value),
    timestamp: Number(row.timestamp),
    writer: toWriter(row.writer),
  }));
}

/**
 * Part of a commit: drops what is older than the newest entries that fit the bounds; the query needs only the index.
 */
export function trimHistory(connection: Connection, deviceId: number, aliases: Iterable<string>): void {
  const row = connection.statement('SELECT count(*) AS count FROM current WHERE device = ?').get(deviceId);
  // Shared by all aliases of the device, so that each of many keeps less.
  const share = Math.floor(MAX_HISTORY_BYTES_PER_DEVICE / Math.max(1, Number(row?.count)));
  const trim = connection.statement(
    `DELETE FROM history WHERE rowid IN (
       SELECT id FROM (
         SELECT rowid AS id, row_number() OVER newest AS place, sum(size) OVER newest AS total
         FROM history WHERE device = ? AND alias = ?
         WINDOW newest AS (ORDER BY timestamp DESC, sequence DESC))
       WHERE place > 1 AND (place > ${MAX_HISTORY_ENTRIES} OR total > ?))`,
  );
  for (const alias of aliases) trim.run(deviceId, alias, Math.min(MAX_HISTORY_BYTES, share));
}

/**
 * Part of a commit: of the rows after `after`, drops those that were written before `cutoff`, at most `most` rows at
 * a time. The newest of an alias stays. Returns where to continue, or `undefined` where nothing older is left.
 */
export function dropOldHistory(
  connection: Connection,
  { after, cutoff, most }: { after: number; cutoff: number; most: number },
): number | undefined {
  const old = connection
    .statement('SELECT rowid AS id FROM history WHERE rowid > ? AND written_at < ? ORDER BY rowid LIMIT ?')
    .all(after, cutoff, most)
    .map((row) => Number(row.id));
  const drop = connection.statement(
    `DELETE FROM history WHERE rowid = ? AND EXISTS (
       SELECT 1 FROM history AS newer WHERE newer.device = history.device AND newer.alias = history.alias
         AND (newer.timestamp, newer.sequence) > (history.timestamp, history.sequence))`,
  );
  for (const id of old) drop.run(id);
  return old.length < most ? undefined : old.at(-1);
}

/** Values are stored as blobs, since SQLite's text ends at a NUL for some of its readers. */
export function blobText(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : '';
}

function toWriter(value: unknown): Writer {
  return value === 'operator' ? 'operator' : 'device';
}
