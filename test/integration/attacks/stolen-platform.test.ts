/**
 * A stolen platform with everything but the keys, as a script: each thing that it may try, for an hour of simulated
 * time. It knows the device's key, and every command, list and artifact that was ever signed. GWE_FAULTS=full lets the
 * gateway check in each minute of the hour, otherwise every ten minutes.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createWritePace } from '../../../src/protocol/wire/write-pace.ts';
import type { CheckInRig } from '../../helpers/check-in-rig.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import {
  activeIn,
  createPeople,
  createSignedRig,
  DAY_S,
  installing,
  type Listing,
  listReleases,
  putList,
  ranOn,
  trust,
} from '../../helpers/signed-rig.ts';

const people = createPeople();
const { sign, lister } = people;
const thief = newKey();
const STEPS = process.env.GWE_FAULTS === 'full' ? 60 : 6;
const STEP_MS = 3_600_000 / STEPS;
const MARGIN_MS = 600_000;
const nowS = (): number => Math.floor(Date.now() / 1000);

describe('a stolen platform with everything but the keys', () => {
  let platform: TestPlatform;
  let rig: CheckInRig;
  const digests: Record<string, string> = {};
  let commands: string[] = [];
  let lists: Buffer[] = [];
  /** Of the list that counts in the end. */
  const expiresS = nowS() + 3 * DAY_S;

  before(async () => {
    platform = await startPlatform();
    for (const version of ['1', '2', '3', '4'])
      digests[`one.v${version}`] = await people.put(platform, 'one', version);
    digests['two.v1'] = await people.put(platform, 'two', '1');
    rig = await createSignedRig(platform, 'gw-1', people);
    trust(rig, 'lister', lister, 'powers: releases\n');
    // What people have signed so far, and the thief has kept: version 2 runs now.
    lists = [await listing(1, ['one.v1', 'two.v1']), await listing(2, ['one.v2'])];
    commands = [
      await sign(installing('two.v1')),
      await sign(installing('one.v1')),
      await sign(installing('one.v2')),
    ];
    for (const [list, command] of [
      [lists[0], commands[1]],
      [lists[1], commands[2]],
    ] as const) {
      await putList(platform, list ?? Buffer.alloc(0));
      await platform.write('p1', rig.serial, 'engine_fetch', command ?? '');
      assert.equal(await rig.checkIn(), undefined);
    }
    assert.equal(activeIn(rig, 'one'), '2');
  });
  after(async () => {
    await rig.close();
    await platform.close();
  });

  function listing(release: number, ids: readonly string[], more: Partial<Listing> = {}): Promise<Buffer> {
    const versions = Object.fromEntries(ids.map((id) => [id, digests[id] ?? '']));
    return listReleases({ release, versions, by: [lister], expiresS: nowS() + 3 * DAY_S, ...more });
  }

  /** The pause between two writes of an alias is over as well. */
  function passTime(ms: number): void {
    rig.runCycle(ms);
    Object.assign(rig.kept, { pace: createWritePace(createSystemClock()) });
  }

  /** For an hour: what it does again and again, and that nothing comes of it. */
  async function tryFor(attack: (step: number) => Promise<unknown>): Promise<void> {
    const installed = JSON.stringify(rig.context.installed.all());
    const ran = ranOn(rig);
    for (let step = 0; step < STEPS; step++) {
      await attack(step);
      passTime(STEP_MS);
      await rig.checkIn();
      assert.deepEqual(ranOn(rig), ran, `step ${step}: an install.sh has run`);
      // What it tried is told by the same check-in, of whose reports it can withhold what it likes.
      const { code } = (await rig.told()).at(-1) ?? {};
      assert.match(String(code), /^(COMMAND_UNTRUSTED|COMMAND_STALE|ARTIFACT_[A-Z]+)$/);
    }
    await platform.write('p1', rig.serial, 'engine_fetch', '');
    await rig.checkIn();
    assert.deepEqual(ranOn(rig), ran);
    assert.deepEqual(versionsOf(JSON.stringify(rig.context.installed.all())), versionsOf(installed));
  }

  const gatewayS = (): number => Math.floor(rig.context.clock.wallMs() / 1000);
  const send = (text: string): Promise<void> => platform.write('p1', rig.serial, 'engine_fetch', text);
  const afresh = (text: string, step: number): string =>
    JSON.stringify({ ...(JSON.parse(text) as object), id: `s${step}.${nowS()}` });

  test('commands of its own, unsigned or signed by a key of its own', () =>
    tryFor(async (step) => {
      const mine = installing('one.v3');
      await send(afresh(step % 2 === 0 ? JSON.stringify(mine) : await sign(mine, { by: thief }), step));
    }));

  for (const [what, at] of [
    ['that was carried out', 2],
    ['that was never delivered here, signed before the last one', 0],
    ['that was overtaken', 1],
  ] as const)
    test(`a command ${what}, under new ids, times and windows`, () =>
      tryFor((step) => {
        const more = { not_before: step, window: '00:00-23:59' };
        return send(JSON.stringify({ ...(JSON.parse(afresh(commands[at] ?? '', step)) as object), ...more }));
      }));

  test('a command for another gateway, and for another product', () =>
    tryFor(async (step) => {
      const to = step % 2 === 0 ? { product: 'p1', serial: 'gw-9' } : { product: 'p2' };
      await send(afresh(await sign(installing('one.v3'), { to }), step));
    }));

  test('other bytes under the name of what a person did order', async () => {
    await putList(platform, await listing(3, ['one.v2', 'one.v3']));
    const evil = await makeIndexed(
      { name: 'one', version: '3' },
      {
        'install.sh':
          '#!/bin/sh\ntouch "$GWE_APP_DIR/../../../../../ran"\necho evil >> "$GWE_APP_DIR/../../../../../ran"\n',
      },
      [thief],
    );
    await platform.putContent('p1', 'one.v3.tar.gz', evil);
    const order = await sign(installing('one.v3'));
    await tryFor((step) => send(afresh(order, step)));
    digests['one.v3'] = await people.put(platform, 'one', '3');
  });

  test('a list that was rolled back, one of another product, one that nobody has signed, and none at all', async () => {
    const order = await sign(installing('one.v4'));
    const others = [
      lists[0],
      await listing(9, ['one.v4'], { product: 'p2' }),
      await listing(9, ['one.v4'], { by: [] }),
      await listing(9, ['one.v4'], { by: [thief] }),
      Buffer.from('{}'),
    ];
    for (const list of others) {
      await putList(platform, list ?? Buffer.alloc(0));
      await tryFor((step) => send(afresh(order, step)));
    }
    await putList(platform, await listing(4, ['one.v2', 'one.v3', 'one.v4'], { expiresS }));
  });

  test('keys of its own, by a set that nobody has signed, on the order of nobody', async () => {
    const set = await makeIndexed(
      { name: 'gwe-keys', version: '9', release: 9 },
      { 'thief.pub': thief.publicKey },
      [thief],
    );
    await platform.putContent('p1', 'gwe-keys.v9.tar.gz', set);
    await tryFor((step) => send(afresh(JSON.stringify(installing('gwe-keys.v9')), step)));
    assert.equal(rig.context.settings().requireSignedCommands, true);
  });

  test('what it still can: a command is put off up to its until, and not beyond', async () => {
    const order = await sign(installing('one.v4'), { untilS: gatewayS() + 21 * 3600 });
    const late = { ...(JSON.parse(order) as object), not_before: gatewayS() + 20 * 3600 };
    await send(JSON.stringify(late));
    await rig.checkIn();
    assert.equal(activeIn(rig, 'one'), '2');
    rig.runCycle(22 * 3_600_000);
    await rig.checkIn();
    assert.equal(activeIn(rig, 'one'), '2', 'its time is over');
    assert.equal((await rig.told()).at(-1)?.code, 'COMMAND_STALE');
  });

  test('what it still can: try again what failed, which is told each time, and ends with its until', async () => {
    digests['one.v5'] = await people.put(platform, 'one', '5', 1);
    await putList(platform, await listing(5, ['one.v2', 'one.v3', 'one.v4', 'one.v5'], { expiresS }));
    const order = await sign(installing('one.v5'), { untilS: gatewayS() + 3600 });
    const runs = (): number => ranOn(rig).filter((one) => one === 'one 5').length;
    for (const tries of [1, 2, 3]) {
      await send(afresh(order, tries));
      passTime(STEP_MS / 6);
      await rig.checkIn();
      assert.equal(runs(), tries);
      const { outcome, version } = (await rig.told()).at(-1) ?? {};
      assert.deepEqual([outcome, version, activeIn(rig, 'one')], ['rolled-back', '5', '2']);
    }
    passTime(3_600_000);
    await send(afresh(order, 4));
    await rig.checkIn();
    assert.deepEqual([runs(), (await rig.told()).at(-1)?.code], [3, 'COMMAND_STALE']);
  });

  test('what it still can: withhold, which is told as stale within the time that the list has', async () => {
    const state = async (): Promise<unknown> => {
      await rig.checkIn();
      const info = JSON.parse((await platform.read('p1', rig.serial, 'device_info')) ?? '{}');
      return (info as { releases: { state: string } }).releases.state;
    };
    passTime(expiresS * 1000 - rig.context.clock.wallMs() - MARGIN_MS);
    assert.equal(await state(), 'fresh');
    passTime(MARGIN_MS);
    assert.equal(await state(), 'stale', 'by the first check-in after its end');
    await send(await sign(installing('one.v3'), { untilS: gatewayS() + DAY_S }));
    passTime(STEP_MS);
    await rig.checkIn();
    assert.equal((await rig.told()).at(-1)?.code, 'ARTIFACT_STALE');
    assert.equal(activeIn(rig, 'one'), '2');
  });
});

/** What is installed, by version and digest. */
function versionsOf(text: string): unknown {
  const apps = JSON.parse(text) as Record<string, { active?: { version: string; digest: string } }>;
  return Object.entries(apps).map(([app, { active }]) => [app, active?.version, active?.digest]);
}
