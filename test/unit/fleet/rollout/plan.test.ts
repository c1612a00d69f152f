import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GatewayRecord } from '../../../../src/fleet/gateway/record.ts';
import {
  DEFAULT_WAVES,
  type PlanInput,
  planRollout,
  planUndo,
  type WaveSize,
} from '../../../../src/fleet/rollout/plan.ts';
import { gatewayRecord } from '../../../helpers/fleet-records.ts';

const AT = 1_800_000_000;
const input: PlanInput = {
  artifacts: [{ app: 'hello', version: '2.1' }],
  waves: DEFAULT_WAVES,
  id: 'r1',
  at: AT,
  fetchOf: () => ({ way: 'whole', bytes: 10 }),
};
const seen = (serial: string, more: Partial<GatewayRecord> = {}): GatewayRecord =>
  gatewayRecord({ serial, lastSeenAt: AT - 60, expectedBy: AT + 60, ...more });
const fleet = (count: number): GatewayRecord[] => Array.from({ length: count }, (_, at) => seen(`gw-${at}`));
const sizes = (count: number, waves: readonly WaveSize[] = DEFAULT_WAVES): number[] =>
  planRollout(fleet(count), { ...input, waves }).waves.map((wave) => wave.length);

test('waves are shares of all, the first of at least five', () => {
  assert.deepEqual(sizes(1000), [10, 90, 400, 500]);
  assert.deepEqual(sizes(300), [5, 25, 120, 150]);
  assert.deepEqual(sizes(3), [3, 0, 0, 0]);
  assert.deepEqual(sizes(0), [0, 0, 0, 0]);
  assert.deepEqual(sizes(20, [{ count: 3 }, { count: 5 }, { share: 1 }]), [3, 5, 12]);
  assert.deepEqual(sizes(20, [{ count: 3 }]), [20]);
});

test('each gateway is in one wave or is excluded, and at the next look in the same', () => {
  const wave = fc.oneof(
    fc.record({ count: fc.nat(20) }),
    fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.nat(60), fc.array(wave, { minLength: 1, maxLength: 5 }), (count, waves) => {
      const plan = planRollout(fleet(count), { ...input, waves });
      const all = [...plan.waves.flat(), ...[...plan.excluded.values()].flat()];
      assert.deepEqual(
        all.sort(),
        fleet(count)
          .map(({ serial }) => serial)
          .sort(),
      );
      assert.deepEqual(planRollout(fleet(count).reverse(), { ...input, waves }).waves, plan.waves);
    }),
  );
});

test('which gateways come first is another choice for another rollout', () => {
  const first = (id: string): string => planRollout(fleet(1000), { ...input, id }).waves[0]?.join() ?? '';
  assert.notEqual(first('r1'), first('r2'));
});

test('who is out is listed with the reason', () => {
  const apps = new Map([['hello', { version: '2.1', status: 'RUNNING', seenAt: AT }]]);
  const gateways = [
    seen('there', { apps }),
    seen('other', { target: 'linux-armv7l' }),
    seen('held', { hold: 'bench' }),
    seen('full', { freeBytes: 5 }),
    seen('silent', { expectedBy: AT - 1 }),
    seen('new', { lastSeenAt: 0, expectedBy: 0 }),
    seen('off', { state: 'expired' }),
    seen('twins', { isShared: true }),
    seen('in', { target: 'linux-x64', freeBytes: 50, budgetLeftBytes: 7 }),
  ];
  const plan = planRollout(gateways, { ...input, targets: ['linux-x64'], neededBytes: 20 });
  assert.deepEqual(
    Object.fromEntries([...plan.excluded].map(([reason, serials]) => [serials.join(), reason])),
    {
      there: 'there already',
      other: 'made for another target',
      held: 'held',
      full: 'disk too full',
      silent: 'silent',
      new: 'never seen',
      off: 'not activated',
      twins: 'two gateways use its key',
    },
  );
  assert.deepEqual(plan.waves.flat(), ['in']);
  assert.deepEqual([plan.lowestBudgetBytes, plan.ways.get('whole')], [7, { gateways: 1, bytes: 10 }]);
});

test('an undo takes each gateway back to the version that it had', () => {
  const members = ['a', 'b', 'c', 'd', 'e'].map((serial) => ({
    serial,
    state: serial === 'd' ? ('failed' as const) : ('succeeded' as const),
  }));
  const previous: Record<string, string> = { a: '2.0', b: '1.9', c: '2.0', d: '2.0' };
  assert.deepEqual(
    planUndo([{ app: 'hello', version: '2.1' }], members, (serial) => previous[serial]),
    {
      steps: [
        { artifacts: [{ app: 'hello', version: '2.0' }], serials: ['a', 'c'] },
        { artifacts: [{ app: 'hello', version: '1.9' }], serials: ['b'] },
      ],
      unknown: ['e'],
    },
  );
});
