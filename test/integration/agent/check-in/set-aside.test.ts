/** Files of gwe that no longer hold what it wrote: because of failing flash, a person, or an app. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitForReports, waitUntil } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

describe('a damaged file', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  const state = (name: string): string => join(gateway.root, 'var/lib/gwe', name);

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    gateway.start();
    const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(first?.outcome, 'installed', JSON.stringify(first));
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  async function worksAgain(outcome = 'unchanged'): Promise<void> {
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, outcome, JSON.stringify(report));
    assert.equal(gateway.isRunning(), true);
  }

  for (const name of ['journal.json', 'command.json']) {
    test(`${name} is put aside and reported, and the next command works`, async () => {
      const count = (await platform.history('p1', gateway.serial, 'fetch_status')).length;
      writeFileSync(state(name), '{"version":1,"curr');
      const reports = await waitForReports(platform, gateway, count + 1);
      assert.equal(reports.at(-1)?.code, 'JOURNAL_UNREADABLE');
      assert.match(String(reports.at(-1)?.reason), new RegExp(`kept as '.*${name}\\.unreadable'`));
      assert.equal(readFileSync(`${state(name)}.unreadable`, 'utf8'), '{"version":1,"curr');
      await worksAgain();
    });
  }

  test('a report in the outbox is dropped, and those after it are sent', async () => {
    writeFileSync(state('outbox/000.json'), 'not JSON');
    await worksAgain();
    assert.equal(existsSync(state('outbox/000.json')), false);
  });

  test('installed.json is rebuilt from the versions, and what was in it is kept beside it', async () => {
    const good = readFileSync(state('installed.json'), 'utf8');
    writeFileSync(state('installed.json'), good.slice(0, good.length / 2));
    await worksAgain();
    const digestOf = (text: string): unknown => JSON.parse(text).apps.app.active.digest;
    assert.equal(digestOf(readFileSync(state('installed.json'), 'utf8')), digestOf(good));
    assert.equal(
      readFileSync(`${state('installed.json')}.unreadable`, 'utf8'),
      good.slice(0, good.length / 2),
    );
  });

  test('Engine.config that cannot be read leaves the settings of its copy in force, and the file as it is', async () => {
    const path = join(gateway.root, 'etc/gwe/Engine.config');
    const good = readFileSync(path);
    // In one step: a file that is missing for a moment means that nothing is set.
    writeFileSync(`${path}.new`, '#'.repeat(2 ** 20));
    renameSync(`${path}.new`, path);
    await waitUntil(gateway, 'complaint', 30_000, () => gateway.log().includes('store.damaged'));
    await worksAgain();
    assert.equal(readFileSync(path).length, 2 ** 20);
    writeFileSync(`${path}.new`, good);
    renameSync(`${path}.new`, path);
    await worksAgain();
    assert.equal(gateway.log().match(/store\.damaged.*Engine\.config/g)?.length, 1, 'said more than once');
  });

  test('Gateway.cfg that cannot be read is waited for, by the copy of it', async () => {
    const path = join(gateway.root, 'etc/gwe/Gateway.cfg');
    const good = readFileSync(path);
    writeFileSync(path, 'x'.repeat(100_000));
    await worksAgain();
    assert.equal(readFileSync(path, 'utf8').length, 100_000);
    const failures = (): number => gateway.log().split('checkin.failed').length;
    const from = failures();
    renameSync(`${path}.copy`, `${path}.gone`);
    await waitUntil(gateway, 'two failures', 30_000, () => failures() >= from + 2);
    writeFileSync(path, good);
    await worksAgain();
  });
});
