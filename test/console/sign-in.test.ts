/** A person signs in to the web console with the password that somebody else has given to him. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSealer, SEAL_KEY_BYTES } from '../../src/fleet/people/seal.ts';
import { createFleetApi } from '../../src/fleet-api/fleet-api.ts';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';

test('a first password is changed before anything is shown, and roles decide what is', async (t) => {
  const { page, platform, gateway, call, faults } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  const made = await call('POST', '/operators', { name: 'vera', grants: [{ role: 'viewer', product: 'p' }] });
  await page.goto(platform.url);
  assert.equal(await page.getByRole('link', { name: 'Single sign-on' }).count(), 0);
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

test('where there is a provider of identities, a person signs in through it', async (t) => {
  const sealer = createSealer(Buffer.alloc(SEAL_KEY_BYTES));
  // It sends whoever comes back at once, as one does where the person is known already.
  const signOn = {
    begin: async () => ({
      url: '/gwe/v2/sign-on/callback?code=c',
      flow: { state: 's', nonce: 'n', verifier: 'v' },
    }),
    finish: async () => 'ann@example.com',
  };
  const { page, platform, call, faults } = await openConsoleRig(
    t,
    {},
    {
      operatorApi: ({ bodyLimits, ...context }) => createFleetApi({ ...context, signOn, sealer }, bodyLimits),
    },
  );
  await platform.addDevice('p', 'gw-1');
  const grants = [{ role: 'viewer', product: 'p' }];
  await call('POST', '/operators', { name: 'ann@example.com', grants, withPassword: false });
  await page.goto(platform.url);
  await page.getByRole('link', { name: 'Single sign-on' }).click();
  await page.getByText('Signed in as').or(page.getByTitle('Signed in as ann@example.com')).first().waitFor();
  assert.deepEqual(faults, []);
});
