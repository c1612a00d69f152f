/** What a table leaves out where there is no room, and what never: the key of a row, and anything in a pipe. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Column, printTable } from '../../../../src/cli/output/table.ts';
import { cell } from '../../../../src/cli/shell/screen.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

const COLUMNS: readonly Column[] = [
  { title: 'APP', rank: 0 },
  { title: 'VERSION', rank: 1 },
  { title: 'INSTALLED', rank: 3 },
  { title: 'REASON', rank: 2, isText: true },
];
const ROW = ['hello', '1.2.3', '2026-11-30 12:00', 'a batch is running until noon'];

function print(columns: number, rows: readonly (readonly string[])[], isTerminal = true): string[] {
  const test = createTestIo('/', '', { isTerminal, columns, env: { NO_COLOR: '1' } });
  printTable(
    test.io,
    COLUMNS,
    rows.map((row) => row.map((text) => cell(text))),
  );
  return test.stdout().trimEnd().split('\n');
}

test('columns go in the order of their rank, and free text is cut to a few words before any goes', () => {
  assert.deepEqual(print(80, [ROW]), [
    'APP    VERSION  INSTALLED         REASON',
    'hello  1.2.3    2026-11-30 12:00  a batch is running until noon',
  ]);
  assert.deepEqual(print(60, [ROW])[1], 'hello  1.2.3    2026-11-30 12:00  a batch is running until \u2026');
  assert.deepEqual(print(40, [ROW])[1], 'hello  1.2.3    a batch is running unti\u2026');
  assert.deepEqual(print(31, [ROW])[1], 'hello  1.2.3');
});

test('in a pipe every column is there, whole', () => {
  assert.deepEqual(print(20, [ROW], false), print(200, [ROW]));
});

test('whatever the widths, no line is wider than the screen unless its key alone is, and no key is cut', () => {
  const word = fc.string({ minLength: 1, maxLength: 70, unit: fc.constantFrom('a', 'b', '-', '7') });
  const rows = fc.array(fc.tuple(word, word, word, word), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.integer({ min: 20, max: 200 }), rows, (columns, texts) => {
      const lines = print(columns, texts);
      const longest = Math.max('APP'.length, ...texts.map(([key]) => key.length));
      for (const line of lines) assert.ok(line.length <= Math.max(columns, longest), line);
      for (const [at, [key]] of texts.entries()) assert.ok(lines[at + 1]?.startsWith(key));
    }),
  );
});
