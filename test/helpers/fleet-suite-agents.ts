/** What gateways are shown by the agent that they run. Part of the suite of test/helpers/fleet-suite.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AUDIT, type OpenFleet } from './fleet-suite-records.ts';
import { rigOf, state } from './fleet-suite-rig.ts';
import { START_S, startedRollout } from './rollout-parts.ts';

export function agentTests(open: OpenFleet): void {
  test('an agent that knows them is sent time and window; an older one is held back, with the reason', async (t) => {
    const rig = await rigOf(open, t, 2);
    await rig.writes(0, { device_info: { gwe: '2.1.0', interval: 300 } });
    await rig.writes(1, { device_info: { gwe: '2.0.1', interval: 300 } });
    const notBefore = START_S + 86_400;
    const rollout = { ...startedRollout([2], { notBefore }), id: 'r1' };
    await rig.storage.createRollout({ product: 'p', name: 'x', rollout }, [['gw-0', 'gw-1']], AUDIT);
    assert.match(await rig.reads(0), new RegExp(`"not_before":${notBefore}`));
    assert.equal(await rig.reads(1), '');
    const [, held] = (await rig.storage.listMembers('r1', { limit: 2 })).items;
    assert.deepEqual([held?.state, held?.code], ['waiting', 'AGENT_OLD']);
    await rig.passes(86_400);
    assert.equal(await rig.reads(1), '{"id":"r1.1","install":[{"name":"hello.v2.1.tar.gz"}]}');
  });

  test('a gateway whose agent cannot do it is given up in the end, although it comes to read', async (t) => {
    const rig = await rigOf(open, t, 1);
    await rig.writes(0, { device_info: { gwe: '2.0.1', interval: 300 } });
    const artifacts = [
      { app: 'hello', version: '2.1' },
      { app: 'world', version: '1' },
    ];
    const rollout = { ...startedRollout([1], { together: true }), id: 'r1', artifacts };
    await rig.storage.createRollout({ product: 'p', name: 'x', rollout }, [['gw-0']], AUDIT);
    for (const [seconds, expected] of [
      [60, 'waiting'],
      [7200, 'unreachable'],
    ] as const) {
      await rig.passes(seconds);
      assert.equal(await rig.reads(0), '');
      await rig.storage.tickRollouts();
      assert.deepEqual(await state(rig), [expected]);
    }
  });
}
