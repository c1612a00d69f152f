/** Tokens and the audit in PostgreSQL. */
import { type AuditEntry, type AuditFacts, chainEntry, NO_ENTRY } from '../../../fleet/people/audit.ts';
import { toEntry, toToken } from '../fleet-rows.ts';
import type { FleetStorage } from '../fleet-storage.ts';
import type { Connection, Query } from './connection.ts';

type PeopleTable = Pick<FleetStorage, 'putToken' | 'findToken' | 'listTokens' | 'removeToken' | 'listAudit'>;

export function createPeopleTable({ query, transaction }: Connection): PeopleTable {
  return {
    putToken: ({ id, digest, name, grants, expiresAt }, audit) =>
      transaction(async (tx) => {
        const sql =
          'INSERT INTO fleet_token (id, digest, name, grants, expires_at) VALUES ($1, $2, $3, $4, $5)';
        await tx(sql, id, digest, name, JSON.stringify(grants), expiresAt);
        await addAudit(tx, audit);
      }),
    findToken: async (id) => {
      const [row] = await query('SELECT * FROM fleet_token WHERE id = $1', id);
      return row === undefined ? undefined : toToken(row);
    },
    listTokens: async () => (await query('SELECT * FROM fleet_token ORDER BY name, id')).map(toToken),
    removeToken: (id, audit) =>
      transaction(async (tx) => {
        const removed = await tx('DELETE FROM fleet_token WHERE id = $1 RETURNING id', id);
        if (removed.length > 0) await addAudit(tx, audit);
        return removed.length > 0;
      }),
    listAudit: async (after, limit) =>
      (await query('SELECT * FROM fleet_audit WHERE number > $1 ORDER BY number LIMIT $2', after, limit)).map(
        toEntry,
      ),
  };
}

/** Any number that nothing else in the database uses. */
const LOCK = 7_146_529_302;

/**
 * Part of the transaction of the change that it records. The chain stays locked until the end of that transaction, so
 * the entry is written last: whoever holds the chain waits for nothing else.
 */
export async function addAudit(query: Query, facts: AuditFacts): Promise<void> {
  await query('SELECT pg_advisory_xact_lock($1)', LOCK);
  const [row] = await query('SELECT * FROM fleet_audit ORDER BY number DESC LIMIT 1');
  const entry: AuditEntry = chainEntry(row === undefined ? NO_ENTRY : toEntry(row), facts);
  const { number, at, actor, request, action, target, before, after, digest } = entry;
  await query(
    `INSERT INTO fleet_audit (number, at, actor, request, action, target, before, after, digest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    ...[number, at, actor, request, action, target, before, after, digest],
  );
}
