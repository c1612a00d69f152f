/**
 * The reports as the two web apps of their time took them apart (one-platform.md §4.2): their loops, on what gwe
 * really sends.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

describe('reports', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  const report = async (alias: string): Promise<string> => (await platform.read('p1', 'gw-1', alias)) ?? '';

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    for (const name of ['counter.v1.tar.gz', 'ntp_updater.v2.tar.gz']) {
      const path = join(gateway.root, name);
      writeFileSync(path, makeTarball({ 'install.sh': INSTALL_OK }));
      assert.equal(gateway.gwe('-I', path).status, 0);
    }
    gateway.start();
    await until(async () => (await report('usage_report')).includes('"num":'));
  });
  after(async () => {
    await gateway?.remove();
    await platform?.close();
  });

  test('vector 54: engine_report gives one row per app', async () => {
    const data: { apps: Record<string, Record<string, unknown>>[] } = JSON.parse(
      await report('engine_report'),
    );
    const rows: string[] = [];
    for (const element of data.apps) {
      for (const name in element) {
        const { version, status, uptime, exitstatus } = element[name] ?? {};
        for (const value of [version, status, uptime, exitstatus]) assert.notEqual(value, undefined, name);
        rows.push(`${name} ${version} ${status}`);
      }
    }
    assert.match(rows[0] ?? '', /^gwe \S+ RUNNING$/);
    assert.deepEqual(rows.slice(1), ['counter 1 EXITED', 'ntp_updater 2 EXITED']);
  });

  test('vector 55: device_info survives a search through its text, with df before uname', async () => {
    const text = await report('device_info');
    const uname = text.indexOf('uname');
    assert.ok(text.indexOf('"df"') >= 0 && text.indexOf('"df"') < uname);
    const mounts: string[] = [];
    for (let at = text.indexOf('\\n'); at !== -1 && at < uname; ) {
      const slash = text.indexOf('/', at + 2);
      if (slash === -1 || slash > uname) break;
      const next = text.indexOf('\\n', at + 2);
      mounts.push(text.slice(at + 2, next === -1 || next > uname ? uname : next));
      assert.ok(mounts.length < 1000, 'the walk ends');
      at = next;
    }
    assert.ok(mounts.length > 0 && mounts.every((line) => line.includes('%')), mounts.join('\n'));
    // Cut by position, as a cloud-side reader does.
    const valueOn = text.slice(uname + 8);
    assert.equal(valueOn.slice(1, valueOn.indexOf('"', 1)), (JSON.parse(text) as { uname: string }).uname);
    const between = text.slice(text.indexOf('[', text.indexOf('"ipaddrs"')) + 1);
    const addresses = between.slice(0, between.indexOf(']'));
    const { ipaddrs } = JSON.parse(text) as { ipaddrs: string[] };
    assert.equal(addresses, ipaddrs.map((address) => `"${address}"`).join(','));
  });

  test('vector 56: usage_report gives one row per method, and none for top_consumer', async () => {
    const data: Record<string, Record<string, unknown>> = JSON.parse(await report('usage_report'));
    const methods: string[] = [];
    for (const k1 in data) {
      for (const k2 in data[k1]) {
        const group: unknown = data[k1]?.[k2];
        for (const k3 in Object(group) as object) {
          if (k3.length <= 2) continue; // The letters of top_consumer.
          const row = (group as Record<string, Record<string, unknown>>)[k3] ?? {};
          for (const key of ['tot_rx', 'max_rx', 'tot_tx', 'max_tx', 'num']) {
            assert.equal(typeof row[key], 'number', `${k3} ${key}`);
          }
          methods.push(k3);
        }
      }
    }
    assert.ok(methods.length > 0 && new Set(methods).size === methods.length, methods.join());
    assert.ok(!methods.includes('top_consumer'));
  });

  test('with report_always every report is due at each check-in, whether or not it has changed', () => {
    const due = (): boolean[] =>
      (JSON.parse(gateway.gwe('report', '--json').stdout) as { reports: { isDue: boolean }[] }).reports.map(
        ({ isDue }) => isDue,
      );
    assert.ok(due().includes(false), 'as a rule what has not changed is not sent');
    assert.equal(gateway.gwe('--set', 'report_always=on').status, 0);
    assert.deepEqual(due(), [true, true, true]);
  });
});
