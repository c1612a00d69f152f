/** A rollout in the web console: a dry run, its start, what failed, and what two people do at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

const FAILED = {
  name: 'hello',
  version: '2',
  outcome: 'rolled-back',
  code: 'INSTALL_FAILED',
  tx: 't-1',
  reason: 'install.sh: cannot open /dev/ttyS9',
};

test('a rollout is tried, begun, watched as it fails, and not changed behind somebody', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  const gateways = [await gateway('gw-1', runningHello('1')), await gateway('gw-2', runningHello('1'))];
  await gateway('gw-3', runningHello('2'));
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  await open('#/p/rollouts/new?filter=not%20silent');

  await t.test('what cannot be read is said by its name, and a dry run says who not, and why', async () => {
    await page.getByLabel('What to install').fill('hello.v2.tar.gz');
    await page.getByLabel('Waves').fill('1,half');
    await page.getByRole('button', { name: 'Dry run' }).click();
    await page.getByText("Cannot read the waves: found 'half'").waitFor();
    await page.getByLabel('Waves').fill('1,100%');
    await page.getByRole('button', { name: 'Dry run' }).click();
    await page.getByText('2 gateways in waves of 1, 1').waitFor();
    await page.getByText('1 gateway not: there already (gw-3)').waitFor();
    assert.deepEqual((await call('GET', '/products/p/rollouts')).rollouts, []);
  });

  await t.test('a change after the dry run wants another one; the start wants the number typed', async () => {
    const start = page.getByRole('button', { name: 'Start' });
    await page.getByLabel('Name, for people').fill('second hello');
    await until(() => start.isDisabled());
    await page.getByRole('button', { name: 'Dry run' }).click();
    await start.click({ trial: true });
    await start.click();
    await page.getByLabel('Type 2, the number').fill('2');
    await page.getByRole('dialog').getByRole('button', { name: 'Start' }).click();
    await page.getByRole('heading', { name: /second hello/ }).waitFor();
    await page.waitForURL(/#\/p\/rollouts\/r\w+$/);
  });

  await t.test('what fails stands by its code with its first lines', async () => {
    // Chance says which of them is the first wave.
    for (const each of gateways) {
      const shown = await each.reads();
      if (shown === '') continue;
      await each.writes({ engine_fetch: '' });
      await each.writes({ fetch_status: { ...FAILED, command: JSON.parse(shown).id } });
    }
    await page.getByText('cannot open /dev/ttyS9').first().waitFor();
    const failures = page.getByRole('region', { name: 'What failed' });
    await failures.getByText('INSTALL_FAILED').waitFor();
  });

  await t.test('an answer to a question that has changed since is refused with a note', async () => {
    const id = page.url().split('/').at(-1);
    await page.getByRole('button', { name: 'Abort second hello' }).click();
    await call('POST', `/products/p/rollouts/${id}/pause`, { reason: 'by somebody else' });
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox').fill((await dialog.innerText()).match(/Type (\d+)/)?.[1] ?? '');
    await dialog.getByRole('button', { name: 'Abort' }).click();
    await dialog.getByText('it has changed since it was read').waitFor();
    await page.keyboard.press('Escape');
    assert.equal((await call('GET', `/products/p/rollouts/${id}`)).state, 'paused');
    await page.getByText('by somebody else').first().waitFor();
  });

  assert.deepEqual(faults, []);
});

test('a rollout that a person has signed is undone on the command line, and its page says how', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  const one = await gateway('gw-1', runningHello('1'));
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const end = Math.floor(Date.now() / 1000) + 86_400;
  const signed = { by: 'k', counter: 1, for: 'product', sig: 's', until: end };
  const spec = { artifacts: ['hello.v2.tar.gz'], waves: [{ share: 1 }], signed };
  const { id } = await call('POST', '/products/p/rollouts', spec);
  const { id: command } = JSON.parse(await one.reads());
  await one.writes({ engine_fetch: '' });
  await one.writes({ fetch_status: { ...FAILED, command } });
  await open(`#/p/rollouts/${id}`);
  await page.getByText(`gwe fleet rollout undo p ${id} --sign-key FILE`).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Undo/ }).count(), 0);
  assert.equal(await page.getByRole('button', { name: /^Abort/ }).count(), 1);
  assert.deepEqual(faults, []);
});
