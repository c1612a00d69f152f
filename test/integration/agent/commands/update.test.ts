import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

const INSTALL = { content: '#!/bin/sh\necho installing $GWE_APP_VERSION\n', mode: 0o755 };

function app(version: string, command = 'sleep 1000'): Buffer {
  return makeTarball({
    'install.sh': INSTALL,
    'supervisor.conf': `[supervisord]\ncommand = ${command}\nstartretries = 1\n`,
    VERSION: version,
  });
}

function install(...names: string[]): string {
  return JSON.stringify({ install: names.map((name) => ({ name })) });
}

describe('an agent with a real supervisord', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    supervisord = await startSupervisord(gateway.root);
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });

  test('activates, reports, and installs what it is told to', async () => {
    await platform.putContent('p1', 'one.v1.tar.gz', app('1'));
    const report = await gateway.command(platform, install('one.v1.tar.gz'));
    assert.equal(report.status, 'success', JSON.stringify(report));
    assert.equal(report.outcome, 'installed');
    assert.match(String(report.info), /installing 1/);
    assert.match(gateway.active('one') ?? '', /^1-[0-9a-f]{8}$/);
    assert.equal((await supervisord.processInfo('one'))?.statename, 'RUNNING');
    assert.equal(await platform.read('p1', 'gw-1', 'engine_fetch'), '');
  });

  test('a second version takes the place of the first, and engine_report shows it', async () => {
    await platform.putContent('p1', 'one.v2.tar.gz', app('2'));
    const report = await gateway.command(platform, install('one.v2.tar.gz'));
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.equal(readFileSync(join(gateway.root, 'opt/gwe/apps/one/current/VERSION'), 'utf8'), '2');
    await until(
      async () => (await platform.read('p1', 'gw-1', 'engine_report'))?.includes('"version":"2"') === true,
    );
  });

  test('a version whose program dies at start is rolled back', async () => {
    await platform.putContent('p1', 'one.v3.tar.gz', app('3', '/bin/false'));
    const report = await gateway.command(platform, install('one.v3.tar.gz'), 60_000);
    assert.equal(report.outcome, 'rolled-back', JSON.stringify(report));
    assert.equal(report.active, '2');
    assert.match(gateway.active('one') ?? '', /^2-/);
    assert.equal((await supervisord.processInfo('one'))?.statename, 'RUNNING');
  });
});
