/** Reads rows of the tables in PostgreSQL as of one moment, and writes them. */
import type { Row as PostgresRow, Query } from '../postgres/connection.ts';
import { type Batch, ROWS_IN_BATCH, type Row, type RowSource, type TableShape, type Value } from './rows.ts';

/** A column's type, and whether the database assigns its numbers. */
interface Column {
  name: string;
  type: string;
  isNumbered: boolean;
}

export type PostgresTables = ReadonlyMap<string, readonly Column[]>;

export async function readTables(query: Query): Promise<PostgresTables> {
  const rows = await query(
    `SELECT table_name, column_name, data_type, is_identity FROM information_schema.columns
     WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`,
  );
  const tables = new Map<string, Column[]>();
  for (const row of rows) {
    const columns = tables.get(String(row.table_name)) ?? [];
    columns.push({
      name: String(row.column_name),
      type: String(row.data_type),
      isNumbered: row.is_identity === 'YES',
    });
    tables.set(String(row.table_name), columns);
  }
  return tables;
}

/** `query` belongs to a transaction that sees one moment; `shapes` are the tables and columns to read. */
export function createPostgresSource(query: Query, known: PostgresTables, shapes: TableShape[]): RowSource {
  return { tables: async () => shapes, read: (table) => readTable(query, known, table) };
}

async function* readTable(query: Query, known: PostgresTables, table: TableShape): AsyncGenerator<Batch> {
  const { name, columns } = table;
  const numbered = known.get(name)?.find(({ isNumbered }) => isNumbered);
  // Statements are prepared by their text, and each table has other columns: so each has a cursor of its own name.
  const cursor = quote(`gwe ${name}`);
  const order = numbered === undefined ? '' : ` ORDER BY ${quote(numbered.name)}`;
  await query(
    `DECLARE ${cursor} NO SCROLL CURSOR FOR SELECT ${columns.map(quote).join(', ')} FROM ${quote(name)}${order}`,
  );
  for (let next = 0; ; ) {
    const found = await query(`FETCH ${ROWS_IN_BATCH} FROM ${cursor}`);
    if (found.length === 0) break;
    next += found.length;
    yield { rows: found.map((row) => toRow(known, table, row)), next };
  }
  await query(`CLOSE ${cursor}`);
}

function toRow(known: PostgresTables, { name, columns }: TableShape, row: PostgresRow): Row {
  const types = new Map(known.get(name)?.map((column) => [column.name, column.type]));
  return columns.map((column): Value => {
    const value = row[column];
    if (value === null || value === undefined || value instanceof Uint8Array) return value ?? null;
    return types.get(column) === 'text' ? String(value) : Number(value);
  });
}

/** Part of a transaction. */
export async function insertRows(
  query: Query,
  known: PostgresTables,
  { name, columns }: TableShape,
  rows: readonly Row[],
): Promise<void> {
  const types = new Map(known.get(name)?.map((column) => [column.name, column.type]));
  const arrays = columns.map((column, index) => {
    const values = rows.map((row) => row[index] ?? null);
    if (types.get(column) === 'boolean') return values.map((value) => value === 1);
    return values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value));
  });
  const places = columns.map((column, index) => `$${index + 1}::${types.get(column)}[]`);
  await query(
    `INSERT INTO ${quote(name)} (${columns.map(quote).join(', ')}) OVERRIDING SYSTEM VALUE
     SELECT * FROM unnest(${places.join(', ')})`,
    ...arrays,
  );
}

/** After rows were written with their own numbers, the next assigned number is above them. */
export async function setNumbers(query: Query, known: PostgresTables): Promise<void> {
  for (const [table, columns] of known)
    for (const { name, isNumbered } of columns)
      if (isNumbered)
        await query(
          `SELECT setval(pg_get_serial_sequence('${table}', '${name}'), (SELECT coalesce(max(${quote(name)}), 0) + 1
           FROM ${quote(table)}), false)`,
        );
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
