/**
 * What the fleet keeps, by the requests that gateways make: learnt with the report, shown when it is read. Run for each
 * kind of storage by test/conformance/platform.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseFilter } from '../../src/fleet/filter/filter.ts';
import { verifyAudit } from '../../src/fleet/people/audit.ts';
import { pause, resume } from '../../src/fleet/rollout/operate.ts';
import { agentTests } from './fleet-suite-agents.ts';
import { followerTests, leftCommandTests } from './fleet-suite-followers.ts';
import { AUDIT, type OpenFleet, recordTests } from './fleet-suite-records.ts';
import { APPS, begin, type Rig, rigOf, state } from './fleet-suite-rig.ts';
import { countsOf, START_S, startedRollout } from './rollout-parts.ts';
import { eventually } from './storage-suite-context.ts';

export function fleetSuite(kind: string, open: OpenFleet): void {
  describe(`the fleet in ${kind}`, () => {
    recordTests(open);
    agentTests(open);
    followerTests(open);
    leftCommandTests(open);
    test('the fleet is counted: versions of apps, who is late, members of rollouts', async (t) => {
      const rig = await rigOf(open, t, 3);
      await rig.writes(0, { engine_report: APPS });
      await rig.writes(1, { engine_report: APPS });
      await begin(rig, [['gw-0', 'gw-1', 'gw-2']]);
      const { fleet } = await rig.storage.figures();
      assert.deepEqual(fleet?.apps, [{ app: 'hello', version: '2.0', count: 2 }]);
      assert.deepEqual(
        fleet?.members.filter(({ count }) => count > 0),
        [{ rollout: 'r1', state: 'waiting', count: 3 }],
      );
      assert.deepEqual([fleet?.lateDevices, fleet?.stopped], [0, 0]);
      await eventually('what was seen is written', async () => {
        await rig.passes(10 * 14_400);
        return (await rig.storage.figures()).fleet?.lateDevices === 2;
      });
    });

    test('a report is learnt with the request that brings it, and chosen by', async (t) => {
      const { storage, writes } = await rigOf(open, t, 3);
      await writes(1, {
        engine_report: APPS,
        device_info: { gwe: '2.1.0', interval: 60 },
        usage_report: 'nonsense',
      });
      await storage.tagGateway('p', 'gw-1', { site: 'berlin' }, AUDIT);
      const chosen = parseFilter('app.hello<2.1 and tag.site=berlin');
      const page = await storage.listGateways('p', { limit: 10, chosen });
      assert.deepEqual(
        page.items.map(({ serial, intervalS }) => [serial, intervalS]),
        [['gw-1', 60]],
      );
      assert.equal((await storage.findGateway('p', 'gw-0'))?.apps.size, 0);
      const events = await storage.listEvents('p', { after: 0, limit: 10 });
      assert.deepEqual(
        events.map(({ serial, kind }) => [serial, kind]),
        [['gw-1', 'unreadable']],
      );
      await storage.tagGateway('p', 'gw-1', { site: null }, AUDIT);
      assert.equal((await storage.findGateway('p', 'gw-1'))?.tags.size, 0);
    });

    test('pages of chosen gateways go on to the end', async (t) => {
      const { storage } = await rigOf(open, t, 7);
      const found: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = await storage.listGateways('p', {
          after,
          limit: 2,
          chosen: ({ serial }) => serial !== 'gw-3',
        });
        found.push(...page.items.map(({ serial }) => serial));
        if (page.next === undefined) break;
        after = page.next;
      }
      assert.deepEqual(found, ['gw-0', 'gw-1', 'gw-2', 'gw-4', 'gw-5', 'gw-6']);
    });

    test('a rollout goes its way by the requests of its gateways alone', async (t) => {
      const rig = await rigOf(open, t, 3);
      await begin(rig, [['gw-0', 'gw-1'], ['gw-2']]);
      assert.equal(await rig.reads(2), '');
      const command = await rig.reads(0);
      assert.equal(command, '{"id":"r1.1","install":[{"name":"hello.v2.1.tar.gz"}]}');
      assert.equal(await rig.reads(0), command);
      assert.deepEqual(await state(rig), ['offered', 'waiting', 'waiting']);
      await rig.writes(0, { engine_fetch: '' });
      assert.equal(await rig.reads(0), '');
      assert.deepEqual(await state(rig), ['taken', 'waiting', 'waiting']);
      const done = { name: 'hello', version: '2.1', outcome: 'installed', tx: 't-00', command: 'r1.1' };
      await rig.writes(0, {
        fetch_status: done,
        engine_report: { apps: [{ hello: { version: '2.1', status: 'RUNNING' } }] },
      });
      assert.deepEqual(await state(rig), ['succeeded', 'waiting', 'waiting']);
      await rig.reads(1);
      await rig.writes(1, { engine_fetch: '' });
      await rig.writes(1, { fetch_status: { ...done, tx: 't-01' } });
      await rig.writes(1, { engine_report: { apps: [{ hello: { version: '2.1', status: 'RUNNING' } }] } });
      await rig.storage.tickRollouts();
      await rig.passes(61);
      await rig.storage.tickRollouts();
      assert.match(await rig.reads(2), /r1\.1/);
      const { rollout } = (await rig.storage.findRollout('p', 'r1')) ?? {};
      assert.deepEqual([rollout?.state, rollout?.wave], ['running', 1]);
    });

    test('the same end reported twice is one event and moves nothing', async (t) => {
      const rig = await rigOf(open, t, 1);
      await begin(rig, [['gw-0']]);
      await rig.reads(0);
      await rig.writes(0, { engine_fetch: '' });
      const failed = {
        name: 'hello',
        version: '2.1',
        outcome: 'failed-no-change',
        code: 'PROTOCOL_OFFLINE',
        tx: 't-00',
        command: 'r1.1',
      };
      await rig.writes(0, { fetch_status: failed });
      await rig.writes(0, { fetch_status: failed });
      const [member] = (await rig.storage.listMembers('r1', { limit: 1 })).items;
      assert.deepEqual([member?.state, member?.attempt], ['waiting', 2]);
      const updates = (await rig.storage.listEvents('p', { after: 0, limit: 10 })).filter(
        ({ kind }) => kind === 'update',
      );
      assert.deepEqual(
        updates.map(({ outcome, code, command }) => [outcome, code, command]),
        [['failed-no-change', 'PROTOCOL_OFFLINE', 'r1.1']],
      );
    });

    test('a pause is seen at the next reading, and takes back what was not taken', async (t) => {
      const rig = await rigOf(open, t, 1);
      await begin(rig, [['gw-0']]);
      assert.notEqual(await rig.reads(0), '');
      const paused = await rig.storage.changeRollout(
        { product: 'p', id: 'r1' },
        (rollout) => pause(rollout, { by: 'ann', at: START_S }),
        AUDIT,
      );
      assert.equal(typeof paused === 'object' && 'rollout' in paused && paused.rollout.state, 'paused');
      assert.equal(await rig.reads(0), '');
      assert.deepEqual(await state(rig), ['waiting']);
    });

    test("a command that somebody wrote is never overwritten, and takes an offered one's place", async (t) => {
      const rig = await rigOf(open, t, 2);
      await begin(rig, [['gw-0', 'gw-1']]);
      const mine = '{"install":[{"name":"other.v1.tar.gz"}]}';
      const device = await rig.storage.findDevice('p', 'gw-0');
      await rig.storage.write(device?.id ?? 0, [['engine_fetch', mine]], 'operator');
      assert.equal(await rig.reads(0), mine);
      assert.deepEqual(await state(rig), ['waiting', 'waiting']);
      await rig.reads(1);
      const other = await rig.storage.findDevice('p', 'gw-1');
      await rig.storage.write(other?.id ?? 0, [['engine_fetch', mine]], 'operator');
      assert.equal(await rig.reads(1), mine);
      assert.deepEqual(await state(rig), ['waiting', 'superseded']);
    });

    test('a change of a rollout that has changed meanwhile is refused by its revision', async (t) => {
      const rig = await rigOf(open, t, 1);
      await begin(rig, [['gw-0']]);
      const stored = await rig.storage.findRollout('p', 'r1');
      await rig.reads(0);
      const act = { by: 'ann', at: START_S };
      assert.equal(
        await rig.storage.changeRollout(
          { product: 'p', id: 'r1', revision: stored?.revision ?? 0 },
          (rollout) => pause(rollout, act),
          AUDIT,
        ),
        'changed',
      );
      assert.equal(
        await rig.storage.changeRollout({ product: 'p', id: 'r9' }, (rollout) => pause(rollout, act), AUDIT),
        'unknown',
      );
    });

    test('a gateway that is removed takes what is known of it along', async (t) => {
      const rig = await rigOf(open, t, 1);
      await begin(rig, [['gw-0']]);
      await rig.writes(0, { engine_report: APPS, device_info: '', usage_report: 'x' });
      await rig.storage.tagGateway('p', 'gw-0', { a: 'b' }, AUDIT);
      assert.equal(await rig.storage.removeDevices('p', ['gw-0']), undefined);
      assert.deepEqual((await rig.storage.listEvents('p', { after: 0, limit: 10 })).length, 0);
      const { rollout } = (await rig.storage.findRollout('p', 'r1')) ?? {};
      assert.deepEqual([rollout?.waves[0]?.counts.waiting, await state(rig)], [0, []]);
    });

    test('time alone makes members silent or unreachable, also one that checks in and shows nothing', async (t) => {
      const rig = await rigOf(open, t, 4);
      for (const at of [0, 1, 2, 3]) await rig.writes(at, { device_info: { interval: 300 } });
      await begin(rig, [['gw-0', 'gw-1', 'gw-2', 'gw-3']]);
      for (const at of [0, 1]) {
        await rig.reads(at);
        await rig.writes(at, { engine_fetch: '' });
      }
      const done = { name: 'hello', version: '2.1', outcome: 'installed', tx: 't-00', command: 'r1.1' };
      await rig.writes(0, { fetch_status: done });
      await rig.storage.tickRollouts();
      assert.deepEqual(await state(rig), ['installed', 'taken', 'waiting', 'waiting']);
      await rig.passes(1300);
      await rig.reads(0);
      await rig.storage.tickRollouts();
      assert.deepEqual(await state(rig), ['silent', 'silent', 'waiting', 'waiting']);
      await rig.passes(6500);
      await rig.reads(3);
      await rig.passes(60);
      await rig.storage.tickRollouts();
      assert.deepEqual(await state(rig), ['silent', 'silent', 'unreachable', 'offered']);
    });

    test('a gateway on hold is shown nothing by a rollout until it is let go', async (t) => {
      const rig = await rigOf(open, t, 1);
      assert.equal(await rig.storage.holdGateway('p', 'gw-0', 'under repair', AUDIT), true);
      assert.equal(await rig.storage.holdGateway('p', 'nobody', 'x', AUDIT), false);
      assert.equal((await rig.storage.findGateway('p', 'gw-0'))?.hold, 'under repair');
      await begin(rig, [['gw-0']]);
      assert.equal(await rig.reads(0), '');
      assert.deepEqual(await state(rig), ['waiting']);
      await rig.storage.holdGateway('p', 'gw-0', undefined, AUDIT);
      assert.notEqual(await rig.reads(0), '');
      assert.equal((await rig.storage.findGateway('p', 'gw-0'))?.hold, undefined);
    });

    test('two machines that report with one key in turn are noticed, and from where', async (t) => {
      const { storage, keys } = await rigOf(open, t, 1);
      const cik = keys[0] ?? '';
      for (const [boot, address] of [
        ['aaaaaaaa-1', '192.0.2.1'],
        ['bbbbbbbb-2', '198.51.100.2'],
        ['aaaaaaaa-1', '192.0.2.1'],
      ] as const)
        await storage.checkIn({
          cik,
          writes: [['device_info', JSON.stringify({ boot })]],
          reads: [],
          address,
        });
      const gateway = await storage.findGateway('p', 'gw-0');
      assert.equal(gateway?.isShared, true);
      assert.match(gateway?.sharedWhy ?? '', /aaaaaaaa came back .*from 198\.51\.100\.2 and 192\.0\.2\.1/);
      const events = await storage.listEvents('p', { after: 0, limit: 10 });
      assert.ok(events.some(({ kind }) => kind === 'shared'));
      assert.equal(await storage.lastEventId(), events.at(-1)?.id);
    });

    test('whatever gateways, time and people do, the counters are those of the members', async (t) => {
      const rig = await rigOf(open, t, 4);
      let round = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(STEP, { minLength: 8, maxLength: 14 }), async (steps) => {
          const id = `r${++round}`;
          const rollout = { ...startedRollout([2, 2], { soakS: 60 }), id };
          const waves = [
            ['gw-0', 'gw-1'],
            ['gw-2', 'gw-3'],
          ];
          await rig.storage.createRollout({ product: 'p', name: id, rollout }, waves, AUDIT);
          for (const step of steps) await takeStep(rig, id, step);
          const members = (await rig.storage.listMembers(id, { limit: 10 })).items;
          const found = await rig.storage.findRollout('p', id);
          for (const [wave, { counts }] of (found?.rollout.waves ?? []).entries())
            assert.deepEqual(counts, countsOf(members, wave));
        }),
        { numRuns: 8 },
      );
      const entries = await rig.storage.listAudit(0, 1000);
      assert.deepEqual(verifyAudit(entries), entries.at(-1));
    });
  });
}

/** What may happen: of a gateway, by its number, or of all. */
const STEP = fc.record({
  at: fc.nat(3),
  what: fc.constantFrom(
    'read',
    'take',
    'good',
    'bad',
    'apps',
    'old',
    'noise',
    'hour',
    'tick',
    'pause',
    'resume',
  ),
});
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

/** `id`: of the rollout whose commands are reported on. */
async function takeStep(rig: Rig, id: string, { at, what }: Step): Promise<void> {
  const report = { name: 'hello', version: '2.1', tx: `${id}-${at}`, command: `${id}.1` };
  const which = { product: 'p', id };
  const steps: Readonly<Record<Step['what'], () => Promise<unknown>>> = {
    read: () => rig.reads(at),
    take: () => rig.writes(at, { engine_fetch: '' }),
    good: () => rig.writes(at, { fetch_status: { ...report, outcome: 'installed' } }),
    bad: () => rig.writes(at, { fetch_status: { ...report, outcome: 'rolled-back', code: 'PROBE_FAILED' } }),
    apps: () =>
      rig.writes(at, { engine_report: { apps: [{ hello: { version: '2.1', status: 'RUNNING' } }] } }),
    old: () => rig.writes(at, { engine_report: APPS }),
    noise: () => rig.writes(at, { fetch_status: '{"name":', device_info: '[]', usage_report: '\\u0000' }),
    hour: () => rig.passes(3600),
    tick: () => rig.storage.tickRollouts(),
    pause: () => rig.storage.changeRollout(which, (now) => pause(now, { by: 'ann', at: START_S }), AUDIT),
    resume: () => rig.storage.changeRollout(which, (now) => resume(now, { by: 'ann', at: START_S }), AUDIT),
  };
  await steps[what]();
}
