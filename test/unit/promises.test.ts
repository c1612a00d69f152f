/** Keeps the tables of what is promised, and of the tests that prove it, in step with the tests. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testNames } from '../helpers/test-names.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Row {
  kind: string;
  promise: string;
  file: string;
  name: string;
}

function rowsOf(table: string): Row[] {
  return read(table)
    .split('\n')
    .map((line) => /^\| ([^|]+) \| ([^|]+) \| (test\/\S+) \| (.+) \|$/.exec(line))
    .filter((match) => match !== null)
    .map(([, kind = '', promise = '', file = '', name = '']) => ({ kind, promise, file, name }));
}

for (const table of ['test/promises.md', 'test/original.md']) {
  test(`every row of ${table} names a test that exists`, () => {
    const rows = rowsOf(table);
    const lines = read(table).match(/^\|.*\|$/gm) ?? [];
    assert.equal(rows.length, lines.length - 2, 'every line but the two of the head is a row');
    assert.ok(rows.length > 30, `${rows.length} rows`);
    for (const { promise, file, name } of rows) {
      assert.ok(existsSync(join(ROOT, file)), `'${promise}': there is no ${file}`);
      assert.ok(testNames(file).includes(name), `'${promise}': no test '${name}' in ${file}`);
    }
  });

  test(`no row of ${table} is there twice`, () => {
    const promises = rowsOf(table).map(({ kind, promise }) => `${kind} ${promise}`);
    assert.equal(new Set(promises).size, promises.length);
  });
}

test("every section about the original's behaviour has rows", () => {
  const sections = [...read('src/protocol/one-platform.md').matchAll(/^### (4\.\d+) /gm)].map(([, at]) => at);
  assert.ok(sections.length > 9);
  assert.deepEqual([...new Set(rowsOf('test/original.md').map(({ kind }) => kind))], sections);
});
