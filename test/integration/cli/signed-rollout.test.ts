/** A signed command on its way through platform and fleet server, from the command line to a gateway that wants one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import type { CheckInRig } from '../../helpers/check-in-rig.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { activeIn, createPeople, createSignedRig, ranOn } from '../../helpers/signed-rig.ts';

const people = createPeople();

describe('a signed command from the command line', () => {
  let platform: TestPlatform;
  let rig: CheckInRig;
  let home: string;

  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'gwe-signed-'));
    writeFileSync(join(home, 'boss.key'), people.boss.privateKey, { mode: 0o600 });
    platform = await startPlatform();
    writeFileSync(join(home, 'token'), platform.token);
    for (const version of ['1', '2', '3']) await people.put(platform, 'one', version);
    await people.put(platform, 'one', '4', 1);
    rig = await createSignedRig(platform, 'gw-1', people);
    // What the fleet server knows of it comes with its reports.
    assert.equal(await rig.checkIn(), undefined);
  });
  after(async () => {
    await rig.close();
    await platform.close();
    rmSync(home, { recursive: true });
  });

  const gwe = async (...words: string[]): Promise<string> => {
    const place = ['--url', platform.url, '--token-file', join(home, 'token')];
    return (await runPlatformCli([...words, ...place])).stdout;
  };
  const signing = (): string[] => ['--sign-key', join(home, 'boss.key'), '--until', '20h'];
  const isRefusal =
    (words: RegExp) =>
    (error: unknown): boolean =>
      error instanceof GweError && error.code === 'PROTOCOL_REFUSED' && words.test(error.message);
  const startOf = async (artifact: string, ...more: string[]): Promise<string> => {
    const start = ['fleet', 'rollout', 'start', 'p1', artifact, '--waves', '100%', '--soak', '0', '--json'];
    return String(JSON.parse(await gwe(...start, ...more)).id);
  };
  const stateOf = async (id: string): Promise<string> =>
    String(JSON.parse(await gwe('fleet', 'rollout', 'show', 'p1', id, '--json')).state);
  let signedRollout = '';
  const COMMAND = '{"install":[{"name":"one.v1.tar.gz"}]}';

  test('is written for one gateway, and carried out there', async () => {
    await gwe('platform', 'write', 'p1', 'gw-1', 'engine_fetch', COMMAND);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([(await rig.told()).at(-1)?.code, activeIn(rig, 'one')], ['COMMAND_UNTRUSTED', '']);
    await gwe('platform', 'write', 'p1', 'gw-1', 'engine_fetch', COMMAND, ...signing());
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(activeIn(rig, 'one'), '1');
  });

  test('is signed at the start of a rollout, which the server passes on', async () => {
    signedRollout = await startOf('one.v2.tar.gz', ...signing());
    for (let passes = 0; passes < 3 && activeIn(rig, 'one') !== '2'; passes++)
      assert.equal(await rig.checkIn(), undefined);
    assert.equal(activeIn(rig, 'one'), '2', rig.log().slice(-2000));
    assert.equal(await rig.checkIn(), undefined);
  });

  test('its undo is refused without a signature, before anything is ended, and says how', async () => {
    const state = await stateOf(signedRollout);
    const undo = gwe('fleet', 'rollout', 'undo', 'p1', signedRollout);
    await assert.rejects(
      undo,
      isRefusal(/back to one\.v1\.tar\.gz is not.*gwe fleet rollout undo p1 \w+ --sign-key FILE/),
    );
    assert.equal(await stateOf(signedRollout), state);
  });

  test('its signed undo is taken by the gateway, and once more undone there is nothing to do', async () => {
    await gwe('fleet', 'rollout', 'undo', 'p1', signedRollout, '--sign-key', join(home, 'boss.key'));
    for (let passes = 0; passes < 3 && activeIn(rig, 'one') !== '1'; passes++)
      assert.equal(await rig.checkIn(), undefined);
    assert.equal(activeIn(rig, 'one'), '1', rig.log().slice(-2000));
    assert.equal(await rig.checkIn(), undefined);
    assert.match(await gwe('fleet', 'rollout', 'undo', 'p1', signedRollout), /no gateway has it/);
    await startOf('one.v2.tar.gz', ...signing());
    for (let passes = 0; passes < 3 && activeIn(rig, 'one') !== '2'; passes++)
      assert.equal(await rig.checkIn(), undefined);
    assert.equal(activeIn(rig, 'one'), '2', rig.log().slice(-2000));
  });

  test('where it failed it is tried again with the same signature, as long as that lasts', async () => {
    const id = await startOf('one.v4.tar.gz', ...signing(), '--retries', '0');
    const runs = (): number => ranOn(rig).filter((one) => one === 'one 4').length;
    for (let passes = 0; passes < 3 && runs() === 0; passes++) assert.equal(await rig.checkIn(), undefined);
    assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([runs(), activeIn(rig, 'one')], [1, '2']);
    await gwe('fleet', 'rollout', 'retry', 'p1', id);
    for (let passes = 0; passes < 3 && runs() === 1; passes++) assert.equal(await rig.checkIn(), undefined);
    assert.equal(runs(), 2, rig.log().slice(-2000));
    assert.equal(await rig.checkIn(), undefined);
    await gwe('fleet', 'rollout', 'abort', 'p1', id);
  });

  test('without a signature a rollout is refused by the gateway, and says so', async () => {
    const start = ['fleet', 'rollout', 'start', 'p1', 'one.v3.tar.gz', '--waves', '100%', '--soak', '0'];
    await gwe(...start);
    for (let passes = 0; passes < 3 && (await rig.told()).at(-1)?.code !== 'COMMAND_UNTRUSTED'; passes++)
      assert.equal(await rig.checkIn(), undefined);
    assert.deepEqual([(await rig.told()).at(-1)?.code, activeIn(rig, 'one')], ['COMMAND_UNTRUSTED', '2']);
  });

  test('a rollout is signed only with the time that it has, and no other alias is', async () => {
    const isUsage = (error: unknown): boolean => error instanceof GweError && error.code.startsWith('USAGE_');
    const key = ['--sign-key', join(home, 'boss.key')];
    await assert.rejects(gwe('fleet', 'rollout', 'start', 'p1', 'one.v3.tar.gz', ...key), isUsage);
    await assert.rejects(gwe('platform', 'write', 'p1', 'gw-1', 'update_interval', '5', ...key), isUsage);
    const program = ['--sign-cmd', 'false'];
    await assert.rejects(gwe('fleet', 'rollout', 'undo', 'p1', signedRollout, ...program), isUsage);
  });
});
