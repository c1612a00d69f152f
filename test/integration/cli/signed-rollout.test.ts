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
import { activeIn, createPeople, createSignedRig } from '../../helpers/signed-rig.ts';

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
    const start = ['fleet', 'rollout', 'start', 'p1', 'one.v2.tar.gz', '--waves', '100%', '--soak', '0'];
    await gwe(...start, ...signing());
    for (let passes = 0; passes < 3 && activeIn(rig, 'one') !== '2'; passes++)
      assert.equal(await rig.checkIn(), undefined);
    assert.equal(activeIn(rig, 'one'), '2', rig.log().slice(-2000));
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
  });
});
