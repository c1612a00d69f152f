import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeForm, encodeForm } from '../../../src/protocol/codec.ts';
import { createFormSieve, type FormSieve } from '../../../src/protocol/form-sieve.ts';

const LIMIT = 1024;

function sieveOf(
  names: readonly string[],
  body: Buffer | string,
  pieceBytes = Number.MAX_SAFE_INTEGER,
): FormSieve {
  const sieve = createFormSieve(names, LIMIT);
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    assert.ok(sieve.add(bytes.subarray(at, Math.min(at + pieceBytes, bytes.length))));
  }
  return sieve;
}

test('however a body is cut into pieces, the wanted values are those of the whole form', () => {
  const name = fc.constantFrom('a', 'engine_fetch', 'überall', 'engine', 'engine_fetch_more', '', '%zz');
  const value = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom('a=b', '{"x": 1}', '%zz+%41'),
  );
  const pair = fc.tuple(name, value);
  const encoded = fc.array(pair, { maxLength: 8 }).map((pairs) => encodeForm(pairs));
  const plain = fc
    .array(pair, { maxLength: 8 })
    .map((pairs) => pairs.map(([one, other]) => (other === '' ? one : `${one}=${other}`)).join('&'));
  const wanted = ['a', 'engine_fetch', 'überall', '%zz'];
  fc.assert(
    fc.property(
      fc.oneof(encoded, plain),
      fc.constantFrom('', '\n', '\r\n'),
      fc.integer({ min: 1, max: 9 }),
      (text, end, size) => {
        const expected = new Map(
          decodeForm(text.replace(/\r?\n$/, '')).filter(([one]) => wanted.includes(one)),
        );
        // The same end twice is a value's own: only one is the body's.
        fc.pre(!/[\r\n]$/.test(text));
        assert.deepEqual(new Map(sieveOf(wanted, text + end, size).values()), expected);
      },
    ),
  );
});

test('an empty body and the end of a line are no values; another page is distinguished from them', () => {
  for (const body of ['', '\n', '\r\n']) {
    const sieve = sieveOf(['a'], body);
    assert.deepEqual([sieve.values().size, sieve.isEmpty()], [0, true]);
  }
  const page = sieveOf(['a'], '<html>login</html>');
  assert.deepEqual([page.values().size, page.isEmpty()], [0, false]);
});

test('the last of repeated names counts, and the ones before do not count against the limit', () => {
  const body = `${`engine_fetch=${'x'.repeat(LIMIT - 10)}&`.repeat(50)}engine_fetch=last`;
  assert.deepEqual([...sieveOf(['engine_fetch'], body, 100).values()], [['engine_fetch', 'last']]);
});

test('values that are larger than the limit together are refused while they come', () => {
  const sieve = createFormSieve(['a', 'b'], LIMIT);
  assert.ok(sieve.add(Buffer.from(`a=${'x'.repeat(LIMIT - 10)}&b=${'y'.repeat(10)}`)));
  assert.equal(sieve.add(Buffer.from('y')), false);
});

test('what was not asked for is of any size and costs no memory', () => {
  const sieve = createFormSieve(['engine_fetch', 'update_interval'], LIMIT);
  const before = process.memoryUsage();
  for (const part of [
    'a&',
    'a%&',
    'engine_fetch&',
    'engine_fetcH=1&',
    `${'n'.repeat(5000)}&`,
    'v='.repeat(1000),
  ]) {
    const piece = Buffer.from(part.repeat(Math.ceil(65_536 / part.length)));
    for (let count = 0; count < 16; count++) assert.ok(sieve.add(piece));
  }
  const after = process.memoryUsage();
  assert.ok(sieve.add(Buffer.from('&engine_fetch=yes')));
  assert.equal(sieve.values().get('engine_fetch'), 'yes');
  const grownMib = (after.rss - before.rss) / 1024 / 1024;
  assert.ok(grownMib < 32, `${grownMib} MiB for 6 MiB of forms`);
});
