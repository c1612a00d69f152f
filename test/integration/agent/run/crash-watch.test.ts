import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

/** An app whose program runs `script`; the file `again` beside the root tells it to die. */
function app(version: string, script: string): Buffer {
  return makeTarball({
    'install.sh': { content: '#!/bin/sh\nexit 0\n', mode: 0o755 },
    'run.sh': { content: `#!/bin/sh\n${script}\n`, mode: 0o755 },
    'supervisor.conf': '[supervisord]\ncommand = ./run.sh\nstartretries = 1\n',
    VERSION: version,
  });
}

function install(name: string): string {
  return JSON.stringify({ install: [{ name }] });
}

async function outcomes(platform: TestPlatform): Promise<string[]> {
  const history = await platform.history('p1', 'gw-1', 'fetch_status');
  return history.map(({ value }) => (JSON.parse(value) as { outcome: string }).outcome);
}

describe('after an update has been accepted', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings: { settle_time: 0, watch_window: 60 } });
    supervisord = await startSupervisord(gateway.root);
    await platform.putContent('p1', 'one.v1.tar.gz', app('1', 'exec sleep 1000'));
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });

  test('a crash loop that begins within the watch window still goes back to the version before', async () => {
    await gateway.command(platform, install('one.v1.tar.gz'));
    const trigger = join(gateway.root, 'die');
    const script = `while [ ! -e ${trigger} ]; do sleep 0.2; done; sleep 1.2; exit 1`;
    await platform.putContent('p1', 'one.v2.tar.gz', app('2', script));
    const report = await gateway.command(platform, install('one.v2.tar.gz'));
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    writeFileSync(trigger, '');
    await until(async () => (await outcomes(platform))[0] === 'rolled-back');
    assert.match(gateway.active('one') ?? '', /^1-/);
    assert.equal((await supervisord.processInfo('one'))?.statename, 'RUNNING');
    const listed = JSON.parse((await platform.read('p1', 'gw-1', 'engine_report')) ?? '{}') as {
      apps: unknown[];
    };
    assert.ok(JSON.stringify(listed.apps).includes('"one":{"version":"1"'), JSON.stringify(listed));
  });

  test('a lease of the app puts the update off until it expires, and the report says so', async () => {
    const leases = join(gateway.root, 'run/gwe/leases');
    mkdirSync(leases, { recursive: true });
    const expires = Math.ceil(Date.now() / 1000) + 4;
    writeFileSync(
      join(leases, 'one.json'),
      JSON.stringify({ owner: 'one', reason: 'a batch is running', expires }),
    );
    await platform.putContent('p1', 'one.v3.tar.gz', app('3', 'exec sleep 1000'));
    const report = await gateway.command(platform, install('one.v3.tar.gz'));
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.ok(Date.now() / 1000 >= expires, 'it waited');
    assert.match(JSON.stringify(report.notes), /postponed by one \(a batch is running\)/);
  });
});
