/** Rows in a form that both databases understand: for copying from one to the other, and for comparing. */
import { createHash } from 'node:crypto';

/** Booleans are 0 or 1. */
export type Value = string | number | Uint8Array | null;

export type Row = readonly Value[];

export interface TableShape {
  name: string;
  columns: readonly string[];
}

export interface Batch {
  rows: Row[];
  /** Where the next batch begins. */
  next: number;
}

/** Each table comes after those that it refers to. */
export interface RowSource {
  tables(): Promise<TableShape[]>;
  /**
   * Rows as of one moment, in the order in which they were written, beginning at `from`, which an earlier `next`
   * named.
   */
  read(table: TableShape, from: number): AsyncIterable<Batch>;
}

/** Rows in one batch, so that a turn of the event loop takes only milliseconds. */
export const ROWS_IN_BATCH = 1000;

/** How many rows there are, and a sum of their digests, which does not depend on their order. */
export interface TableDigest {
  rows: number;
  sum: string;
}

interface Digester {
  add(rows: readonly Row[]): void;
  result(): TableDigest;
}

const MODULUS = 2n ** 256n;

function createDigester(): Digester {
  let [count, sum] = [0, 0n];
  return {
    add(rows) {
      count += rows.length;
      for (const row of rows) {
        const plain = row.map((value) =>
          value instanceof Uint8Array ? { bytes: Buffer.from(value).toString('base64') } : value,
        );
        const digest = createHash('sha256').update(JSON.stringify(plain)).digest('hex');
        sum = (sum + BigInt(`0x${digest}`)) % MODULUS;
      }
    },
    result: () => ({ rows: count, sum: sum.toString(16).padStart(64, '0') }),
  };
}

export async function digestTable(source: RowSource, table: TableShape): Promise<TableDigest> {
  const digester = createDigester();
  for await (const { rows } of source.read(table, 0)) digester.add(rows);
  return digester.result();
}
