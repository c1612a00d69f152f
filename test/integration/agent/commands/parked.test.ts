/** Commands that are fetched now and installed later, and commands whose apps are installed together. */
import assert from 'node:assert/strict';
import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCommandStore } from '../../../../src/store/command.ts';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const HOUR_MS = 3_600_000;

function oneOff(version: string, exit = 0): Buffer {
  return makeTarball({ 'install.sh': `#!/bin/sh\nexit ${exit}\n`, VERSION: version });
}

function active({ root }: CheckInRig, app: string): string {
  const link = join(root, 'opt/gwe/apps', app, 'current');
  const isThere = lstatSync(link, { throwIfNoEntry: false }) !== undefined;
  return isThere ? (readlinkSync(link).split('-')[0] ?? '') : '';
}

describe('fetched now, installed later', () => {
  let platform: TestPlatform;
  const rigs: CheckInRig[] = [];

  before(async () => {
    platform = await startPlatform();
    for (const app of ['one', 'two']) for (const version of ['1', '2']) await put(app, version);
    await platform.putContent('p1', 'bad.v1.tar.gz', oneOff('1', 3));
  });
  after(async () => {
    for (const rig of rigs) await rig.close();
    await platform.close();
  });

  const put = (app: string, version: string): Promise<void> =>
    platform.putContent('p1', `${app}.v${version}.tar.gz`, oneOff(version));

  async function openRig(settings = {}): Promise<CheckInRig> {
    const rig = await createCheckInRig(platform, `gw-${rigs.length}`, { httpTimeoutS: 30, ...settings });
    rigs.push(rig);
    return rig;
  }

  /** `names` are content ids without their ending. */
  async function command(rig: CheckInRig, names: readonly string[], more: object): Promise<void> {
    const install = names.map((name) => ({ name: `${name}.tar.gz` }));
    await platform.write('p1', rig.serial, 'engine_fetch', JSON.stringify({ id: 'r1.1', install, ...more }));
  }

  const inAnHour = (): number => Math.floor((Date.now() + HOUR_MS) / 1000);
  const told = async (rig: CheckInRig): Promise<unknown[]> =>
    (await rig.told()).map(({ name, version, outcome, code }) => [name, version, outcome, code]);
  const downloads = ({ proxy }: CheckInRig): number =>
    proxy.requests.filter(({ path }) => path.includes('/provision/download') && !path.includes('info=true'))
      .length;

  test('what may not be installed before a time is fetched at once, and installed then without the platform', async () => {
    const rig = await openRig();
    const notBefore = inAnHour();
    await command(rig, ['one.v1'], { not_before: notBefore });
    assert.equal(await rig.checkIn(), undefined);
    const [waiting] = await rig.told();
    assert.deepEqual(
      [waiting?.outcome, waiting?.phase, waiting?.until, waiting?.command, active(rig, 'one')],
      ['waiting', 'parked', notBefore, 'r1.1', ''],
    );
    const fetched = downloads(rig);
    assert.ok(fetched > 0);
    await rig.restart();
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(active(rig, 'one'), '');
    rig.runCycle(2 * HOUR_MS);
    rig.setFault((_request, response) => {
      response.destroy();
      return true;
    });
    assert.match((await rig.checkIn()) ?? '', /./);
    assert.equal(active(rig, 'one'), '1');
    rig.setFault(undefined);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual((await told(rig)).at(-1), ['one', '1', 'installed', undefined]);
    assert.equal(downloads(rig), fetched, 'fetched once');
    assert.equal(rig.context.parked.all().length, 0);
  });

  test('another command goes its way meanwhile, and takes the place of the one that waits', async () => {
    const rig = await openRig();
    await command(rig, ['one.v1', 'two.v1'], { not_before: inAnHour() });
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(rig.context.parked.all().length, 2);
    assert.equal(rig.context.journal.read()?.closed, true, 'the journal is free');
    await command(rig, ['two.v2'], { id: 'r2.1' });
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual((await told(rig)).slice(2), [
      ['one', '1', 'failed-no-change', 'CANCELLED'],
      ['two', '1', 'failed-no-change', 'CANCELLED'],
      ['two', '2', 'installed', undefined],
    ]);
    assert.equal(rig.context.parked.all().length, 0);
    rig.runCycle(2 * HOUR_MS);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([active(rig, 'one'), active(rig, 'two')], ['', '2']);
  });

  test('the window of a command and that of the gateway both count, and urgent ones pass the latter', async () => {
    const day = (offsetH: number): string =>
      `${new Date(Date.now() + offsetH * HOUR_MS).toISOString().slice(11, 14)}00`;
    const soon = `${day(2)}-${day(4)}`;
    const rig = await openRig({ updateWindow: soon });
    await command(rig, ['one.v1'], {});
    assert.equal(await rig.checkIn(), undefined);
    assert.match(String((await rig.told())[0]?.reason), /^fetched, and installed at .*update_window/);
    await platform.write(
      'p1',
      rig.serial,
      'engine_fetch',
      JSON.stringify({ install: [{ name: 'two.v1.tar.gz', urgent: true }] }),
    );
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([active(rig, 'one'), active(rig, 'two')], ['', '1']);
    await command(rig, ['one.v2'], { window: `${day(3)}-${day(6)} UTC` });
    assert.equal(await rig.checkIn(), undefined);
    rig.runCycle(2 * HOUR_MS);
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(active(rig, 'one'), '');
    rig.runCycle(HOUR_MS);
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(active(rig, 'one'), '2');
  });

  test('a time or window that cannot be read installs nothing', async () => {
    const rig = await openRig();
    for (const more of [{ not_before: 'tonight' }, { window: 'at night' }, { together: 'yes' }]) {
      await command(rig, ['one.v1'], more);
      assert.equal(await rig.checkIn(), undefined);
      assert.deepEqual((await told(rig)).at(-1), ['', '', 'rejected', 'COMMAND_INVALID']);
    }
    assert.equal(active(rig, 'one'), '');
  });

  test('together: when one cannot be fetched or installed, none is', async () => {
    const rig = await openRig();
    await command(rig, ['one.v1', 'two.v1'], { together: true });
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([active(rig, 'one'), active(rig, 'two')], ['1', '1']);
    await command(rig, ['one.v2', 'gone.v1'], { together: true });
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual((await told(rig)).slice(2), [
      ['one', '2', 'failed-no-change', 'COMMAND_TOGETHER'],
      ['gone', '1', 'failed-no-change', 'DOWNLOAD_NOT_FOUND'],
    ]);
    await command(rig, ['one.v2', 'bad.v1', 'two.v2'], { together: true });
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual((await told(rig)).slice(4), [
      ['one', '2', 'rolled-back', 'COMMAND_TOGETHER'],
      ['bad', '1', 'rolled-back', 'INSTALL_FAILED'],
      ['two', '2', 'failed-no-change', 'COMMAND_TOGETHER'],
    ]);
    assert.deepEqual([active(rig, 'one'), active(rig, 'two'), active(rig, 'bad')], ['1', '1', '']);
    assert.equal(rig.context.installed.get('one').active?.version, '1');
    await command(rig, ['one.v2', 'two.v2'], { together: true, id: 'r3.1' });
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual(
      [active(rig, 'one'), active(rig, 'two')],
      ['2', '2'],
      'what was taken back is not refused later',
    );
  });

  test('together: neither gwe nor an app twice', async () => {
    const rig = await openRig();
    for (const names of [
      ['one.v1', 'gwe.v9'],
      ['one.v1', 'one.v2'],
    ]) {
      await command(rig, names, { together: true });
      assert.equal(await rig.checkIn(), undefined);
      const reports = (await told(rig)) as unknown[][];
      assert.deepEqual(reports.at(-1)?.slice(2), ['rejected', 'COMMAND_INVALID']);
    }
    assert.equal(active(rig, 'one'), '');
    assert.equal(createCommandStore(rig.context.layout.command).read().current, undefined);
  });
});
