/** Small records in PostgreSQL. */
import { toPage } from '../page.ts';
import type { RecordStorage } from '../record-storage.ts';
import { type Connection, NOW } from './connection.ts';
import { addAudit } from './people-table.ts';

const IS_THERE = `(ends_at = 0 OR ends_at > ${NOW})`;

export function createRecordTable({ query, transaction }: Connection): RecordStorage {
  return {
    async findRecord(kind, key) {
      const sql = `SELECT body FROM fleet_record WHERE kind = $1 AND key = $2 AND ${IS_THERE}`;
      const [row] = await query(sql, kind, key);
      return row === undefined ? undefined : String(row.body);
    },
    async listRecords(kind, { after = '', limit }) {
      const sql = `SELECT key, body FROM fleet_record WHERE kind = $1 AND key > $2 AND ${IS_THERE} ORDER BY key LIMIT $3`;
      const rows = await query(sql, kind, after, limit + 1);
      const found = rows.map((row) => ({ key: String(row.key), body: String(row.body) }));
      return toPage(found, limit, ({ key }) => key);
    },
    changeRecord: ({ kind, key }, change) =>
      transaction(async (tx) => {
        // Also locks a record that does not exist yet, for which there is no row to lock.
        await tx('SELECT pg_advisory_xact_lock(hashtextextended($1, 1))', `${kind}\n${key}`);
        const [row] = await tx(
          `SELECT ${NOW} AS now, (SELECT body FROM fleet_record WHERE kind = $1 AND key = $2 AND ${IS_THERE}) AS body`,
          kind,
          key,
        );
        const body = row?.body;
        const found = typeof body === 'string' ? body : undefined;
        const { result, put, isRemoved = false, audit } = change(found, Number(row?.now));
        if (put !== undefined)
          await tx(
            `INSERT INTO fleet_record (kind, key, body, ends_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, ends_at = excluded.ends_at`,
            ...[kind, key, put.body, put.endsAt ?? 0],
          );
        if (isRemoved) await tx('DELETE FROM fleet_record WHERE kind = $1 AND key = $2', kind, key);
        if (audit !== undefined) await addAudit(tx, audit);
        return result;
      }),
    async sweepRecords() {
      await query(`DELETE FROM fleet_record WHERE ends_at > 0 AND ends_at <= ${NOW}`);
    },
  };
}
