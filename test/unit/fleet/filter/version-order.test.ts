import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareVersionOrder } from '../../../../src/fleet/filter/version-order.ts';

test('versions come in this order', () => {
  const order = [
    '0.9',
    '1.0-alpha',
    '1.0-beta2',
    '1.0-beta10',
    '1.0-rc1',
    '1.0',
    '1.0-1',
    '1.2',
    '1.10',
    '2.0',
  ];
  for (const [at, one] of order.entries())
    for (const [place, other] of order.entries())
      assert.equal(Math.sign(compareVersionOrder(one, other)), Math.sign(at - place), `${one} and ${other}`);
});

test('these are the same place', () => {
  for (const [one = '', other = ''] of [
    ['2.1', '2.1.0'],
    ['1.01', '1.1'],
    ['1_0', '1.0'],
    ['1.0RC1', '1.0-rc1'],
    ['99999999999999999999999', '99999999999999999999999'],
  ])
    assert.equal(compareVersionOrder(one, other), 0, `${one} and ${other}`);
});

test('numbers too long for a double still compare', () => {
  assert.ok(compareVersionOrder('90071992547409930', '90071992547409931') < 0);
  assert.ok(compareVersionOrder('100000000000000000000', '99999999999999999999') > 0);
});

test('any texts are ordered: both ways round, and over three', () => {
  const version = fc.stringMatching(/^[0-2a-c.+_-]{1,8}$/);
  const order = (one: string, other: string): number => Math.sign(compareVersionOrder(one, other));
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(order(a, b) + order(b, a), 0);
      if (order(a, b) <= 0 && order(b, c) <= 0) assert.ok(order(a, c) <= 0, `${a} ${b} ${c}`);
    }),
    { numRuns: 3000 },
  );
});
