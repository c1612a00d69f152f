/** An install.sh during which the gateway goes down: by its own wish, or by a power cut. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { bootId } from '../../../src/base/process.ts';
import { createGateway, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { installCommand, sendCommand, waitForReports, waitUntil } from '../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

describe('a gateway that goes down while install.sh runs', { concurrency: 3 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  });
  after(async () => {
    for (const gateway of gateways) await gateway.remove();
    await platform.close();
  });

  async function startWithOne(t: TestContext, version: string, script: string): Promise<Gateway> {
    const gateway = await createGateway(platform, { serial: `gw-${version}` });
    gateways.push(gateway);
    t.after(() => gateway.stop());
    const runs = join(gateway.root, 'runs.log');
    const text = `#!/bin/sh\necho run >>'${runs}'\n${script.replaceAll('$ROOT', gateway.root)}\n`;
    await platform.putContent('p1', `app.v${version}.tar.gz`, makeTarball({ 'install.sh': text }));
    gateway.start();
    const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(first?.outcome, 'installed', JSON.stringify(first));
    return gateway;
  }

  /** Sends the command, ends gwe once the journal says `phase`, and makes what it wrote that of another boot. */
  async function goDown(gateway: Gateway, version: string, phase: RegExp): Promise<void> {
    const journal = join(gateway.root, 'var/lib/gwe/journal.json');
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand(`app.v${version}.tar.gz`));
    await waitUntil(gateway, `${phase}`, 30_000, () => phase.test(readFileSync(journal, 'utf8')));
    await gateway.kill();
    const text = readFileSync(journal, 'utf8');
    assert.match(text, phase);
    writeFileSync(journal, text.replaceAll(bootId(), 'the-boot-before'));
  }

  const runsOf = (gateway: Gateway): number =>
    readFileSync(join(gateway.root, 'runs.log'), 'utf8').split('\n').length - 1;

  test('a one-off whose install.sh did not come to its end may have done that: it counts as done', async (t) => {
    const gateway = await startWithOne(t, '2', 'sleep 60');
    await goDown(gateway, '2', /"version":"2".*"script":/);
    gateway.start();
    const [, report] = await waitForReports(platform, gateway, 2);
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.match(String(report?.notes), /install.sh rebooted the gateway: taken as done/);
    assert.equal(runsOf(gateway), 1);
  });

  test('a one-off whose install.sh had failed before is run again, not called installed', async (t) => {
    const gateway = await startWithOne(t, '3', 'exit 3');
    const journal = join(gateway.root, 'var/lib/gwe/journal.json');
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('app.v3.tar.gz'));
    await waitForReports(platform, gateway, 2);
    await gateway.kill();
    // As the power leaves it between the end of the script and the next state.
    const ended = JSON.parse(readFileSync(journal, 'utf8'));
    assert.deepEqual([ended.transaction.exitCode, ended.transaction.script.pid > 0], [3, true]);
    const { failure: _, endedAtMs: __, ...transaction } = ended.transaction;
    const cut = { ...transaction, state: 'installing', closed: false };
    writeFileSync(
      journal,
      JSON.stringify({ ...ended, transaction: cut }).replaceAll(bootId(), 'the-boot-before'),
    );
    assert.equal(existsSync(join(gateway.root, 'opt/gwe/apps/app/current')), true);
    gateway.start();
    await waitUntil(
      gateway,
      'the end',
      30_000,
      () => JSON.parse(readFileSync(journal, 'utf8')).transaction.closed,
    );
    assert.equal(JSON.parse(readFileSync(journal, 'utf8')).transaction.state, 'rolled-back', gateway.log());
    assert.equal(runsOf(gateway), 2);
  });
});
