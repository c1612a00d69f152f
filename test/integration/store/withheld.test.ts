/** A file of state that the disk does not give for a while is no damaged file: gwe goes on, and what it holds is kept. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createLayout } from '../../../src/store/layout.ts';
import { STATE_FILES } from '../../../src/store/state-files.ts';
import { type CheckInRig, createCheckInRig } from '../../helpers/check-in-rig.ts';
import { type DiskFaults, installDiskFaults } from '../../helpers/disk-faults.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { installCommand } from '../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

/** What is thrown away is asked for, measured or fetched again; and what is rebuilt holds nothing of its own. */
const KEPT = STATE_FILES.filter(({ rule }) => rule !== 'thrown-away' && rule !== 'rebuilt');

describe('a file of state that cannot be read for a while', () => {
  let platform: TestPlatform;
  let disk: DiskFaults;
  const rigs: CheckInRig[] = [];

  before(async () => {
    platform = await startPlatform();
    disk = installDiskFaults();
    for (const version of ['1', '2', '3'])
      await platform.putContent(
        'p1',
        `app.v${version}.tar.gz`,
        makeTarball({ 'install.sh': INSTALL_OK, version }),
      );
  });
  after(async () => {
    disk.restore();
    await Promise.all(rigs.map((rig) => rig.close()));
    await platform.close();
  });

  async function update(rig: CheckInRig, version: string): Promise<string | undefined> {
    await platform.write('p1', rig.serial, 'engine_fetch', installCommand(`app.v${version}.tar.gz`));
    return rig.checkIn();
  }

  for (const [at, { name, files }] of STATE_FILES.entries())
    test(`${name}: gwe goes on, and nothing is lost`, async () => {
      const rig = await createCheckInRig(platform, `gw-${at}`);
      rigs.push(rig);
      assert.equal(await update(rig, '1'), undefined, rig.log());
      const [path] = files(createLayout(rig.root)).filter((file) => existsSync(file));
      const text = path === undefined ? undefined : readFileSync(path);
      disk.withhold(path);
      await rig.restart().catch(() => undefined);
      await update(rig, '2');
      disk.withhold(undefined);
      if (path !== undefined && text !== undefined && KEPT.some((row) => row.name === name)) {
        const there = [path, ...globSync(`${path}.unreadable*`)].filter((file) => existsSync(file));
        assert.ok(
          there.some((file) => readFileSync(file).equals(text)),
          `${there} do not hold it any more`,
        );
      }
      await rig.restart();
      assert.equal(await update(rig, '3'), undefined, rig.log());
      assert.equal(rig.context.installed.get('app').active?.version, '3', rig.log());
    });
});
