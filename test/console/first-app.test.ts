/** From an empty platform to the first app that runs, without leaving the page; and what happens is seen as it happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';

test('an empty platform says what to do next, down to the first app that runs', async (t) => {
  const { page, platform, activated, call, open, faults } = await openConsoleRig(t);
  await open();

  await t.test('a product is made, and serial numbers are added to it', async () => {
    await page.getByLabel('Name of the product').fill('FRESH');
    await page.getByRole('button', { name: 'Make the product' }).click();
    await page.waitForURL(/#\/FRESH\/fleet$/);
    await page.getByLabel('Add the serial numbers').fill('GW-1\n');
    await page.getByRole('button', { name: 'Add and enable' }).click();
    await page.getByText('0 of 1 gateway heard').waitFor();
    await page.getByText('gwe --set-product-id FRESH --set-iface eth0').waitFor();
  });

  const gateway = await activated('FRESH', 'GW-1');
  await t.test('the gateway is heard, and an app is uploaded', async () => {
    await gateway.writes({ device_info: { gwe: '2.1.0', target: 'linux-arm64', interval: 3600 } });
    await page.getByText('1 of 1 gateway heard').waitFor();
    const choose = page.getByLabel('Choose files');
    const file = (name: string, bytes: Buffer) => ({ name, mimeType: 'application/gzip', buffer: bytes });
    await choose.setInputFiles(file('hello.v1.tar.gz', Buffer.from('no tarball')));
    await page.getByRole('alert').getByText('not those of a .tar.gz').waitFor();
    await choose.setInputFiles(file('hello.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' })));
    await page.getByRole('button', { name: 'Install hello.v1.tar.gz on 1 gateway' }).waitFor();
    assert.equal((await call('GET', '/products/FRESH/content')).content.length, 1);
  });

  await t.test('it is installed, and seen to run without another click', async () => {
    await page.getByRole('button', { name: 'Install hello.v1.tar.gz on 1 gateway' }).click();
    await page.getByLabel('Type 1, the number').fill('1');
    await page.keyboard.press('Enter');
    await page.getByText('Commanded: a gateway reads it').waitFor();
    assert.equal(
      await platform.read('FRESH', 'GW-1', 'engine_fetch'),
      '{"install":[{"name":"hello.v1.tar.gz"}]}',
    );
    await gateway.reads();
    await gateway.writes({ engine_fetch: '' });
    await page.getByText('GW-1: taken').waitFor();
    await gateway.writes(runningHello('1'));
    await page.getByText('hello 1 is RUNNING on GW-1').waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('region', { name: 'The first app' }).waitFor({ state: 'detached' });
    await page.getByRole('region', { name: 'Versions' }).getByRole('link', { name: '1' }).waitFor();
  });

  assert.deepEqual(faults, []);
});
