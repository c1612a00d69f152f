/** A supervisord that is not there, goes away in the middle, and comes back. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitForReports, waitUntil } from '../../../helpers/reports.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

function app(installScript = INSTALL_OK, command = 'sleep 1000'): Buffer {
  return makeTarball({
    'install.sh': installScript,
    'supervisor.conf': `[supervisord]\ncommand = ${command}\n`,
  });
}

describe('supervisord', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const daemons: Supervisord[] = [];
  let serial = 0;

  async function startAgent(settings = {}): Promise<Gateway> {
    const gateway = await createGateway(platform, {
      serial: `gw-${++serial}`,
      settings: { settle_time: 0, max_supervisor_rpc_attempts: 2, ...settings },
    });
    gateways.push(gateway);
    gateway.start();
    return gateway;
  }

  async function startDaemon(gateway: Gateway): Promise<Supervisord> {
    const daemon = await startSupervisord(gateway.root);
    daemons.push(daemon);
    return daemon;
  }

  /** Makes install.sh wait until the test has done something; called with what it has to do. */
  async function duringInstall(gateway: Gateway, id: string, act: () => Promise<void>): Promise<void> {
    const script = '#!/bin/sh\ntouch "$HOME/began"\nwhile [ ! -e "$HOME/go" ]; do sleep 0.05; done\n';
    await platform.putContent('p1', id, app(script));
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand(id));
    await waitUntil(gateway, 'install.sh', 30_000, () => existsSync(join(gateway.root, 'began')));
    await act();
    writeFileSync(join(gateway.root, 'go'), '');
  }

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'app.v1.tar.gz', app());
    await platform.putContent('p1', 'app.v2.tar.gz', app());
    await platform.putContent('p1', 'app.v3.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await platform.close();
  });

  test('without supervisord nothing is changed and the report says why; once it is there the same command works', async () => {
    const gateway = await startAgent();
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.deepEqual([report?.outcome, report?.code], ['failed-no-change', 'SUPERVISOR_UNREACHABLE']);
    assert.match(
      String(report?.reason),
      /cannot reach supervisord at '.*supervisor\.sock'.*expected it to run/,
    );
    assert.equal(gateway.active('app'), undefined);
    const daemon = await startDaemon(gateway);
    const [again] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(again?.outcome, 'installed', JSON.stringify(again));
    assert.equal((await daemon.processInfo('app'))?.statename, 'RUNNING');
  });

  test('a one-off in the place of a program is not begun while supervisord is away: it could not stop the program', async () => {
    const gateway = await startAgent();
    const daemon = await startDaemon(gateway);
    const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(first?.outcome, 'installed', JSON.stringify(first));
    await daemon.stop();
    const [report] = await sendCommand(platform, gateway, installCommand('app.v3.tar.gz'));
    assert.deepEqual([report?.outcome, report?.code], ['failed-no-change', 'SUPERVISOR_UNREACHABLE']);
    assert.match(gateway.active('app') ?? '', /^1-/);
  });

  test('one that goes away during install.sh and comes back runs the new version', async () => {
    const gateway = await startAgent({ max_supervisor_rpc_attempts: 20 });
    const daemon = await startDaemon(gateway);
    let second: Promise<Supervisord> | undefined;
    await duringInstall(gateway, 'app.v4.tar.gz', async () => {
      await daemon.stop();
      second = startDaemon(gateway);
      await second;
    });
    const [report] = await waitForReports(platform, gateway, 1, 40_000);
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.equal((await (await second)?.processInfo('app'))?.statename, 'RUNNING');
  });

  test('one that goes away in mid-activation and stays away: the version before is active and starts with it', async () => {
    const gateway = await startAgent({ start_deadline: 3 });
    const daemon = await startDaemon(gateway);
    const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(first?.outcome, 'installed', JSON.stringify(first));
    const entry = readFileSync(join(daemon.confDirectory, 'app.conf'), 'utf8');
    await duringInstall(gateway, 'app.v5.tar.gz', () => daemon.stop());
    const reports = await waitForReports(platform, gateway, 2, 40_000);
    const report = reports[1];
    assert.deepEqual([report?.status, report?.active], ['failure', '1'], JSON.stringify(report));
    assert.match(`${report?.reason} ${report?.rollback}`, /cannot reach supervisord/);
    assert.match(gateway.active('app') ?? '', /^1-/);
    assert.equal(readFileSync(join(daemon.confDirectory, 'app.conf'), 'utf8'), entry);
    assert.equal(gateway.isRunning(), true);
    const back = await startDaemon(gateway);
    await waitUntil(
      gateway,
      'program',
      10_000,
      async () => (await back.processInfo('app'))?.statename === 'RUNNING',
    );
    const [next] = await sendCommand(platform, gateway, installCommand('app.v2.tar.gz'));
    assert.equal(next?.outcome, 'installed', JSON.stringify(next));
  });

  test('an older install.sh that fails in the rollback does not keep its program from running', async () => {
    const gateway = await startAgent();
    const daemon = await startDaemon(gateway);
    const onceOnly = '#!/bin/sh\nmkdir "$HOME/only-once"\n';
    await platform.putContent('p1', 'app.v6.tar.gz', app(onceOnly));
    await platform.putContent('p1', 'app.v7.tar.gz', app(INSTALL_OK, '/bin/false\nstartretries = 0'));
    const reports = await sendCommand(platform, gateway, installCommand('app.v6.tar.gz', 'app.v7.tar.gz'), 2);
    const facts = [reports[1]?.outcome, reports[1]?.active];
    assert.deepEqual(facts, ['rollback-failed', '6'], JSON.stringify(reports));
    assert.match(String(reports[1]?.rollback), /install\.sh exited with status 1/);
    assert.equal((await daemon.processInfo('app'))?.statename, 'RUNNING');
    assert.match(readFileSync(join(daemon.confDirectory, 'app.conf'), 'utf8'), /command = sleep 1000/);
  });
});
