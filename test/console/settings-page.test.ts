/** Settings in the web console: people, tokens and whom to tell, each with what is shown once, and the audit of it all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';

test('an admin adds a person, makes a token, tells somebody, and finds all of it in the audit', async (t) => {
  const { page, platform, call, open, faults } = await openConsoleRig(t);
  await platform.addDevice('p', 'gw-1');
  await open('#/p/settings/people');
  const remove = async (name: string): Promise<void> => {
    await page.getByRole('button', { name: `Remove ${name}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await page.getByText(`Removed: ${name}`).waitFor();
    await page.getByRole('rowheader', { name }).waitFor({ state: 'detached' });
  };

  await t.test('a person gets a first password that is shown once', async () => {
    await page.getByLabel('Name', { exact: true }).fill('vera');
    await page.getByLabel('Role').selectOption('operator');
    await page.getByLabel('In product').selectOption('p');
    await page.getByRole('button', { name: 'Add a person' }).click();
    const password = await page.getByLabel('First password of vera').inputValue();
    assert.equal((await call('POST', '/login', { name: 'vera', password })).name, 'vera');
    await page.getByRole('row', { name: /^vera operator in p a password off/ }).waitFor();
    await page.getByRole('button', { name: 'Change the role of vera' }).click();
    const dialog = page.getByRole('dialog', { name: 'Change the role of vera' });
    await dialog.getByText('Now: operator in p.').waitFor();
    await dialog.getByLabel('Role').selectOption('viewer');
    await dialog.getByLabel('In product').selectOption('*');
    await dialog.getByRole('button', { name: 'Change the role' }).click();
    await page.getByRole('row', { name: /^vera viewer in all products a password off/ }).waitFor();
    await dialog.waitFor({ state: 'detached' });
    assert.deepEqual((await call('GET', '/operators')).operators[0].grants, [
      { role: 'viewer', product: '*' },
    ]);
    await page.getByLabel('Name', { exact: true }).fill('vera');
    await page.getByRole('button', { name: 'Add a person' }).click();
    await page.getByRole('alert').getByText("cannot add 'vera'").waitFor();
    await remove('vera');
  });

  await t.test('a token opens what its role may, until it is revoked', async () => {
    await page.getByRole('link', { name: 'Tokens' }).click();
    await page.getByLabel('Name', { exact: true }).fill('build');
    await page.getByLabel('Role').selectOption('releaser');
    await page.getByLabel('In product').selectOption('*');
    await page.getByRole('button', { name: 'Make a token' }).click();
    const token = await page.getByLabel('Token build').inputValue();
    const ask = () => fetch(`${platform.url}/gwe/v2/me`, { headers: { 'X-Exosite-Token': token } });
    assert.equal((await ask()).status, 200);
    await page.getByRole('row', { name: /^build releaser in all products/ }).waitFor();
    await remove('build');
    assert.equal((await ask()).status, 401);
  });

  await t.test('somebody is told of one thing, and of no more', async () => {
    await page.getByRole('link', { name: 'Who is told' }).click();
    const url = 'https://hook.example.com/a';
    await page.getByLabel('https://... of a webhook').fill('ftp://wrong');
    await page.getByRole('button', { name: 'Tell somebody' }).click();
    await page.getByRole('alert').getByText('expected https://HOST').waitFor();
    await page.getByLabel('https://... of a webhook').fill(url);
    await page.getByLabel('What of').selectOption('silent');
    await page.getByRole('button', { name: 'Tell somebody' }).click();
    await eventually(() => page.getByLabel('What signs its bodies').inputValue(), /./);
    await page.getByRole('row', { name: /a gateway is silent 0 sent/ }).waitFor();
    const { targets } = await call('GET', '/targets');
    assert.deepEqual([targets[0].url, targets[0].kinds], [url, ['silent']]);
    await remove(url);
  });

  await t.test('what the server is set to is shown, and where it is changed', async () => {
    await page.getByRole('link', { name: 'Server', exact: true }).click();
    await page
      .getByRole('row', { name: /^History of values kept as long as there is room.*--keep-history DAYS$/ })
      .waitFor();
    await page.getByRole('row', { name: /^Second factors can be turned on/ }).waitFor();
  });

  await t.test('the audit has the newest first', async () => {
    await page.getByRole('link', { name: 'Audit' }).click();
    const first = page.getByRole('row').nth(1);
    await first.getByText('target.remove').waitFor();
    await eventually(() => first.innerText(), /admin-token/);
    await page.getByRole('cell', { name: 'operator.add' }).waitFor();
  });

  assert.deepEqual(faults, []);
});
