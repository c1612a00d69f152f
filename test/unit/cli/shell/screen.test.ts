/** Widths that a terminal cannot have, and folding that ends whatever it is given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { believeColumns, foldText, printLabelled } from '../../../../src/cli/shell/screen.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

const anyWidth = fc.oneof(
  fc.integer({ min: -3, max: 130 }),
  fc.constantFrom(Number.NaN, 0.5, Number.POSITIVE_INFINITY),
);
const anyText = fc.array(fc.string({ maxLength: 60 }), { maxLength: 12 }).map((words) => words.join(' '));

test('folding ends for every width, indent and text, fits the width and keeps every character', () => {
  fc.assert(
    fc.property(anyText, anyWidth, fc.integer({ min: 0, max: 60 }), (text, width, indent) => {
      const lines = foldText(text, width, indent);
      const most = width >= 1 ? width : 1;
      for (const line of lines) assert.ok(line.length <= most, JSON.stringify({ line, width }));
      const solid = (what: string): string => what.replaceAll(' ', '');
      assert.equal(solid(lines.join('')), solid(text));
    }),
    { numRuns: 2000 },
  );
});

test('no width below 20 columns is believed, and none that is no number', () => {
  for (const columns of [undefined, Number.NaN, -1, 0, 1, 19]) assert.equal(believeColumns(columns), 80);
  for (const columns of [20, 79, 300]) assert.equal(believeColumns(columns), columns);
});

test('labels are printed at every width', () => {
  for (let columns = 0; columns <= 45; columns++) {
    const test = createTestIo('/', '', { isTerminal: true, columns });
    printLabelled(test.io, 'a label', 'word '.repeat(20) + 'x'.repeat(90), 30);
    assert.match(test.stdout().replace(/\s/g, ''), /alabel(word){20}x{90}$/);
  }
});
