import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitLists, TextItems } from '../../../src/artifact/json-lists.ts';
import { parseCanonical, renderCanonical } from '../../../src/artifact/manifest/canonical-json.ts';
import { numbers } from '../../bench/payload.ts';

const MOST = { list: 1000, other: 1000 };
const ITEMS = [1, 'a"]},{[\\', { deep: [[], {}, ['"']] }, [], '', 'Müller €', [1, [2, '\u0007']], null, {}];

/** By what `splitLists` finds; throws where any of it is no canonical JSON. */
function readSplit(bytes: Buffer): Record<string, unknown> {
  const { rest, lists } = splitLists(bytes, MOST);
  const object = parseCanonical(rest.toString(), 'it') as Record<string, unknown>;
  for (const [key, starts] of lists)
    object[key] = [...new TextItems(bytes, starts, (text) => parseCanonical(text, 'it'))];
  return object;
}

test('an object whose lists are left in its text is the object', () => {
  for (let most = 0; most <= ITEMS.length; most++) {
    const object = { a: ITEMS, list: ITEMS.slice(0, most), m: { list: [1, 2] }, other: [], z: 'list":[' };
    assert.deepEqual(readSplit(Buffer.from(renderCanonical(object))), object);
  }
});

test('items are found by their place, from both ends, and none outside', () => {
  const bytes = Buffer.from(renderCanonical({ list: ITEMS }));
  const starts = splitLists(bytes, MOST).lists.get('list') ?? assert.fail();
  const items = new TextItems(bytes, starts, (text, index) => [JSON.parse(text), index]);
  assert.equal(items.length, ITEMS.length);
  for (const at of [0, 4, 8, 9, 100, -1, -9, -10])
    assert.deepEqual(items.at(at)?.[0], ITEMS.at(at), `item ${at}`);
  assert.equal(items.at(-1)?.[1], 8);
});

test('a list that is too long is refused before it is kept', () => {
  const bytes = Buffer.from(renderCanonical({ list: [1, 2, 3] }));
  assert.equal(splitLists(bytes, { list: 3 }).lists.size, 1);
  assert.throws(() => splitLists(bytes, { list: 2 }), {
    code: 'ARTIFACT_FORMAT',
    message: /'list'.*at most 2/,
  });
});

test('bytes changed at random are taken exactly where the whole is canonical JSON, and mean the same', () => {
  const seed = process.env.GWE_SEED ?? String(Date.now() % 1_000_000);
  const next = numbers(seed);
  const text = renderCanonical({
    a: 1,
    list: ITEMS,
    other: [
      [1, 2, 'x'],
      [3, 4, 'y'],
    ],
    z: {},
  });
  const pieces = ['"', '[', ']', '{', '}', ',', ':', '\\', '1', 'a', '"list":[', ' ', '[]', '"other":[1],'];
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const at = next() % (text.length + 1);
    const piece = pieces[next() % pieces.length] ?? '';
    const bytes = Buffer.from(text.slice(0, at) + piece + text.slice(at + (next() % 3)));
    let whole: unknown;
    try {
      whole = parseCanonical(bytes.toString(), 'it');
    } catch {
      assert.throws(() => readSplit(bytes), { code: 'ARTIFACT_FORMAT' }, `seed ${seed}: ${bytes}`);
      continue;
    }
    assert.deepEqual(readSplit(bytes), whole, `seed ${seed}: ${bytes}`);
    taken++;
  }
  assert.ok(taken > 100, `${taken} of them canonical`);
});
