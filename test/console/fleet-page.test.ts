/** The web console in a real browser, as an operator sees it: the part of its tests that `make test` runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

test('a person signs in, sees what needs somebody first, and pauses a rollout', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  await gateway('gw-2', runningHello('1'));
  await gateway('gw-3', runningHello('1', 'FATAL'));
  await platform.addDevice('p', 'gw-4');
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  await page.goto(platform.url);
  await page.getByLabel('Token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').getByText('This token opens nothing').waitFor();
  await open();

  await t.test('a wrong token is refused in words, and the right one opens the fleet', async () => {
    await page.waitForURL(/#\/p\/fleet$/);
    await eventually(() => page.title(), /^Fleet - p - gwe$/);
    const cookies = await page.context().cookies();
    const [session] = cookies.filter(({ name }) => name === 'gwe_session');
    assert.deepEqual([session?.httpOnly, session?.sameSite], [true, 'Strict']);
    assert.doesNotMatch(JSON.stringify(cookies), new RegExp(platform.token));
  });

  await t.test('what fails stands above the counts', async () => {
    const needs = page.getByRole('region', { name: 'What needs you' });
    await needs.getByText('app hello 1 is FATAL').waitFor();
    const heard = page.getByRole('region', { name: 'Gateways' });
    for (const line of [/4\s+known/, /3\s+heard as expected/, /1\s+never heard/])
      await eventually(() => heard.innerText(), line);
  });

  await t.test('a rollout that begins meanwhile appears, and is paused after a question', async () => {
    const serials = ['gw-1', 'gw-2'];
    const spec = { artifacts: ['hello.v2.tar.gz'], serials, waves: [{ count: 1 }, { share: 1 }] };
    const { id } = await call('POST', '/products/p/rollouts', spec);
    await page.getByRole('button', { name: 'Pause hello 2' }).click();
    const dialog = page.getByRole('dialog');
    await eventually(() => dialog.innerText(), /Pause hello 2\? 2 gateways will not be shown the command/);
    await dialog.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused: hello 2').waitFor();
    assert.equal((await call('GET', `/products/p/rollouts/${id}`)).state, 'paused');
    await page.getByRole('region', { name: 'What needs you' }).getByText('hello 2').waitFor();
  });

  await t.test('an abort wants the number of gateways typed', async () => {
    await page.getByRole('button', { name: 'Abort hello 2' }).click();
    const dialog = page.getByRole('dialog');
    const abort = dialog.getByRole('button', { name: 'Abort' });
    await until(() => abort.isDisabled());
    await dialog.getByLabel('Type 2, the number of gateways').fill('3');
    assert.equal(await abort.isDisabled(), true);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });

  assert.deepEqual(faults, []);
});
