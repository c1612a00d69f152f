/** Tokens and the audit in SQLite. */
import { type AuditFacts, chainEntry, NO_ENTRY } from '../../../fleet/people/audit.ts';
import { toEntry, toToken } from '../fleet-rows.ts';
import type { FleetStorage } from '../fleet-storage.ts';
import type { Connection } from './connection.ts';

type PeopleTable = Pick<FleetStorage, 'putToken' | 'findToken' | 'listTokens' | 'removeToken' | 'listAudit'>;

export function createPeopleTable(connection: Connection): PeopleTable {
  return {
    putToken: ({ id, digest, name, grants, expiresAt }, audit) =>
      connection.commit(() => {
        const sql = 'INSERT INTO fleet_token (id, digest, name, grants, expires_at) VALUES (?, ?, ?, ?, ?)';
        connection.statement(sql).run(id, digest, name, JSON.stringify(grants), expiresAt);
        addAudit(connection, audit);
      }),
    findToken: async (id) => {
      const row = connection.statement('SELECT * FROM fleet_token WHERE id = ?').get(id);
      return row === undefined ? undefined : toToken(row);
    },
    listTokens: async () =>
      connection.statement('SELECT * FROM fleet_token ORDER BY name, id').all().map(toToken),
    removeToken: (id, audit) =>
      connection.commit(() => {
        const removed = connection.statement('DELETE FROM fleet_token WHERE id = ?').run(id);
        if (Number(removed.changes) > 0) addAudit(connection, audit);
        return Number(removed.changes) > 0;
      }),
    listAudit: async (after, limit) =>
      connection
        .statement('SELECT * FROM fleet_audit WHERE number > ? ORDER BY number LIMIT ?')
        .all(after, limit)
        .map(toEntry),
  };
}

/** Part of the commit of the change that it records. */
export function addAudit(connection: Connection, facts: AuditFacts): void {
  const row = connection.statement('SELECT * FROM fleet_audit ORDER BY number DESC LIMIT 1').get();
  const entry = chainEntry(row === undefined ? NO_ENTRY : toEntry(row), facts);
  const { number, at, actor, request, action, target, before, after, digest } = entry;
  connection
    .statement(
      `INSERT INTO fleet_audit (number, at, actor, request, action, target, before, after, digest)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(number, at, actor, request, action, target, before, after, digest);
}
