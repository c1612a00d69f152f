/** What happened to a serial number, in PostgreSQL: the newest entries of each device. */
import { MAX_ACTIVATION_LOG_ENTRIES } from '../../bounds.ts';
import type { ActivationEntry } from '../device-storage.ts';
import { NOW, type Query } from './connection.ts';

/** Part of a transaction. */
export async function logActivation(
  query: Query,
  deviceId: number,
  connection: string,
  entry: string,
): Promise<void> {
  await query(
    `INSERT INTO activation (device, at, connection, entry) VALUES ($1, ${NOW}, $2, $3)`,
    deviceId,
    connection,
    entry,
  );
  await query(
    `DELETE FROM activation WHERE device = $1 AND id <= (
       SELECT id FROM activation WHERE device = $1 ORDER BY id DESC OFFSET ${MAX_ACTIVATION_LOG_ENTRIES} LIMIT 1)`,
    deviceId,
  );
}

export async function readActivationLog(query: Query, deviceId: number): Promise<ActivationEntry[]> {
  const rows = await query(
    'SELECT at, connection, entry FROM activation WHERE device = $1 ORDER BY id',
    deviceId,
  );
  return rows.map((row) => ({
    at: Number(row.at),
    connection: String(row.connection),
    entry: String(row.entry),
  }));
}
