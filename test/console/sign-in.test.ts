/** A person signs in to the web console with the password that somebody else has given to him. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';

test('a first password is changed before anything is shown, and roles decide what is', async (t) => {
  const { page, platform, gateway, call, faults } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  const made = await call('POST', '/operators', { name: 'vera', grants: [{ role: 'viewer', product: 'p' }] });
  await page.goto(platform.url);
  await page.getByRole('button', { name: 'With name and password' }).click();
  await page.getByLabel('Name').fill('vera');
  await page.getByLabel('Password', { exact: true }).fill('not this one');
  await page.keyboard.press('Enter');
  await page.getByText('name or password is wrong').waitFor();
  await page.getByLabel('Password', { exact: true }).fill(made.password);
  await page.keyboard.press('Enter');
  await page.getByLabel('A new password').fill('correct horse battery staple');
  await page.keyboard.press('Enter');
  await page.getByText('heard as expected').waitFor();
  await page.getByRole('link', { name: 'Gateways' }).click();
  await page.getByRole('link', { name: 'gw-1' }).click();
  await page.getByRole('region', { name: 'Tags' }).waitFor();
  assert.equal(await page.getByLabel('Tag', { exact: true }).count(), 0);
  await page.reload();
  await page.getByRole('region', { name: 'Tags' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').waitFor();
  assert.deepEqual(faults, []);
});
