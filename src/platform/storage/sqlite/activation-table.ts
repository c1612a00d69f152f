/** What happened to a serial number, in SQLite: the newest entries of each device. */
import { MAX_ACTIVATION_LOG_ENTRIES } from '../../bounds.ts';
import type { ActivationEntry } from '../device-storage.ts';
import type { Connection } from './connection.ts';

/** Part of a commit. */
export function logActivation(
  connection: Connection,
  deviceId: number,
  { at, connection: from, entry }: ActivationEntry,
): void {
  connection
    .statement('INSERT INTO activation (device, at, connection, entry) VALUES (?, ?, ?, ?)')
    .run(deviceId, at, from, entry);
  connection
    .statement(
      `DELETE FROM activation WHERE device = ?1 AND rowid NOT IN
         (SELECT rowid FROM activation WHERE device = ?1 ORDER BY rowid DESC LIMIT ${MAX_ACTIVATION_LOG_ENTRIES})`,
    )
    .run(deviceId);
}

export function readActivationLog(connection: Connection, deviceId: number): ActivationEntry[] {
  return connection
    .statement('SELECT at, connection, entry FROM activation WHERE device = ? ORDER BY rowid')
    .all(deviceId)
    .map((row) => ({ at: Number(row.at), connection: String(row.connection), entry: String(row.entry) }));
}
