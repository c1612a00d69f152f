/** A cache on the way swallows the request that clears an alias, and shows what was there. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import type { Fault } from '../../../helpers/fault-proxy.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const HOUR_MS = 3_600_000;
const CLEARS = /(^|&)(engine_fetch|update_interval)=(&|$)/;

describe('an alias that goes on being shown after it was cleared', () => {
  let platform: TestPlatform;
  const rigs: CheckInRig[] = [];

  async function open(serial: string): Promise<CheckInRig> {
    const rig = await createCheckInRig(platform, serial, { updateIntervalS: 14_400 });
    rigs.push(rig);
    return rig;
  }

  before(async () => {
    platform = await startPlatform();
    const tarball = makeTarball({ 'install.sh': INSTALL_OK });
    await platform.putContent('p1', 'app.v1.tar.gz', tarball);
  });
  after(async () => {
    await Promise.all(rigs.map((rig) => rig.close()));
    await platform.close();
  });

  /** Answers what clears as if it had come through. */
  function swallow(shown: Record<string, string>): Fault {
    return ({ method, path, body }, response) => {
      if (method !== 'POST' || !path.includes('/stack/alias') || !CLEARS.test(body)) return false;
      response.end(new URLSearchParams(shown).toString());
      return true;
    };
  }

  const clears = ({ proxy }: CheckInRig): number =>
    proxy.requests.filter(({ method, body }) => method === 'POST' && CLEARS.test(body)).length;

  for (const [alias, text] of [
    ['engine_fetch', installCommand('app.v1.tar.gz')],
    ['update_interval', '14400'],
  ] as const)
    test(`is cleared again, less and less often, until it is empty: ${alias}`, async () => {
      const rig = await open(`stuck-${alias}`);
      rig.setFault(swallow({ [alias]: text }));
      await platform.write('p1', rig.serial, alias, text);
      const perDay: number[] = [];
      for (let day = 0; day < 7; day++) {
        const before = clears(rig);
        for (let hour = 0; hour < 24; hour += 4) {
          assert.equal(await rig.checkIn(), undefined, rig.log());
          rig.runCycle(4 * HOUR_MS);
        }
        perDay.push(clears(rig) - before);
      }
      assert.deepEqual(perDay, [2, 1, 1, 1, 1, 1, 1], 'at last once a day');
      assert.equal(await platform.read('p1', rig.serial, alias), text);
      await rig.restart();
      rig.setFault(undefined);
      rig.runCycle(24 * HOUR_MS);
      await rig.checkIn();
      assert.equal(await platform.read('p1', rig.serial, alias), '');
      assert.equal(rig.log().split('command.read').length, alias === 'engine_fetch' ? 2 : 1, 'once');
      if (alias === 'update_interval') return;
      await platform.write('p1', rig.serial, alias, text);
      await rig.checkIn();
      assert.equal(rig.log().split('command.read').length, 3, 'the same text is a new command then');
    });
});
