/**
 * A signed command, with a release list that comes with it, cut short after each change of the disk: it is carried out
 * once, not lost and not repeated, and the numbers that keep old ones out are never lower than before. GWE_FAULTS=full
 * takes every third change, otherwise a few of them.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createCommandCounters } from '../../src/store/command-counters.ts';
import { createReleaseStore } from '../../src/store/trust.ts';
import type { CheckInRig } from '../helpers/check-in-rig.ts';
import { type DiskFault, type DiskFaults, installDiskFaults } from '../helpers/disk-faults.ts';
import { FULL, printTotals } from '../helpers/fault-rig.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import {
  activeIn,
  createPeople,
  createSignedRig,
  installing,
  listReleases,
  putList,
  ranOn,
  trust,
} from '../helpers/signed-rig.ts';

const people = createPeople();
const STEP = FULL ? 3 : 37;
/** More than an update changes. */
const MOST_CUTS = 400;

describe('a signed command and a release list, cut short', () => {
  let platform: TestPlatform;
  let faults: DiskFaults;
  const versions: Record<string, string> = {};

  before(async () => {
    platform = await startPlatform();
    for (const version of ['1', '2'])
      versions[`one.v${version}`] = await people.put(platform, 'one', version);
    faults = installDiskFaults();
  });
  after(async () => {
    faults.restore();
    await platform.close();
  });

  /** A gateway with version 1 and list 1, by an earlier command. */
  async function openRig(serial: string): Promise<{ rig: CheckInRig; first: string }> {
    const rig = await createSignedRig(platform, serial, people);
    trust(rig, 'lister', people.lister, 'powers: releases\n');
    await putList(platform, await listReleases({ release: 1, versions, by: [people.lister] }));
    const first = await people.sign(installing('one.v1'));
    await send(rig, first);
    assert.equal(activeIn(rig, 'one'), '1');
    return { rig, first };
  }

  async function send(rig: CheckInRig, text: string): Promise<void> {
    await platform.write('p1', rig.serial, 'engine_fetch', text);
    await rig.checkIn();
  }

  const counterOf = (rig: CheckInRig): number =>
    createCommandCounters(rig.context.layout.commandCounters).read()?.get(people.boss.keyId)?.counter ?? 0;
  const listOf = (rig: CheckInRig): number =>
    createReleaseStore(rig.context.layout.releases).highest('#releases') ?? 0;

  /** True if the disk was cut off before it was over. */
  async function cutAfter(changes: number): Promise<boolean> {
    const { rig, first } = await openRig(`gw-${changes}`);
    try {
      const [counter, list] = [counterOf(rig), listOf(rig)];
      await putList(platform, await listReleases({ release: 2, versions, by: [people.lister] }));
      const second = await people.sign(installing('one.v2'));
      const fault: DiskFault = { code: 'EIO', hits: 0, spare: changes };
      faults.set(rig.root, fault);
      await send(rig, second);
      faults.set(rig.root, undefined);
      // Whose owner would be gone: here it is this process, which lives on.
      rmSync(rig.context.layout.transactionLock, { force: true });
      await rig.restart();
      assert.ok(counterOf(rig) >= counter && listOf(rig) >= list, 'no number is lower');
      for (let passes = 0; passes < 6; passes++) await rig.checkIn();
      assert.equal(activeIn(rig, 'one'), '2', `${rig.log().slice(-3000)}`);
      assert.equal(listOf(rig), 2);
      const ran = ranOn(rig);
      for (const old of [first, second]) await send(rig, old);
      assert.deepEqual(ranOn(rig), ran, 'neither is carried out again');
      assert.equal(activeIn(rig, 'one'), '2');
      return fault.hits > 0;
    } finally {
      faults.set(rig.root, undefined);
      await rig.close();
    }
  }

  test('after each change of the disk it is carried out once, and no number is forgotten', async () => {
    const startedMs = performance.now();
    let cuts = 0;
    for (let changes = 0; changes < MOST_CUTS; changes += STEP) {
      if (!(await cutAfter(changes))) break;
      cuts++;
    }
    printTotals('signed-cuts', startedMs, 0, `${cuts} cuts`);
    assert.ok(cuts >= (FULL ? 30 : 3), `only ${cuts} cuts`);
  });
});
