/** Keeps test/vectors.md, the table of protocol vectors and their tests, in step with the tests. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testNames } from '../helpers/test-names.ts';

const ROOT = join(import.meta.dirname, '../..');
const VECTORS = 60;
/** These need no test; the table says why. */
const WITHOUT_TEST = new Set([59, 60]);

interface Row {
  vector: number;
  file: string;
  name: string;
}

const rows: Row[] = readFileSync(join(ROOT, 'test/vectors.md'), 'utf8')
  .split('\n')
  .map((line) => /^\| (\d+) \| (?:C|S|S,C) \| (\S+) \| (.+) \|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, vector, file = '', name = '']) => ({ vector: Number(vector), file, name }));

test('every vector has a row, and only those that are out of scope have no test', () => {
  for (let vector = 1; vector <= VECTORS; vector++) {
    const own = rows.filter((row) => row.vector === vector);
    assert.ok(own.length > 0, `vector ${vector} has no row`);
    if (!WITHOUT_TEST.has(vector))
      assert.ok(
        own.every(({ file }) => file !== '-'),
        `vector ${vector} has no test`,
      );
  }
});

test('every test that the table names exists', () => {
  for (const { vector, file, name } of rows.filter((row) => row.file !== '-')) {
    assert.ok(existsSync(join(ROOT, file)), `vector ${vector}: there is no ${file}`);
    assert.ok(name.startsWith(`vector ${vector}: `), `vector ${vector}: '${name}' is named for another`);
    assert.ok(testNames(file).includes(name), `vector ${vector}: no test '${name}' in ${file}`);
  }
});
