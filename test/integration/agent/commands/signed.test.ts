/** Commands that must be signed: whose count, for whom, for how long, and how often. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { copyPath } from '../../../../src/base/edited-file.ts';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { newKey } from '../../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import {
  activeIn,
  createPeople,
  createSignedRig,
  DAY_S,
  distrust,
  installing,
  trust,
} from '../../../helpers/signed-rig.ts';

const people = createPeople();
const { sign } = people;
const nowS = (): number => Math.floor(Date.now() / 1000);

describe('signed commands', () => {
  let platform: TestPlatform;
  const rigs: CheckInRig[] = [];

  before(async () => {
    platform = await startPlatform();
    for (const app of ['one', 'two'])
      for (const version of ['1', '2']) await people.put(platform, app, version);
    await people.put(platform, 'bad', '1', 3);
  });
  after(async () => {
    for (const rig of rigs) await rig.close();
    await platform.close();
  });

  async function openRig(settings = {}): Promise<CheckInRig> {
    const rig = await createSignedRig(platform, `gw-${rigs.length}`, people, settings);
    rigs.push(rig);
    return rig;
  }

  /** Sends a text as it is; what was reported of it. */
  async function send(rig: CheckInRig, text: string): Promise<Record<string, unknown>[]> {
    const before = (await rig.told()).length;
    await platform.write('p1', rig.serial, 'engine_fetch', text);
    assert.equal(await rig.checkIn(), undefined);
    return (await rig.told()).slice(before);
  }

  async function assertInstalled(rig: CheckInRig, text: string): Promise<void> {
    const [report] = await send(rig, text);
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
  }

  async function assertRefused(rig: CheckInRig, text: string, code: string, reason: RegExp): Promise<void> {
    const [report] = await send(rig, text);
    assert.deepEqual([report?.outcome, report?.code], ['rejected', code], JSON.stringify(report));
    assert.match(String(report?.reason), reason);
    assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), '', 'it is cleared');
  }

  test('a command of somebody who may command is carried out, for one gateway or for all of the product', async () => {
    const rig = await openRig();
    await assertInstalled(
      rig,
      await sign(installing('one.v1'), { to: { product: 'p1', serial: rig.serial } }),
    );
    await assertInstalled(rig, await sign(installing('one.v2')));
    assert.equal(activeIn(rig, 'one'), '2');
  });

  test('without a signature, or with one that is wrong, nothing is installed and no log is sent', async () => {
    const rig = await openRig();
    const plain = JSON.stringify(installing('one.v1'));
    await assertRefused(rig, plain, 'COMMAND_UNTRUSTED', /it is not signed/);
    await assertRefused(rig, '{"logs":[{"app":"one"}]}', 'COMMAND_UNTRUSTED', /it is not signed/);
    const signed = await sign(installing('one.v1'));
    const other = signed.replace('one.v1', 'one.v2');
    await assertRefused(rig, other, 'COMMAND_UNTRUSTED', /is not what 'boss' signed/);
    const later = JSON.parse(signed) as { signed: { until: number } };
    later.signed.until += 1;
    await assertRefused(rig, JSON.stringify(later), 'COMMAND_UNTRUSTED', /is not what 'boss' signed/);
    await assertRefused(
      rig,
      '{"install":[{"name":"one.v1.tar.gz"}],"signed":{}}',
      'COMMAND_UNTRUSTED',
      /'signed' whose/,
    );
    assert.equal(activeIn(rig, 'one'), '');
  });

  test('a key that only vouches for artifacts commands nothing, and one that only commands vouches for none', async () => {
    const rig = await openRig();
    const by = await sign(installing('one.v1'), { by: people.maker });
    await assertRefused(rig, by, 'COMMAND_UNTRUSTED', /'maker' has no 'powers: commands'/);
    await assertRefused(
      rig,
      await sign(installing('one.v1'), { by: newKey() }),
      'COMMAND_UNTRUSTED',
      /unknown key/,
    );
    distrust(rig, 'maker');
    trust(rig, 'boss', people.boss, 'powers: commands\n');
    const [report] = await send(rig, await sign(installing('one.v1')));
    assert.equal(report?.code, 'ARTIFACT_UNTRUSTED', JSON.stringify(report));
  });

  test('a key commands the apps and products that its file names', async () => {
    const rig = await openRig();
    trust(rig, 'boss', people.boss, 'apps: one\npowers: commands\nproducts: p1, p2\n');
    await assertRefused(
      rig,
      await sign(installing('one.v1', 'two.v1')),
      'COMMAND_UNTRUSTED',
      /does not command 'two'/,
    );
    await assertRefused(rig, await sign({ logs: [{ tx: 'x' }] }), 'COMMAND_UNTRUSTED', /names no app/);
    await assertInstalled(rig, await sign(installing('one.v1')));
    trust(rig, 'boss', people.boss, 'powers: commands\nproducts: p2\n');
    await assertRefused(rig, await sign(installing('one.v2')), 'COMMAND_UNTRUSTED', /other products/);
  });

  test('replayed to the same gateway, an older command or the same one again is refused', async () => {
    const rig = await openRig();
    const [first, second] = [await sign(installing('one.v1')), await sign(installing('one.v2'))];
    await assertInstalled(rig, first);
    await assertRefused(rig, first, 'COMMAND_STALE', /only what failed may be tried again/);
    await assertInstalled(rig, second);
    await assertRefused(rig, first, 'COMMAND_STALE', /came before/);
    const renamed = JSON.stringify({ ...(JSON.parse(second) as object), id: 'again', not_before: 5 });
    await assertRefused(rig, renamed, 'COMMAND_STALE', /only what failed/);
    await rig.restart();
    await assertRefused(rig, second, 'COMMAND_STALE', /only what failed/);
    assert.equal(activeIn(rig, 'one'), '2');
  });

  test('replayed to another gateway, or another product, it is refused', async () => {
    const rig = await openRig();
    const elsewhere = await sign(installing('one.v1'), { to: { product: 'p1', serial: 'gw-other' } });
    await assertRefused(rig, elsewhere, 'COMMAND_UNTRUSTED', /is not what 'boss' signed for this device/);
    const product = await sign(installing('one.v1'), { to: { product: 'p2' } });
    await assertRefused(rig, product, 'COMMAND_UNTRUSTED', /signed for this product/);
    const widened = elsewhere.replace('"for":"device"', '"for":"product"');
    await assertRefused(rig, widened, 'COMMAND_UNTRUSTED', /signed for this product/);
  });

  test('waves are not signed, not stopped: the command of a rollout is taken by each gateway that it is shown to', async () => {
    const [first, second] = [await openRig(), await openRig()];
    const text = await sign({ ...installing('one.v1'), id: 'r1.1' });
    await assertInstalled(first, text);
    await assertInstalled(second, text);
    await assertRefused(second, text, 'COMMAND_STALE', /only what failed/);
  });

  test('the counters of two signers are two: an older one of another signer is carried out', async () => {
    const rig = await openRig();
    const older = await sign(installing('one.v1'), { by: people.deputy });
    await assertInstalled(rig, await sign(installing('two.v1')));
    await assertInstalled(rig, older);
    await assertRefused(rig, older, 'COMMAND_STALE', /only what failed/);
    const { signed } = JSON.parse(await sign(installing('one.v1'))) as { signed: { by: string } };
    const claimed = older.replace(/"by":"[0-9a-f]+"/, `"by":"${signed.by}"`);
    await assertRefused(rig, claimed, 'COMMAND_UNTRUSTED', /is not what 'boss' signed/);
  });

  test('past its until a command is refused, by the clock or by the latest time that is certain', async () => {
    const rig = await openRig();
    const text = await sign(installing('one.v1'), { untilS: nowS() + 3600 });
    rig.runCycle(3_700_000);
    await assertRefused(rig, text, 'COMMAND_STALE', /was to be carried out before/);
    assert.equal(activeIn(rig, 'one'), '');
  });

  test('one that was put off beyond its until is not installed then', async () => {
    const rig = await openRig();
    const text = await sign(installing('one.v1'), { untilS: nowS() + 7200 });
    const put = JSON.stringify({ ...(JSON.parse(text) as object), not_before: nowS() + 3600 });
    assert.equal((await send(rig, put))[0]?.outcome, 'waiting');
    rig.runCycle(3 * 3_600_000);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([(await rig.told()).at(-1)?.code, activeIn(rig, 'one')], ['COMMAND_STALE', '']);
  });

  test('put off within it, it is installed in its time, without the platform', async () => {
    const rig = await openRig();
    const text = await sign(installing('one.v1'));
    const put = JSON.stringify({ ...(JSON.parse(text) as object), id: 'r1.1', not_before: nowS() + 3600 });
    assert.equal((await send(rig, put))[0]?.outcome, 'waiting');
    rig.runCycle(2 * 3_600_000);
    rig.setFault((_request, response) => {
      response.destroy();
      return true;
    });
    assert.match((await rig.checkIn()) ?? '', /./);
    rig.setFault(undefined);
    assert.equal(activeIn(rig, 'one'), '1');
  });

  test('a key that was revoked in between commands nothing any more', async () => {
    const rig = await openRig();
    const text = await sign(installing('one.v1'));
    const put = JSON.stringify({ ...(JSON.parse(text) as object), not_before: nowS() + 3600 });
    assert.equal((await send(rig, put))[0]?.outcome, 'waiting');
    distrust(rig, 'boss');
    rig.runCycle(2 * 3_600_000);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([(await rig.told()).at(-1)?.code, activeIn(rig, 'one')], ['COMMAND_UNTRUSTED', '']);
    await assertRefused(rig, await sign(installing('one.v1')), 'COMMAND_UNTRUSTED', /unknown key/);
  });

  test('a command that is refused takes nothing’s place: what waits for its time goes on', async () => {
    const rig = await openRig();
    const text = await sign(installing('one.v1'));
    const put = JSON.stringify({ ...(JSON.parse(text) as object), not_before: nowS() + 3600 });
    assert.equal((await send(rig, put))[0]?.outcome, 'waiting');
    await assertRefused(rig, JSON.stringify(installing('two.v1')), 'COMMAND_UNTRUSTED', /it is not signed/);
    rig.runCycle(2 * 3_600_000);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([activeIn(rig, 'one'), activeIn(rig, 'two')], ['1', '']);
  });

  test('what failed may be tried again while its until holds, and what has worked may not', async () => {
    const rig = await openRig({ updateIntervalS: 1 });
    const text = await sign(installing('bad.v1'), { untilS: nowS() + 3600 });
    assert.equal((await send(rig, text))[0]?.code, 'INSTALL_FAILED');
    rig.runCycle(120_000);
    assert.equal((await send(rig, text))[0]?.code, 'INSTALL_FAILED', 'it is a retry');
    rig.runCycle(4_000_000);
    await assertRefused(rig, text, 'COMMAND_STALE', /was to be carried out before/);
  });

  test('a gateway that has lost its counters takes only what ends within a day', async () => {
    const rig = await openRig();
    const [long, short] = [
      await sign(installing('one.v1'), { untilS: nowS() + 2 * DAY_S }),
      await sign(installing('one.v1')),
    ];
    await assertRefused(rig, long, 'COMMAND_STALE', /has no counters/);
    await assertInstalled(rig, short);
    await assertInstalled(rig, await sign(installing('one.v2'), { untilS: nowS() + 2 * DAY_S }));
    const file = rig.context.layout.commandCounters;
    writeFileSync(file, 'rubbish');
    await assertRefused(rig, short, 'COMMAND_STALE', /came before/);
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).version, 1, 'it is put right');
    for (const path of [file, copyPath(file)]) writeFileSync(path, 'rubbish');
    await assertRefused(rig, long, 'COMMAND_STALE', /has no counters/);
  });

  test('after such a loss, what another signer had signed before it is taken within a day alone as well', async () => {
    const rig = await openRig();
    const week = { by: people.deputy, untilS: nowS() + 7 * DAY_S };
    await assertInstalled(rig, await sign(installing('one.v1')));
    const old = await sign(installing('two.v1'), { ...week, counter: Date.now() + 1000 });
    await assertInstalled(rig, old);
    const file = rig.context.layout.commandCounters;
    for (const path of [file, copyPath(file)]) rmSync(path);
    rig.runCycle(60_000);
    await assertInstalled(rig, await sign(installing('one.v2')));
    await assertRefused(rig, old, 'COMMAND_STALE', /has no counters of this signer.*within a day/);
    await assertRefused(rig, old, 'COMMAND_STALE', /has no counters of this signer/);
    const since = { ...week, counter: Date.now() + 120_000 };
    await assertInstalled(rig, await sign(installing('two.v2'), since));
  });

  test('on a disk that was restored as it was before, what is past its until stays refused', async () => {
    const rig = await openRig();
    const state = join(rig.root, 'var/lib/gwe');
    const kept = join(rig.root, 'kept');
    await assertInstalled(rig, await sign(installing('two.v1')));
    cpSync(state, kept, { recursive: true });
    const old = await sign(installing('one.v1'), { untilS: nowS() + 3600 });
    await assertInstalled(rig, old);
    await assertInstalled(rig, await sign(installing('one.v2')));
    rig.runCycle(2 * 3_600_000);
    rmSync(state, { recursive: true });
    cpSync(kept, state, { recursive: true });
    await rig.restart();
    await assertRefused(rig, old, 'COMMAND_STALE', /was to be carried out before/);
  });

  test('device_info shows the highest counter of each signer', async () => {
    const rig = await openRig();
    const counter = people.nextCounter();
    const text = await sign(installing('one.v1'), { counter });
    const { by } = (JSON.parse(text) as { signed: { by: string } }).signed;
    await assertInstalled(rig, text);
    assert.equal(await rig.checkIn(), undefined);
    const info = JSON.parse((await platform.read('p1', rig.serial, 'device_info')) ?? '{}') as Record<
      string,
      unknown
    >;
    assert.deepEqual(info.signed_commands, { [by]: counter });
  });

  test('without the setting a signature means nothing: no counter is kept, and no report is larger', async () => {
    const rig = await createCheckInRig(platform, 'gw-plain', { httpTimeoutS: 30 });
    rigs.push(rig);
    const [report] = await send(
      rig,
      await sign(installing('one.v1'), { by: newKey(), untilS: nowS() + 9 * DAY_S }),
    );
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.ok(!existsSync(rig.context.layout.commandCounters));
    assert.equal(await rig.checkIn(), undefined);
    assert.doesNotMatch((await platform.read('p1', rig.serial, 'device_info')) ?? '', /signed_commands/);
  });
});
