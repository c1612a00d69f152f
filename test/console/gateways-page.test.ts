/** Gateways in the web console: found by a filter, saved as a group, opened, tagged, downloaded. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

test('gateways are found by a filter whose mistakes are shown at their place, tagged, and saved', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  await gateway('gw-2', runningHello('2'));
  await gateway('=cmd()', runningHello('2', 'FATAL'));
  await open('#/p/gateways');
  const rows = page.getByRole('region', { name: 'Gateways' }).getByRole('rowheader');
  const filter = page.getByLabel('Filter', { exact: true });

  await t.test('a wrong filter says what it expected, and marks the part that does not fit', async () => {
    await rows.nth(2).waitFor();
    await filter.fill('app.hello<< 2');
    await page.getByRole('button', { name: 'Show' }).click();
    const problem = page.getByRole('alert').filter({ hasText: 'expected' });
    assert.equal(await problem.locator('mark').innerText(), '<');
    await eventually(() => problem.innerText(), /Found '<', expected a version/);
    await until(async () => (await filter.getAttribute('aria-invalid')) === 'true');
  });

  await t.test('the versions of each app are bars that lead to their gateways', async () => {
    const bars = page.getByRole('region', { name: 'Versions' });
    await eventually(() => bars.innerText(), /hello\s[\s\S]*2\s+2\s+1\s+1/);
    await bars.getByRole('link', { name: '1', exact: true }).click();
    await page.getByText('1 gateway', { exact: true }).waitFor();
    await page.goBack();
    await page.getByText('3 gateways', { exact: true }).waitFor();
  });

  await t.test('a right one is a place in the address, from which Back leads to the one before', async () => {
    await filter.fill('app.hello=2');
    await page.keyboard.press('Enter');
    await page.getByText('2 gateways', { exact: true }).waitFor();
    await page.waitForURL(/#\/p\/gateways\?filter=app\.hello%3D2$/);
    await page.goBack();
    await page.getByText('3 gateways', { exact: true }).waitFor();
    await eventually(() => filter.inputValue(), /^$/);
    await page.goForward();
    await page.getByText('2 gateways', { exact: true }).waitFor();
  });

  await t.test('it is saved as a group, and the group is a place too', async () => {
    await page.getByLabel('Save this filter as group').fill('second');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('link', { name: 'second' }).click();
    await page.getByText('2 gateways', { exact: true }).waitFor();
    assert.deepEqual((await call('GET', '/products/p/groups')).groups, [
      { name: 'second', filter: 'app.hello=2' },
    ]);
  });

  await t.test('all of a list get a tag, after their number was typed', async () => {
    await page.getByRole('button', { name: 'Act on all of these' }).click();
    await page.getByLabel('Tag', { exact: true }).fill('site');
    await page.getByLabel('Value, empty to remove it').fill('berlin');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Give 2 gateways the tag site=berlin?').waitFor();
    await page.getByLabel('Type 2, the number').fill('2');
    await page.keyboard.press('Enter');
    await page.getByText('Done on 2 gateways').waitFor();
    assert.deepEqual((await call('GET', '/products/p/devices/gw-2')).tags, { site: 'berlin' });
    assert.deepEqual((await call('GET', '/products/p/devices/gw-1')).tags, {});
  });

  await t.test('a command goes to those that are selected, and who is on hold is named', async () => {
    await platform.putContent('p', 'hello.v3.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
    await call('PUT', '/products/p/devices/%3Dcmd()/hold', { reason: 'under repair' });
    await page.getByLabel('Select gw-2').check();
    await page.getByLabel('Select =cmd()').check();
    await page.getByRole('button', { name: 'Act on 2 selected' }).click();
    await page.getByLabel('What', { exact: true }).selectOption('install');
    await page.getByLabel('What to install').selectOption('hello.v3.tar.gz');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Command 2 gateways to install hello.v3.tar.gz').waitFor();
    await page.getByLabel('Type 2, the number').fill('2');
    await page.keyboard.press('Enter');
    const left = page.getByRole('dialog', { name: 'Left out: 1 gateway' });
    await left.getByText('=cmd(): on hold: under repair').waitFor();
    await left.getByRole('button', { name: 'Close' }).click();
    assert.equal(
      await platform.read('p', 'gw-2', 'engine_fetch'),
      '{"install":[{"name":"hello.v3.tar.gz"}]}',
    );
    assert.equal((await platform.read('p', '=cmd()', 'engine_fetch')) ?? '', '');
  });

  await t.test('the list is saved as CSV in which nothing is a formula', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download as CSV' }).click(),
    ]);
    const lines = readFileSync(await download.path(), 'utf8').split('\r\n');
    assert.match(lines[0] ?? '', /^serial,state,last_seen/);
    assert.match(lines[1] ?? '', /^'=cmd\(\),activated,\d{4}-.*hello 2,site=berlin$/);
    assert.equal(lines.length, 4);
  });

  await t.test('one of them has a page: what it is, its apps with their way back, its tags', async () => {
    await page.getByRole('link', { name: 'gw-2' }).click();
    await page.waitForURL(/#\/p\/gateways\/gw-2$/);
    await page.getByRole('cell', { name: 'RUNNING' }).waitFor();
    const facts = page.getByRole('region', { name: 'What it is' });
    await eventually(() => facts.innerText(), /Next check-in\s+in \d+ min \(every 1 h\)/);
    await eventually(() => facts.innerText(), /Machine\s+linux-arm64/);
    await page.getByRole('button', { name: 'Remove site' }).click();
    await page.getByText('site=berlin').waitFor({ state: 'detached' });
    assert.deepEqual((await call('GET', '/products/p/devices/gw-2')).tags, {});
  });

  assert.deepEqual(faults, []);
});
