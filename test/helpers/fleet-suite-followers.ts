/** Gateways that come to a rollout after its start; run for each kind of storage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abort, finish, pause } from '../../src/fleet/rollout/operate.ts';
import { AUDIT, type OpenFleet } from './fleet-suite-records.ts';
import { APPS, begin, type Rig, rigOf, state } from './fleet-suite-rig.ts';
import { countsOf, START_S } from './rollout-parts.ts';

const RUNNING = { engine_report: { apps: [{ hello: { version: '2.1', status: 'RUNNING' } }] } };

/** The gateway takes the command, and ends as the outcome says. */
async function carriesOut(rig: Rig, at: number, outcome: 'installed' | 'rolled-back'): Promise<void> {
  assert.match(await rig.reads(at), /"name":"hello\.v2\.1\.tar\.gz"/);
  await rig.writes(at, { engine_fetch: '' });
  const code = outcome === 'installed' ? {} : { code: 'INSTALL_FAILED' };
  const end = { name: 'hello', version: '2.1', outcome, ...code, tx: `t-${at}`, command: 'r1.1' };
  await rig.writes(at, { fetch_status: end, ...(outcome === 'installed' ? RUNNING : {}) });
}

async function tickTwice({ storage, passes }: Rig): Promise<void> {
  await storage.tickRollouts();
  await passes(61);
  await storage.tickRollouts();
}

const rolloutOf = async ({ storage }: Rig) => (await storage.findRollout('p', 'r1'))?.rollout;

/** Its counters are those of its members. */
async function assertCounted(rig: Rig): Promise<void> {
  const members = (await rig.storage.listMembers('r1', { limit: 100 })).items;
  for (const [at, { counts }] of ((await rolloutOf(rig))?.waves ?? []).entries())
    assert.deepEqual(counts, countsOf(members, at));
}

/** What a gateway that was away must not find when it comes back. */
export function leftCommandTests(open: OpenFleet): void {
  for (const [what, act] of [
    ['aborted', abort],
    ['paused', pause],
  ] as const)
    test(`a gateway that was shown the command and went away finds nothing after the rollout was ${what}`, async (t) => {
      const rig = await rigOf(open, t, 2);
      await begin(rig, [['gw-0', 'gw-1']]);
      assert.match(await rig.reads(0), /hello/);
      await rig.passes(10 * 86_400);
      if (what === 'paused') await rig.storage.tickRollouts();
      const by = { by: 'ann', at: START_S };
      await rig.storage.changeRollout({ product: 'p', id: 'r1' }, (now) => act(now, by), AUDIT);
      await rig.passes(120);
      await rig.storage.tickRollouts();
      const before = what === 'aborted' ? 'withdrawn' : 'unreachable';
      assert.deepEqual(await state(rig), [before, before]);
      assert.equal(await rig.reads(0), '');
    });

  test('a gateway that went away before it took the command is tried again with a new one', async (t) => {
    const rig = await rigOf(open, t, 1);
    await begin(rig, [['gw-0']]);
    const first = await rig.reads(0);
    await rig.writes(0, { engine_fetch: '' });
    const end = { name: 'hello', version: '2.1', outcome: 'rolled-back', code: 'INSTALL_FAILED', tx: 't-0' };
    await rig.writes(0, { fetch_status: { ...end, command: 'r1.1' } });
    const device = await rig.storage.findDevice('p', 'gw-0');
    // As a restored backup brings it back.
    await rig.storage.write(device?.id ?? 0, [['engine_fetch', first]], 'operator');
    await rig.storage.retryRollout('p', 'r1', AUDIT);
    assert.match(await rig.reads(0), /"id":"r1\.2"/);
  });
}

export function followerTests(open: OpenFleet): void {
  test('a gateway that comes to match what a rollout follows joins its last wave, once', async (t) => {
    const rig = await rigOf(open, t, 4);
    await rig.writes(0, { engine_report: APPS });
    await begin(rig, [['gw-0'], []], { follow: 'tag.site=berlin and app.hello' });
    await rig.writes(1, { engine_report: APPS });
    assert.deepEqual(await state(rig), ['waiting'], 'it has no such tag');
    await rig.storage.tagGateway('p', 'gw-1', { site: 'berlin' }, AUDIT);
    await rig.storage.tagGateway('p', 'gw-2', { site: 'berlin' }, AUDIT);
    await rig.storage.tagGateway('p', 'gw-3', { site: 'berlin' }, AUDIT);
    assert.deepEqual(await state(rig), ['waiting', 'waiting'], 'the others have no such app');
    await rig.storage.holdGateway('p', 'gw-2', 'looked at by hand', AUDIT);
    await rig.writes(2, { engine_report: APPS });
    await rig.writes(3, RUNNING);
    assert.deepEqual(await state(rig), ['waiting', 'waiting'], 'one is held, and one has the version');
    await rig.storage.holdGateway('p', 'gw-2', undefined, AUDIT);
    await rig.writes(1, { device_info: { gwe: '2.1.0', interval: 60 } });
    assert.deepEqual(await state(rig), ['waiting', 'waiting', 'waiting']);
    assert.equal(await rig.reads(1), '', 'the last wave has not begun');
    await assertCounted(rig);
    const waves = (await rolloutOf(rig))?.waves.map(({ counts }) => counts.waiting);
    assert.deepEqual(waves, [1, 2]);
  });

  test('a rollout that follows stays open, judges newcomers by themselves, and ends when it is finished', async (t) => {
    const rig = await rigOf(open, t, 8);
    await begin(rig, [['gw-0']], { follow: '' });
    await carriesOut(rig, 0, 'installed');
    await tickTwice(rig);
    assert.equal((await rolloutOf(rig))?.state, 'running');
    assert.equal((await rolloutOf(rig))?.waves.length, 2);
    await tickTwice(rig);
    assert.equal((await rolloutOf(rig))?.waves.length, 2, 'a wave without gateways is not over');
    await rig.writes(1, { engine_report: APPS });
    await carriesOut(rig, 1, 'installed');
    await tickTwice(rig);
    assert.equal((await rolloutOf(rig))?.waves.length, 3);
    for (const at of [2, 3, 4]) await rig.writes(at, { engine_report: APPS });
    for (const at of [2, 3, 4]) await carriesOut(rig, at, 'rolled-back');
    const stopped = await rolloutOf(rig);
    assert.equal(stopped?.state, 'paused');
    assert.match(stopped?.reason ?? '', /3 failed and 0 silent of 3 that ended \(wave 3\)/);
    await rig.writes(5, { engine_report: APPS });
    assert.equal(await rig.reads(5), '', 'nobody is shown the command of a rollout that has stopped');
    await assertCounted(rig);
    const ended = await rig.storage.changeRollout({ product: 'p', id: 'r1' }, (now) => finish(now), AUDIT);
    assert.ok(typeof ended !== 'string' && 'rollout' in ended);
    await rig.writes(6, { engine_report: APPS });
    assert.equal((await state(rig)).length, 6, 'gw-6 came after the end');
  });

  test('a rollout that is finished while it waits for gateways is done', async (t) => {
    const rig = await rigOf(open, t, 2);
    await begin(rig, [[]], { follow: '' });
    await tickTwice(rig);
    assert.equal((await rolloutOf(rig))?.state, 'running');
    await rig.storage.changeRollout({ product: 'p', id: 'r1' }, (now) => finish(now), AUDIT);
    await tickTwice(rig);
    await tickTwice(rig);
    assert.equal((await rolloutOf(rig))?.state, 'done');
    await rig.writes(1, { engine_report: APPS });
    assert.deepEqual(await state(rig), []);
  });
}
