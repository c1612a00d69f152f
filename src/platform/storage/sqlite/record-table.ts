/** Small records in SQLite. */
import { toPage } from '../page.ts';
import type { RecordStorage } from '../record-storage.ts';
import type { Connection } from './connection.ts';
import { addAudit } from './people-table.ts';

export function createRecordTable(connection: Connection, nowSeconds: () => number): RecordStorage {
  const find = (kind: string, key: string): string | undefined => {
    const sql = 'SELECT body FROM fleet_record WHERE kind = ? AND key = ? AND (ends_at = 0 OR ends_at > ?)';
    const row = connection.statement(sql).get(kind, key, nowSeconds());
    return row === undefined ? undefined : String(row.body);
  };
  return {
    findRecord: async (kind, key) => find(kind, key),
    listRecords: async (kind, { after = '', limit }) => {
      const sql = `SELECT key, body FROM fleet_record WHERE kind = ? AND key > ? AND (ends_at = 0 OR ends_at > ?)
        ORDER BY key LIMIT ?`;
      const rows = connection.statement(sql).all(kind, after, nowSeconds(), limit + 1);
      const found = rows.map((row) => ({ key: String(row.key), body: String(row.body) }));
      return toPage(found, limit, ({ key }) => key);
    },
    changeRecord: ({ kind, key }, change) =>
      connection.commit(() => {
        const { result, put, isRemoved = false, audit } = change(find(kind, key), nowSeconds());
        if (put !== undefined)
          connection
            .statement('INSERT OR REPLACE INTO fleet_record (kind, key, body, ends_at) VALUES (?, ?, ?, ?)')
            .run(kind, key, put.body, put.endsAt ?? 0);
        if (isRemoved)
          connection.statement('DELETE FROM fleet_record WHERE kind = ? AND key = ?').run(kind, key);
        if (audit !== undefined) addAudit(connection, audit);
        return result;
      }),
    sweepRecords: () =>
      connection.commit(() => {
        const sql = 'DELETE FROM fleet_record WHERE ends_at > 0 AND ends_at <= ?';
        connection.statement(sql).run(nowSeconds());
      }),
  };
}
