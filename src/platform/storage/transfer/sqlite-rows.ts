/** Reads rows of a platform's SQLite file while it serves, and writes them to a new one. */
import type { DatabaseSync } from 'node:sqlite';
import { type Batch, ROWS_IN_BATCH, type Row, type RowSource, type TableShape, type Value } from './rows.ts';

export function createSqliteSource(database: DatabaseSync): RowSource {
  return {
    tables: async () => tablesOf(database),
    read: (table, from) => readTable(database, table, from),
  };
}

/** Tables in the order in which they were made; each refers only to older ones. */
export function tablesOf(database: DatabaseSync): TableShape[] {
  const names = database
    .prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )
    .all()
    .map((row) => String(row.name));
  return names.map((name) => ({
    name,
    columns: database
      .prepare(`PRAGMA table_info(${quote(name)})`)
      .all()
      .map((row) => String(row.name)),
  }));
}

async function* readTable(
  database: DatabaseSync,
  { name, columns }: TableShape,
  from: number,
): AsyncGenerator<Batch> {
  const statement = database.prepare(
    `SELECT rowid AS "row number", ${columns.map(quote).join(', ')} FROM ${quote(name)}
     WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_IN_BATCH}`,
  );
  for (let after = from; ; ) {
    const found = statement.all(after);
    if (found.length === 0) return;
    after = Number(found.at(-1)?.['row number']);
    yield { rows: found.map((row) => columns.map((column) => toValue(row[column]))), next: after };
    // Between two batches other work gets its turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function toValue(value: unknown): Value {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array || typeof value === 'number') return value;
  // PostgreSQL accepts no NUL in a text.
  if (typeof value === 'string') return value.replaceAll('\0', '\ufffd');
  return Number(value);
}

/** Part of a transaction. */
export function insertRows(
  database: DatabaseSync,
  { name, columns }: TableShape,
  rows: readonly Row[],
): void {
  const places = columns.map(() => '?').join(', ');
  const insert = database.prepare(
    `INSERT INTO ${quote(name)} (${columns.map(quote).join(', ')}) VALUES (${places})`,
  );
  for (const row of rows) insert.run(...row);
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
