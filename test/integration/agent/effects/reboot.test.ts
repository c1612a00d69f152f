/** An install.sh during which the gateway goes down: by its own wish, or by a power cut. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { bootId } from '../../../../src/base/process.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitForReports, waitUntil } from '../../../helpers/reports.ts';
import { startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

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

  async function startWithOne(
    t: TestContext,
    version: string,
    script: string,
    program?: string,
  ): Promise<Gateway> {
    const gateway = await createGateway(platform, { serial: `gw-${version}` });
    gateways.push(gateway);
    t.after(() => gateway.stop());
    const runs = join(gateway.root, 'runs.log');
    const files = program === undefined ? {} : { 'supervisor.conf': program };
    if (program !== undefined) {
      const supervisord = await startSupervisord(gateway.root);
      t.after(() => supervisord.stop());
    }
    const text = `#!/bin/sh\necho run >>'${runs}'\n${script.replaceAll('$ROOT', gateway.root)}\n`;
    await platform.putContent('p1', `app.v${version}.tar.gz`, makeTarball({ 'install.sh': text, ...files }));
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
    // The journal knows of it before it begins.
    await waitUntil(gateway, 'its first line', 30_000, () => existsSync(join(gateway.root, 'runs.log')));
    await loseBoot(gateway, phase);
  }

  async function loseBoot(gateway: Gateway, phase: RegExp): Promise<void> {
    const journal = join(gateway.root, 'var/lib/gwe/journal.json');
    await gateway.kill();
    const text = readFileSync(journal, 'utf8');
    assert.match(text, phase);
    writeFileSync(journal, text.replaceAll(bootId(), 'the-boot-before'));
  }

  test('one of a program is run twice at most, and then the program shows whether it works', async (t) => {
    const program = '[supervisord]\ncommand = /bin/sleep 1000\n';
    const gateway = await startWithOne(t, '4', 'sleep 60', program);
    await goDown(gateway, '4', /"version":"4".*"runs":1/);
    gateway.start();
    await waitUntil(gateway, 'the second run', 30_000, () => runsOf(gateway) === 2);
    await loseBoot(gateway, /"version":"4".*"runs":2/);
    gateway.start();
    const [, report] = await waitForReports(platform, gateway, 2);
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.match(String(report?.notes), /install\.sh rebooted the gateway 2 times: counted as done/);
    assert.equal(runsOf(gateway), 2);
  });

  test('one that ended before the gateway went down is not run again: its status is on the disk', async (t) => {
    const gateway = await startWithOne(t, '5', 'kill -9 $(cat $ROOT/pid); echo done; exit 0');
    writeFileSync(join(gateway.root, 'pid'), `${gateway.pid()}`);
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('app.v5.tar.gz'));
    await waitUntil(gateway, 'its end', 30_000, () => !gateway.isRunning());
    const status = /"id":"([0-9a-f]{12})"/.exec(
      readFileSync(join(gateway.root, 'var/lib/gwe/journal.json'), 'utf8'),
    );
    const path = join(gateway.root, 'var/lib/gwe/scripts', status?.[1] ?? '', 'status');
    await waitUntil(gateway, 'its status', 30_000, () => readFileSync(path, 'utf8').startsWith('0\n'));
    await loseBoot(gateway, /"version":"5"/);
    gateway.start();
    const [, report] = await waitForReports(platform, gateway, 2);
    assert.deepEqual([report?.outcome, report?.exitcode, report?.info], ['installed', 0, 'done\n']);
    assert.equal(runsOf(gateway), 1);
  });

  const runsOf = (gateway: Gateway): number =>
    readFileSync(join(gateway.root, 'runs.log'), 'utf8').split('\n').length - 1;

  test('a one-off whose install.sh did not come to its end may have done that: it counts as done', async (t) => {
    const gateway = await startWithOne(t, '2', 'sleep 60');
    await goDown(gateway, '2', /"version":"2".*"script":/);
    gateway.start();
    const [, report] = await waitForReports(platform, gateway, 2);
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.match(String(report?.notes), /install.sh rebooted the gateway: counted as done/);
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
    assert.equal(ended.transaction.exitCode, 3);
    const directory = gateway.versions('app').find((name) => name.startsWith('3-'));
    const script = {
      pid: 1,
      startTicks: '1',
      bootId: bootId(),
      purpose: `installing install.sh ${directory}`,
    };
    const { failure: _, endedAtMs: __, ...transaction } = ended.transaction;
    const cut = { ...transaction, script, state: 'installing', closed: false };
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
