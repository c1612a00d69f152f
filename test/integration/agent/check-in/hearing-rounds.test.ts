/**
 * Random rounds: a platform that refuses bodies, repeats an old answer or lies about time, on a disk that turns read-only
 * and back.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { type DiskFaults, installDiskFaults } from '../../../helpers/disk-faults.ts';
import type { Fault } from '../../../helpers/fault-proxy.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const ROUNDS = 12;
const STATUSES = [400, 403, 411, 413, 502, 504];
const DAY_MS = 24 * 3600 * 1000;
/** Hours, months and decades off, both ways; mostly the truth. */
const LIES_MS = [0, 0, 0, 5 / 24, -5 / 24, 40, -40, 9000, -9000].map((days) => days * DAY_MS);
const DISKS = ['etc', 'var', 'run', ''];

let platform: TestPlatform;
let disk: DiskFaults;
let rig: CheckInRig;

/** The same rounds for the same seed, which a failure names. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function refuseLonger(limitBytes: number, status: number): Fault {
  return ({ body, path }, response) => {
    if (!path.startsWith('/onep:v1/') || body.length <= limitBytes) return false;
    response.writeHead(status).end();
    return true;
  };
}

/** To every look for commands, as a cache does that minds no header. */
function repeat(text: string): Fault {
  return ({ path }, response) => {
    if (!path.startsWith('/onep:v1/') || !path.includes('engine_fetch')) return false;
    response.end(`engine_fetch=${encodeURIComponent(text)}&update_interval=`);
    return true;
  };
}

before(async () => {
  platform = await startPlatform();
  disk = installDiskFaults();
  rig = await createCheckInRig(platform, 'gw-rounds', { budgetMonthBytes: 20_000_000 });
  for (let version = 0; version < ROUNDS; version++) {
    const tarball = makeTarball({ 'install.sh': INSTALL_OK, version: String(version) });
    await platform.putContent('p1', `app.v${version}.tar.gz`, tarball);
  }
});
after(async () => {
  disk.restore();
  await rig.close();
  await platform.close();
});

test('after every round the command written in it has been carried out', async () => {
  const seed = Date.now() % 1_000_000;
  const random = createRandom(seed);
  for (let round = 0; round < ROUNDS; round++) {
    const place = join(rig.root, DISKS[random(DISKS.length)] ?? '').replace(/\/$/, '');
    const isReadOnly = random(3) === 0;
    const text = installCommand(`app.v${round}.tar.gz`);
    if (isReadOnly) disk.set(place, { code: 'EROFS', hits: 0 });
    rig.setFault(
      random(4) === 0 && round > 0
        ? repeat(installCommand(`app.v${round - 1}.tar.gz`))
        : refuseLonger(random(1500), STATUSES[random(STATUSES.length)] ?? 403),
    );
    rig.proxy.setTimeLie(LIES_MS[random(LIES_MS.length)] ?? 0);
    await platform.write('p1', rig.serial, 'engine_fetch', text);
    for (let tries = random(4); tries >= 0; tries--) await rig.checkIn();
    disk.set(place, undefined);
    rig.setFault(undefined);
    // The lie goes on: what is heard, done and counted must not hang on it.
    const ends = [await rig.checkIn(), await rig.checkIn()];
    const active = rig.context.installed.get('app').active?.version;
    const what = `seed ${seed}, round ${round}: ${JSON.stringify(ends)}\n${rig.log().slice(-6000)}`;
    assert.equal(active, String(round), what);
    assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), '', what);
    const floorMs = rig.context.clockFloor.floorMs();
    assert.ok(
      floorMs <= Date.now() + DAY_MS,
      `${what}\nthe clock is held at ${new Date(floorMs).toISOString()}`,
    );
  }
});
