/**
 * A version that is bad on two of three gateways: rolled out, found, held, and undone, by the commands that an operator
 * types. The agents and their supervisords are real, and the gateways are looked at only to hold it against them.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

const SERIALS = ['gw-1', 'gw-2', 'gw-3'];
const BAD = ['gw-2', 'gw-3'];

/** Its install.sh fails on a gateway with the file `bad`, for a version above 1. */
function hello(version: string): Buffer {
  const check = `if [ -e "$HOME/bad" ] && [ ${version} != 1 ]; then echo "cannot open /dev/ttyS9" >&2; exit 3; fi`;
  return makeTarball({
    'install.sh': `#!/bin/sh\n${check}\nexit 0\n`,
    'bin/run': '#!/bin/sh\nexec sleep 1000\n',
    'supervisor.conf': '[supervisord]\ncommand = ./bin/run\nstartsecs = 1\nstartretries = 1\n',
  });
}

describe('a fleet of three gateways', () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const daemons: Supervisord[] = [];

  async function fleet(...words: string[]): Promise<string> {
    const options = ['--url', platform.url, '--token-file', join(platform.directory, 'token')];
    const { stdout } = await promisify(execFile)(EXECUTABLE, ['fleet', ...words, ...options]);
    return stdout;
  }
  const json = async (...words: string[]) => JSON.parse(await fleet(...words, '--json'));

  async function untilState(id: string, state: string): Promise<void> {
    let shown = '';
    await until(async () => {
      shown = await fleet('rollout', 'show', 'p1', id);
      return shown.includes(`  ${state}, wave`);
    }).catch((error: unknown) => {
      const logs = gateways.map((gateway) => gateway.log()).join('\n');
      throw new Error(`rollout ${id} is not ${state} (${String(error)}):\n${shown}\n${logs}`);
    });
  }

  before(async () => {
    platform = await startPlatform();
    writeFileSync(join(platform.directory, 'token'), platform.token, { mode: 0o600 });
    for (const serial of SERIALS) {
      const gateway = await createGateway(platform, {
        serial,
        settings: { watch_window: 0 },
        command: [EXECUTABLE],
      });
      if (BAD.includes(serial)) writeFileSync(join(gateway.root, 'bad'), '');
      daemons.push(await startSupervisord(gateway.root));
      gateway.start();
      gateways.push(gateway);
    }
    for (const version of ['1', '2'])
      await platform.putContent('p1', `hello.v${version}.tar.gz`, hello(version));
    await until(async () => (await json('status', 'p1')).neverSeen === 0);
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await platform.close();
  });

  test('a good version reaches all of them, wave by wave', async () => {
    const plan = await fleet('rollout', 'plan', 'p1', 'hello.v1.tar.gz', '--waves', '1,100%');
    assert.match(plan, /^3 gateways in waves of 1, 2, about /m);
    const { id } = await json(
      'rollout',
      'start',
      'p1',
      'hello.v1.tar.gz',
      '--waves',
      '1,100%',
      '--soak',
      '0',
    );
    await untilState(id, 'done');
    assert.match(await fleet('status', 'p1'), /^hello: 1 on 3$/m);
    for (const gateway of gateways) assert.match(gateway.active('hello') ?? '', /^1-/);
    const again = await fleet('rollout', 'plan', 'p1', 'hello.v1.tar.gz');
    assert.match(again, /^not 3: there already/m);
  });

  test('a version that two of them cannot install is found, held, and undone', async () => {
    const { id } = await json('rollout', 'start', 'p1', 'hello.v2.tar.gz', '--waves', '100%', '--soak', '0');
    await untilState(id, 'held');
    const status = await fleet('status', 'p1');
    assert.match(status, new RegExp(`^rollout ${id} .hello 2. is held: wave 1: `, 'm'));
    for (const serial of BAD)
      assert.match(status, new RegExp(`^${serial}: app hello: last update rolled-back`, 'm'));
    const shown = await fleet('rollout', 'show', 'p1', id);
    assert.match(shown, /^2 INSTALL_FAILED: .*\(gw-2, gw-3\)$/m);
    assert.match(shown, /^wave 1: 1 succeeded, 2 failed$/m);
    const undone = await json('rollout', 'undo', 'p1', id);
    assert.deepEqual([undone.rollouts.length, undone.unknown], [1, []]);
    await untilState(undone.rollouts[0].id, 'done');
    assert.match(await fleet('status', 'p1'), /^hello: 1 on 3$/m);
    for (const gateway of gateways) assert.match(gateway.active('hello') ?? '', /^1-/);
    const events = await fleet('event', 'tail', 'p1', '--serial', 'gw-2');
    assert.match(events, /update hello 2 +rolled-back: INSTALL_FAILED/);
  });

  test('a filter chooses gateways by what they run, and one that is wrong is refused with its place', async () => {
    const wrong = fleet('device', 'list', 'p1', '--filter', 'app.hello<');
    await assert.rejects(wrong, /at character 11: found the end, expected a version/);
    const found = await fleet('device', 'list', 'p1', '--filter', 'app.hello<2 and not silent');
    for (const serial of SERIALS)
      assert.match(found, new RegExp(`^${serial} +activated +\\S+ \\S+ +gwe \\S+, hello 1`, 'm'));
  });
});
