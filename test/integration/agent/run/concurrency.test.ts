import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCommandLine } from '../../../helpers/command-line.ts';
import { createGateway, FROM_SOURCE, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

function oneOff(script: string): Buffer {
  return makeTarball({ 'install.sh': { content: `#!/bin/sh\n${script}\n`, mode: 0o755 } });
}

describe('several at once on one root', () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    gateway.start();
    await until(async () => (await platform.read('p1', 'gw-1', 'engine_report')) !== undefined);
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  test('a second agent says who runs, ends with status 3, and the first goes on', async () => {
    const { status, stderr } = gateway.gwe();
    assert.equal(status, 3, stderr);
    assert.match(stderr, /another gwe \(process \d+\) runs on root/);
    assert.ok(gateway.isRunning());
  });

  test('the lock of an agent that was killed does not stand in the way of the next', async () => {
    await gateway.kill();
    assert.ok(existsSync(join(gateway.root, 'run/gwe/agent.lock')));
    gateway.start();
    await platform.putContent('p1', 'a.v1.tar.gz', oneOff('exit 0'));
    const report = await gateway.command(platform, '{"install":[{"name":"a.v1.tar.gz"}]}');
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
  });

  test('a command of the platform waits for an install on the command line, and both are done once', async () => {
    const runs = join(gateway.root, 'runs');
    const go = join(gateway.root, 'go');
    const line = createCommandLine();
    const local = line.file(
      'local.v1.tar.gz',
      oneOff(`echo local >> ${runs}; while [ ! -e ${go} ]; do sleep 0.1; done`),
    );
    await platform.putContent('p1', 'remote.v1.tar.gz', oneOff(`echo remote >> ${runs}`));
    const [program = '', ...first] = FROM_SOURCE;
    const env = { PATH: process.env.PATH ?? '', HOME: gateway.root, GWE_ROOT: gateway.root };
    const installing = spawn(program, [...first, '-I', local], { env, stdio: 'ignore' });
    const installed = once(installing, 'exit');
    await until(() => existsSync(runs));
    const reported = gateway.command(platform, '{"install":[{"name":"remote.v1.tar.gz"}]}', 40_000);
    await until(() => gateway.log().includes('update.waiting'));
    assert.equal(readFileSync(runs, 'utf8'), 'local\n', 'the second waits');
    writeFileSync(go, '');
    assert.deepEqual(await installed, [0, null]);
    const report = await reported;
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    await until(() => readFileSync(runs, 'utf8') === 'local\nremote\n');
    assert.doesNotMatch(gateway.log(), /checkin\.failed/, 'waiting is no failed check-in');
    line.remove();
  });
});
