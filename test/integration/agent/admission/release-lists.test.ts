/** Gateways that install what a signed list names, and nothing else. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { copyPath } from '../../../../src/base/edited-file.ts';
import type { CheckInRig } from '../../../helpers/check-in-rig.ts';
import { newKey } from '../../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import {
  activeIn,
  createPeople,
  createSignedRig,
  DAY_S,
  distrust,
  installing,
  type Listing,
  listReleases,
  putList,
  trust,
} from '../../../helpers/signed-rig.ts';

const people = createPeople();
const { lister } = people;
const nowS = (): number => Math.floor(Date.now() / 1000);

describe('release lists', () => {
  let platform: TestPlatform;
  const digests: Record<string, string> = {};
  const rigs: CheckInRig[] = [];

  before(async () => {
    platform = await startPlatform();
    for (const version of ['1', '2', '3'])
      digests[`one.v${version}`] = await people.put(platform, 'one', version);
    digests['two.v1'] = await people.put(platform, 'two', '1');
  });
  after(async () => {
    for (const rig of rigs) await rig.close();
    await platform.close();
  });

  async function openRig(settings = {}): Promise<CheckInRig> {
    const rig = await createSignedRig(platform, `gw-${rigs.length}`, people, {
      requireSignedCommands: false,
      ...settings,
    });
    trust(rig, 'lister', lister, 'powers: releases\n');
    rigs.push(rig);
    return rig;
  }

  const listing = (release: number, ids: readonly string[], more: Partial<Listing> = {}): Promise<Buffer> => {
    const versions = Object.fromEntries(ids.map((id) => [id, digests[id] ?? '']));
    return listReleases({ release, versions, by: [lister], ...more });
  };

  async function install(rig: CheckInRig, id: string): Promise<unknown[]> {
    const before = (await rig.told()).length;
    const text = JSON.stringify({ ...installing(id), id: `c${before}` });
    await platform.write('p1', rig.serial, 'engine_fetch', text);
    assert.equal(await rig.checkIn(), undefined);
    const [report] = (await rig.told()).slice(before);
    return [report?.outcome, ...(report?.code === undefined ? [] : [report.code])];
  }
  const INSTALLED = ['installed'];
  const UNLISTED = ['rejected', 'ARTIFACT_UNLISTED'];
  const STALE = ['rejected', 'ARTIFACT_STALE'];

  test('only what the newest list names is installed; a version on the disk is gone back to all the same', async () => {
    const rig = await openRig();
    await putList(platform, await listing(1, ['one.v1']));
    assert.deepEqual(await install(rig, 'one.v2'), UNLISTED);
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED);
    await putList(platform, await listing(2, ['one.v2']));
    assert.deepEqual(await install(rig, 'one.v2'), INSTALLED);
    assert.deepEqual(await install(rig, 'one.v3'), UNLISTED);
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED, 'it is still on the disk');
    assert.equal(activeIn(rig, 'one'), '1');
  });

  test('other bytes of a version that is named are not what is named', async () => {
    const rig = await openRig();
    await putList(platform, await listing(1, [], { versions: { 'one.v1': 'a'.repeat(64) } }));
    assert.deepEqual(await install(rig, 'one.v1'), UNLISTED);
  });

  test('without a list nothing new is installed, and device_info says that it is missing', async () => {
    const rig = await openRig();
    await putList(platform, Buffer.from('rubbish'));
    assert.deepEqual(await install(rig, 'one.v1'), UNLISTED);
    assert.deepEqual(await releasesOf(rig), { state: 'missing' });
    assert.match(rig.log(), /releases\.refused/);
  });

  async function releasesOf(rig: CheckInRig): Promise<unknown> {
    assert.equal(await rig.checkIn(), undefined);
    const info = await platform.read('p1', rig.serial, 'device_info');
    return (JSON.parse(info ?? '{}') as Record<string, unknown>).releases;
  }

  test('a list that was rolled back, or another one of the same release, is not accepted', async () => {
    const rig = await openRig();
    await putList(platform, await listing(5, ['one.v2']));
    assert.deepEqual(await install(rig, 'one.v2'), INSTALLED);
    for (const [release, id] of [
      [4, 'one.v1'],
      [5, 'one.v3'],
    ] as const) {
      await putList(platform, await listing(release, [id]));
      assert.deepEqual(await install(rig, id), UNLISTED, `release ${release}`);
    }
    for (const path of [rig.context.layout.releaseList, copyPath(rig.context.layout.releaseList)])
      writeFileSync(path, '');
    await putList(platform, await listing(4, ['one.v1']));
    assert.deepEqual(await install(rig, 'one.v1'), UNLISTED, 'the number outlives the list');
  });

  test('a list of another product, or below the threshold, or of a key without the power, is not accepted', async () => {
    const rig = await openRig({ requireSignatures: 1 });
    for (const more of [{ product: 'p2' }, { by: [] }, { by: [people.maker] }, { by: [newKey()] }]) {
      await putList(platform, await listing(1, ['one.v1'], more));
      assert.deepEqual(await install(rig, 'one.v1'), UNLISTED, JSON.stringify(more.product ?? 'p1'));
    }
    await putList(platform, await listing(1, ['one.v1']));
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED);
  });

  test('with two signatures required one of a lister is not enough', async () => {
    const rig = await openRig();
    const second = newKey();
    trust(rig, 'second', second, 'powers: releases\n');
    await putList(platform, await listing(1, ['one.v1']));
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED);
    rig.context.settings = ((before) => () => ({ ...before(), requireSignatures: 2 }))(rig.context.settings);
    await putList(platform, await listing(2, ['one.v2']));
    assert.deepEqual((await install(rig, 'one.v2'))[0], 'rejected');
    assert.match(rig.log(), /1 of the keys with 'powers: releases' have signed it, expected 2/);
    await putList(platform, await listing(3, ['one.v2'], { by: [lister, second] }));
    await install(rig, 'one.v2');
    assert.match(rig.log(), /releases\.accepted.*release=3/);
  });

  test('a list that freezes expires: it is told as stale, and nothing new is installed unless the setting allows it', async () => {
    const rig = await openRig();
    const frozen = await listing(1, ['one.v1', 'one.v2', 'two.v1'], { expiresS: nowS() + DAY_S });
    await putList(platform, frozen);
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED);
    assert.deepEqual(await install(rig, 'one.v2'), INSTALLED);
    const expires = nowS() + DAY_S;
    rig.runCycle(DAY_S * 1000 + 60_000);
    const found = (await releasesOf(rig)) as { state: string; release: number; expires: number };
    assert.deepEqual([found.state, found.release], ['stale', 1]);
    assert.ok(Math.abs(found.expires - expires) < 600);
    assert.deepEqual(await install(rig, 'two.v1'), STALE);
    assert.deepEqual(await install(rig, 'one.v1'), INSTALLED, 'going back is never refused');
    const lax = await openRig({ requireFreshReleases: false });
    await putList(platform, frozen);
    lax.runCycle(DAY_S * 1000 + 60_000);
    assert.deepEqual(await install(lax, 'two.v1'), INSTALLED);
    const { state, stale_ok } = (await releasesOf(lax)) as { state: string; stale_ok: boolean };
    assert.deepEqual([state, stale_ok], ['stale', true]);
  });

  test('what was parked is not installed if a newer list no longer names it', async () => {
    const rig = await openRig();
    await putList(platform, await listing(1, ['one.v1']));
    const text = JSON.stringify({ ...installing('one.v1'), not_before: nowS() + 3600 });
    await platform.write('p1', rig.serial, 'engine_fetch', text);
    assert.equal(await rig.checkIn(), undefined);
    assert.equal((await rig.told()).at(-1)?.outcome, 'waiting');
    await putList(platform, await listing(2, ['one.v2']));
    rig.runCycle(DAY_S * 1000);
    for (let passes = 0; passes < 2; passes++) assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([(await rig.told()).at(-1)?.code, activeIn(rig, 'one')], ['ARTIFACT_UNLISTED', '']);
  });

  test('unchanged, it costs one small request a day, and none without a key for lists', async (t) => {
    const rig = await openRig();
    await putList(platform, await listing(1, ['one.v1']));
    const asked = (): number => rig.proxy.requests.filter(({ path }) => path.includes('gwe-releases')).length;
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(asked(), 2, 'its info, and the list');
    for (let hours = 0; hours < 22; hours += 4) {
      rig.runCycle(4 * 3_600_000);
      assert.equal(await rig.checkIn(), undefined);
    }
    assert.equal(asked(), 3, 'its info once more');
    t.diagnostic(`bytes both ways by purpose: ${JSON.stringify(rig.context.ledger.book())}`);
    distrust(rig, 'lister');
    rig.runCycle(3 * DAY_S * 1000);
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(asked(), 3);
    assert.ok(existsSync(rig.context.layout.releaseList));
  });
});
