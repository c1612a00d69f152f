/** A table of a document that is made from the code: compared with it, or with GWE_WRITE_TABLES=1 written. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

export interface DocumentTable {
  /** From the root of the repository. */
  document: string;
  /** The word that the comment above the table begins with. */
  mark: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** The cells of each row that stands in `document` below the comment, without the head. */
export function readTable({ document, mark }: Pick<DocumentTable, 'document' | 'mark'>): string[][] {
  const found = patternOf(mark).exec(readFileSync(join(ROOT, document), 'utf8'))?.[2] ?? '';
  const lines = found.split('\n').filter((line) => line !== '');
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

export function assertTable(table: DocumentTable): void {
  const path = join(ROOT, table.document);
  const text = [
    rowOf(table.head),
    rowOf(table.head.map(() => '---')),
    ...table.rows.map((cells) => rowOf(cells)),
    '',
  ].join('\n');
  const pattern = patternOf(table.mark);
  if (process.env.GWE_WRITE_TABLES !== undefined)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(pattern, (_, comment: string) => `${comment}${text}`),
    );
  const found = pattern.exec(readFileSync(path, 'utf8'))?.[2] ?? '';
  assert.deepEqual(
    found.split('\n'),
    text.split('\n'),
    `${table.document}: run this test with GWE_WRITE_TABLES=1`,
  );
}

function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function patternOf(mark: string): RegExp {
  return new RegExp(`(<!-- ${mark}: [^>]* -->\\n)((?:\\|.*\\n)*)`);
}
