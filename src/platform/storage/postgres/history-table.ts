/** The history of values in PostgreSQL: writes append to it, and it is cut to its bounds later. */
import { MAX_HISTORY_BYTES, MAX_HISTORY_BYTES_PER_DEVICE, MAX_HISTORY_ENTRIES } from '../../bounds.ts';
import type { HistoryEntry, RecordPoint, Writer } from '../value-storage.ts';
import { NOW, type Query } from './connection.ts';

export interface NewValue {
  alias: string;
  value: string;
  /** Unix seconds of the value; for a recorded point, the time that its device gives. */
  timestamp: number;
  writer: Writer;
  sequence: number;
}

/** Part of a transaction. */
export async function addHistory(
  query: Query,
  { id, now }: { id: number; now: number },
  fresh: readonly NewValue[],
): Promise<void> {
  if (fresh.length === 0) return;
  const bytes = fresh.map(({ value }) => Buffer.from(value));
  await query(
    `INSERT INTO history (device, alias, timestamp, sequence, writer, size, value, written_at)
     SELECT $1, alias, timestamp, sequence, writer, length(value), value, $2
     FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::text[])
       AS new (alias, value, timestamp, sequence, writer)`,
    id,
    now,
    fresh.map(({ alias }) => alias),
    bytes,
    fresh.map(({ timestamp }) => timestamp),
    fresh.map(({ sequence }) => sequence),
    fresh.map(({ writer }) => writer),
  );
}

/** `TIMESTAMP ALIAS` of those points in whose second there is a value already. */
export async function takenPoints(
  query: Query,
  deviceId: number,
  points: readonly RecordPoint[],
): Promise<Set<string>> {
  const rows = await query(
    `SELECT DISTINCT alias, timestamp FROM history
     JOIN unnest($2::text[], $3::bigint[]) AS point (alias, timestamp) USING (alias, timestamp) WHERE device = $1`,
    deviceId,
    points.map(({ alias }) => alias),
    points.map(({ timestamp }) => timestamp),
  );
  return new Set(rows.map((row) => `${row.timestamp} ${row.alias}`));
}

/** What is over the bounds is never shown, whether it has been removed yet or not. */
export async function readHistory(
  query: Query,
  deviceId: number,
  alias: string,
  limit: number,
): Promise<HistoryEntry[]> {
  const rows = await query(
    `SELECT value, history.timestamp, writer FROM history JOIN (
       SELECT id, row_number() OVER newest AS place, sum(size) OVER newest AS total
       FROM history WHERE device = $1 AND alias = $2
       WINDOW newest AS (ORDER BY timestamp DESC, sequence DESC)) AS placed USING (id)
     WHERE place = 1 OR (place <= $3 AND total <= ${MAX_HISTORY_BYTES}) ORDER BY place`,
    deviceId,
    alias,
    Math.min(limit, MAX_HISTORY_ENTRIES),
  );
  return rows.map((row) => ({
    value: row.value instanceof Uint8Array ? Buffer.from(row.value).toString('utf8') : '',
    timestamp: Number(row.timestamp),
    writer: row.writer === 'operator' ? 'operator' : 'device',
  }));
}

/**
 * Drops what is older than the newest entries that fit the bounds; the aliases of a device share the room that it
 * has.
 */
export async function trimHistory(query: Query, deviceId: number, aliases: readonly string[]): Promise<void> {
  await query(
    `DELETE FROM history WHERE id IN (
       SELECT id FROM (
         SELECT id, row_number() OVER newest AS place, sum(size) OVER newest AS total
         FROM history WHERE device = $1 AND alias = ANY($2::text[])
         WINDOW newest AS (PARTITION BY alias ORDER BY timestamp DESC, sequence DESC)) AS placed
       WHERE place > 1 AND (place > ${MAX_HISTORY_ENTRIES} OR total > (
         SELECT least(${MAX_HISTORY_BYTES}, ${MAX_HISTORY_BYTES_PER_DEVICE} / greatest(1, count(*)))
         FROM current WHERE device = $1)))`,
    deviceId,
    aliases,
  );
}

/**
 * Drops up to `most` entries that were written so long ago; the newest of an alias stays. Returns how many were
 * dropped.
 */
export async function dropOldHistory(query: Query, ageSeconds: number, most: number): Promise<number> {
  const rows = await query(
    `DELETE FROM history WHERE id IN (
       SELECT id FROM history AS old WHERE written_at < ${NOW} - $1 AND EXISTS (
         SELECT 1 FROM history AS newer WHERE newer.device = old.device AND newer.alias = old.alias
           AND (newer.timestamp, newer.sequence) > (old.timestamp, old.sequence))
       ORDER BY written_at LIMIT $2) RETURNING id`,
    ageSeconds,
    most,
  );
  return rows.length;
}
