import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIdSource } from '../../../../src/agent/run/ids.ts';
import type { Transaction } from '../../../../src/update/journal.ts';

const NOW = Date.UTC(2026, 10, 1);

function source(wall: { ms: number }, known: { transaction?: string; report?: string } = {}): () => string {
  const journal = {
    read: () =>
      known.transaction === undefined ? undefined : ({ id: known.transaction } as unknown as Transaction),
  };
  return createIdSource({ wallMs: () => wall.ms }, journal, { newestKey: () => known.report });
}

test('ids sort in the order of their creation, also within a millisecond and when the clock goes back', () => {
  const wall = { ms: NOW };
  const next = source(wall);
  const ids = [NOW, NOW, NOW - 1000, 0, NOW + 5, NOW].map((ms) => {
    wall.ms = ms;
    return next();
  });
  assert.deepEqual(ids.toSorted(), ids);
  assert.equal(new Set(ids).size, ids.length);
});

test('after a restart in 1970 ids still sort behind the last transaction and the waiting reports', () => {
  const before = source({ ms: NOW })();
  const wall = { ms: 0 };
  assert.ok(source(wall, { transaction: `${before}-00` })() > `${before}-00`);
  assert.ok(source(wall, { report: before })() > before);
});

test('an id of another form is ignored, and so is an unreadable journal', () => {
  const wall = { ms: NOW };
  const plain = source(wall)();
  const odd = source(wall, { transaction: 'GARBAGE!', report: 'zzzzzzzzzz' })();
  assert.equal(odd.slice(0, 9), plain.slice(0, 9));
  const journal = {
    read(): never {
      throw new Error('damaged');
    },
  };
  const next = createIdSource({ wallMs: () => NOW }, journal, { newestKey: () => undefined });
  assert.equal(next().slice(0, 9), plain.slice(0, 9));
});
