import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  findLack,
  findStop,
  type Limits,
  type Tally,
  wilsonLowerBound,
} from '../../../../src/fleet/rollout/stop-rule.ts';

const LIMITS: Limits = { limit: 0.05, need: 0.95, stopsAtFailedRollback: false };
const tally = (succeeded: number, failed: number, silent: number, reachable = 1000): Tally => ({
  succeeded,
  failed,
  silent,
  reachable,
});

test('the lower bound is the root of the equation that defines it', () => {
  const counts = fc
    .tuple(fc.nat(500), fc.integer({ min: 1, max: 500 }))
    .map(([a, b]): [number, number] => [Math.min(a, b), b]);
  fc.assert(
    fc.property(counts, ([bad, ended]) => {
      const bound = wilsonLowerBound(bad, ended);
      const share = bad / ended;
      // (share - p)^2 = z^2 p (1 - p) / n, with p below the share.
      const error = (share - bound) ** 2 - (2.33 ** 2 * bound * (1 - bound)) / ended;
      assert.ok(Math.abs(error) < 1e-9 && bound <= share + 1e-12 && bound >= 0);
    }),
  );
});

const STOPS: readonly [Tally, string | undefined][] = [
  [tally(0, 2, 0), undefined],
  [tally(0, 3, 0), 'none-good'],
  [tally(0, 0, 3), 'none-good'],
  [tally(0, 2, 1), 'none-good'],
  [tally(1, 3, 0), 'above-limit'],
  [tally(97, 3, 0), undefined],
  [tally(85, 15, 0), 'above-limit'],
  [tally(85, 0, 15), 'above-limit'],
  [tally(940, 60, 0), undefined],
  [tally(920, 80, 0), 'above-limit'],
  [tally(0, 0, 0), undefined],
];

for (const [found, rule] of STOPS) {
  test(`${found.succeeded} good, ${found.failed} failed, ${found.silent} silent: ${rule ?? 'goes on'}`, () => {
    const stop = findStop(found, LIMITS, 'wave 1');
    assert.equal(stop?.rule, rule);
    if (stop !== undefined)
      assert.match(stop.text, new RegExp(`^${found.failed} failed and ${found.silent} silent of .*wave 1`));
  });
}

const LACKS: readonly [Tally, RegExp | undefined][] = [
  [tally(5, 0, 0, 5), undefined],
  [tally(4, 0, 0, 5), /4 gateways have ended, 5 are needed/],
  [tally(19, 0, 0, 100), /19 gateways have ended, 20 are needed/],
  [tally(95, 0, 0, 100), undefined],
  [tally(94, 0, 0, 100), /94 % have succeeded \(94 of 100\), 95 % are needed/],
  [tally(94, 6, 0, 100), /6 % are bad \(6 of 100\), the limit is 5 %/],
  [tally(0, 0, 0, 0), undefined],
];

for (const [found, words] of LACKS) {
  test(`a wave with ${JSON.stringify(found)} ${words === undefined ? 'is good enough' : 'is held'}`, () => {
    const lack = findLack(found, LIMITS);
    if (words === undefined) assert.equal(lack, undefined);
    else assert.match(lack ?? '', words);
  });
}
