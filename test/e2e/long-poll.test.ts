/** The executable between check-ins: awake in long polls or asleep in a shell, as the setting has it, and back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

describe('gwe with an interval of 4 hours', () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform({ tls: true });
    gateway = await createGateway(platform, { command: [EXECUTABLE], settings: { long_poll: 'on' } });
    gateway.gwe('--set-ca-file', platform.caFile ?? '');
    gateway.gwe('--set', 'update_interval=14400');
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  const isAsleep = (): boolean => readFileSync(`/proc/${gateway.pid()}/comm`, 'latin1').trim() === 'sh';
  const isPolling = (): boolean => gateway.gwe('status').stdout.includes('or when a command is written');
  const update = async (version: number): Promise<void> => {
    const id = `app.v${version}.tar.gz`;
    await platform.putContent('p1', id, makeTarball({ 'install.sh': INSTALL_OK }));
    const report = await gateway.command(platform, JSON.stringify({ install: [{ name: id }] }), 90_000);
    assert.equal(report.outcome, 'installed');
  };

  test('stays awake with long polls, and carries out what is commanded', async () => {
    await until(isPolling);
    await update(1);
    await until(isPolling);
    assert.ok(!isAsleep());
  });

  test('goes to sleep without them, and gets up to begin with them', async () => {
    assert.equal(gateway.gwe('--set', 'long_poll=off').status, 0);
    process.kill(gateway.pid(), 'SIGHUP');
    await until(isAsleep);
    assert.ok(!isPolling());
    gateway.gwe('--set', 'long_poll=on');
    process.kill(gateway.pid(), 'SIGHUP');
    await until(isPolling);
    await update(2);
    assert.ok(!isAsleep());
    assert.equal(await gateway.stop(), 0);
  });
});
