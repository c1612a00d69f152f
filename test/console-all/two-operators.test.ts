/** Two operators in two browsers who decide on one rollout at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { startBrowser } from '../helpers/browser.ts';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';

test('of two operators who decide at once one is told what the other has done, and nothing is lost', async (t) => {
  const { page: first, platform, gateway, call, faults } = await openConsoleRig(t);
  const browser = await startBrowser();
  t.after(() => browser.close());
  const second = await browser.context.newPage();
  for (const serial of ['gw-1', 'gw-2']) await gateway(serial, runningHello('1'));
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const spec = { artifacts: ['hello.v2.tar.gz'], waves: [{ share: 1 }] };
  const { id } = await call('POST', '/products/p/rollouts', spec);
  const signIn = async (page: Page, name: string): Promise<void> => {
    const made = await call('POST', '/tokens', { name, role: 'operator', product: 'p', days: 1 });
    await page.goto(`${platform.url}/#/p/rollouts/${id}`);
    await page.getByLabel('Token').fill(made.text);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Pause hello 2' }).waitFor();
  };
  await signIn(first, 'ann');
  await signIn(second, 'bob');

  // Both have the question open when ann answers.
  await second.getByRole('button', { name: 'Abort hello 2' }).click();
  await second.getByRole('dialog').getByRole('textbox').fill('2');
  await first.getByRole('button', { name: 'Pause hello 2' }).click();
  await first.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
  await first.getByText('Paused: hello 2').waitFor();
  const dialog = second.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Abort' }).click();
  await dialog.getByText('It is paused now, by ann').waitFor();
  assert.equal(await dialog.getByRole('textbox').inputValue(), '2');
  assert.equal((await call('GET', `/products/p/rollouts/${id}`)).state, 'paused');

  // The page behind the question has followed; with what it shows now, bob may decide.
  await second.keyboard.press('Escape');
  await second.getByRole('button', { name: 'Resume hello 2' }).waitFor();
  await second.getByRole('button', { name: 'Abort hello 2' }).click();
  await dialog.getByRole('textbox').fill('2');
  await dialog.getByRole('button', { name: 'Abort' }).click();
  await second.getByText('Aborted: hello 2').waitFor();
  await first.getByText('Brought into its state by bob').waitFor();
  const actors = (await call('GET', '/audit?after=0&limit=100')).entries
    .filter(({ action }: { action: string }) => /^rollout\.(pause|abort)$/.test(action))
    .map(({ actor, action }: { actor: string; action: string }) => `${actor} ${action}`);
  assert.deepEqual(actors, ['ann rollout.pause', 'bob rollout.abort']);
  assert.deepEqual(faults, []);
});
