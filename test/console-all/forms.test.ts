/** Every form of the web console: what is wrong is said in words, and nothing that was typed is lost, whatever happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { createSealer, SEAL_KEY_BYTES } from '../../src/fleet/people/seal.ts';
import { createFleetApi } from '../../src/fleet-api/fleet-api.ts';
import { type ConsoleRig, openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';

interface Case {
  readonly product?: string;
  readonly place: string;
  /** Brings the form on the page, where it is not there from the start. */
  open?(page: Page): Promise<void>;
  readonly field: string;
  readonly wrong: string;
  readonly button: string;
  readonly says: RegExp;
}

const UP_TO_64 = 'expected up to 64 letters, digits, ';
const FORMS: readonly Case[] = [
  {
    ...{ place: 'settings/people', field: 'Name', wrong: 'no name', button: 'Add a person' },
    says: /Name: found 'no name', expected up to 64 letters/,
  },
  {
    ...{ place: 'settings/tokens', field: 'For so many days', wrong: '0', button: 'Make a token' },
    says: /Name: found nothing, expected up to 64 letters/,
  },
  {
    ...{
      place: 'settings/targets',
      field: 'https://... of a webhook',
      wrong: 'ftp://no',
      button: 'Tell somebody',
    },
    says: /ftp:[\s\S]*expected https/,
  },
  {
    ...{ place: 'settings/products', field: 'Name of the product', wrong: 'a/b', button: 'Make the product' },
    says: new RegExp(`found 'a/b', ${UP_TO_64}`),
  },
  {
    ...{ place: 'gateways/gw-1', field: 'Tag', wrong: '<b>', button: 'Set' },
    says: new RegExp(`Tag: found '<b>', ${UP_TO_64}`),
  },
  {
    ...{
      place: 'gateways?filter=seen',
      field: 'Save this filter as group',
      wrong: 'x'.repeat(10_000),
      button: 'Save',
    },
    says: new RegExp(`found 'x{500}\u2026', ${UP_TO_64}`),
  },
  {
    ...{ place: 'gateways', field: 'Filter', wrong: 'app.hello<', button: 'Show' },
    says: /Found the end, expected a version/,
  },
  {
    place: 'gateways',
    open: (page) => page.getByRole('button', { name: 'Act on all of these' }).click(),
    ...{ field: 'Tag', wrong: 'a b', button: 'Go on', says: new RegExp(`Tag: found 'a b', ${UP_TO_64}`) },
  },
  {
    place: 'gateways',
    open: (page) => chooseAct(page, 'interval'),
    ...{
      field: 'econds',
      wrong: '0',
      button: 'Go on',
      says: /found '0', expected a whole number from 1 to 31536000/,
    },
  },
  {
    ...{ place: 'gateways', open: (page) => chooseAct(page, 'hold') },
    ...{ field: 'Why', wrong: '   ', button: 'Go on', says: /Why: found nothing, expected something/ },
  },
  {
    ...{
      product: 'FRESH',
      place: 'fleet',
      field: 'Add the serial numbers',
      wrong: `GW-1\n${'x'.repeat(300)}`,
    },
    ...{ button: 'Add and enable', says: /row 3, .x{40}.: .*expected at most 255/ },
  },
  {
    ...{ place: 'rollouts/new', field: 'Waves', wrong: 'all at once', button: 'Dry run' },
    says: /What to install[^:]*:.*found nothing, expected something/,
  },
];

/** What cannot be wrong, and is kept all the same. */
const CHOICES: readonly Kept[] = [
  { place: 'gateways/gw-1', field: 'App', wrong: 'world' },
  {
    ...{ place: 'gateways', field: 'Why', wrong: '\u00fcber <b>"Nacht"' },
    open: (page) => chooseAct(page, 'hold'),
  },
  {
    place: 'gateways',
    async open(page) {
      await chooseAct(page, 'hold');
      await page.getByLabel('Why').fill('under repair');
      await page.getByRole('button', { name: 'Go on' }).click();
    },
    ...{ field: 'Type 1, the number', wrong: '7' },
  },
];
type Kept = Omit<Case, 'button' | 'says'>;

/** Of a person's own account. */
const ACCOUNT: readonly Case[] = [
  {
    ...{ place: 'settings/account', field: 'New password', wrong: 'short', button: 'Change' },
    says: /Present password: found nothing, expected something/,
  },
  {
    place: 'settings/account',
    open: (page) => page.getByLabel('Present password').first().fill('not this one'),
    ...{ field: 'New password', wrong: 'still short', button: 'Change' },
    says: /New password, at least 12 characters: found 11 characters, expected at least 12 characters/,
  },
  {
    place: 'settings/account',
    open: (page) => page.getByLabel('Present password').first().fill('not this one'),
    ...{ field: 'New password', wrong: 'long enough, this', button: 'Change' },
    says: /password is wrong/,
  },
  {
    place: 'settings/account',
    async open(page) {
      const begin = page.locator('form', { hasText: 'Begin a second factor' });
      await begin.getByLabel('Present password').fill(PASSWORD);
      await begin.getByRole('button').click();
    },
    ...{ field: 'Code', wrong: '12345', button: 'Turn it on' },
    says: /Code: found '12345', expected the six digits/,
  },
];
const PASSWORD = 'correct horse battery staple';

async function chooseAct(page: Page, act: string): Promise<void> {
  await page.getByRole('button', { name: 'Act on all of these' }).click();
  await page.getByLabel('What', { exact: true }).selectOption(act);
}

/** The field of this label that can be seen: what is in a dialog comes before what is behind it. */
function fieldOf(page: Page, { field }: Kept): Locator {
  const dialog = page.locator('dialog[open] form').getByLabel(field).first();
  return dialog.or(page.locator('main form').getByLabel(field).first()).last();
}

async function show({ page }: ConsoleRig, one: Kept): Promise<Locator> {
  // Another place first: what an earlier form left is gone with its page.
  await page.evaluate('location.hash = "#/p/reports"');
  await page.getByText('Updates of the last 30 days').waitFor();
  await page.evaluate(`location.hash = ${JSON.stringify(`#/${one.product ?? 'p'}/${one.place}`)}`);
  await one.open?.(page);
  const field = fieldOf(page, one);
  await field.waitFor();
  const isChoice = await field.evaluate((node) => node.nodeName === 'SELECT');
  await (isChoice ? field.selectOption(one.wrong) : field.fill(one.wrong));
  return field;
}

async function openRig(t: Parameters<typeof openConsoleRig>[0]): Promise<ConsoleRig> {
  const sealer = createSealer(Buffer.alloc(SEAL_KEY_BYTES));
  const rig = await openConsoleRig(
    t,
    {},
    { operatorApi: ({ bodyLimits, ...context }) => createFleetApi({ ...context, sealer }, bodyLimits) },
  );
  const { engine_report: _, ...info } = runningHello('1');
  const app = { version: '1', status: 'RUNNING' };
  await rig.gateway('gw-1', { ...info, engine_report: { apps: [{ hello: app }, { world: app }] } });
  await rig.call('PUT', '/products/FRESH');
  return rig;
}

/** Each says what is wrong in its words, and keeps what was typed. */
async function tryEach(rig: ConsoleRig, forms: readonly Case[]): Promise<void> {
  for (const one of forms) {
    const field = await show(rig, one);
    await rig.page.getByRole('button', { name: one.button, exact: true }).click();
    await eventually(async () => (await rig.page.getByRole('alert').allInnerTexts()).join(' '), one.says);
    assert.equal(await field.inputValue(), one.wrong, one.field);
    await rig.page.keyboard.press('Escape');
  }
}

test('each form says what it found and what it expected, and keeps what was typed', async (t) => {
  const rig = await openRig(t);
  await rig.open('#/p/reports');
  await tryEach(rig, FORMS);
  const { operators } = await rig.call('GET', '/operators');
  assert.deepEqual(operators, []);
  assert.deepEqual(rig.faults, []);
});

test('a session that ends in the middle of any form takes nothing of what was typed', async (t) => {
  const rig = await openRig(t);
  const { page, platform, call } = rig;
  const token = () => call('POST', '/tokens', { name: 'ann', role: 'admin', product: '*', days: 1 });
  let own = await token();
  await page.goto(platform.url);
  await page.getByLabel('Token').fill(own.text);
  await page.keyboard.press('Enter');
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  for (const one of [...FORMS, ...CHOICES]) {
    const field = await show(rig, one);
    const next = await token();
    await call('DELETE', `/tokens/${own.id}`);
    const again = page.getByRole('dialog', { name: 'Sign in' });
    await again.getByText('The session has ended').waitFor();
    await again.getByLabel('Token').fill(next.text);
    await page.keyboard.press('Enter');
    await again.waitFor({ state: 'detached' });
    assert.equal(await field.inputValue(), one.wrong, one.field);
    await page.keyboard.press('Escape');
    own = next;
  }
});

test("the forms of a person's own account do the same, and the person signs in again by password", async (t) => {
  const rig = await openRig(t);
  const { page, platform, call, faults } = rig;
  const grants = [{ role: 'viewer', product: 'p' }];
  const { password } = await call('POST', '/operators', { name: 'vera', grants });
  await page.goto(platform.url);
  await page.getByRole('button', { name: 'With name and password' }).click();
  await page.getByLabel('Name').fill('vera');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.keyboard.press('Enter');
  await page.getByLabel('A new password').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  await tryEach(rig, ACCOUNT);
  for (const one of ACCOUNT.slice(-2)) {
    const field = await show(rig, one);
    await page.context().clearCookies();
    const again = page.getByRole('dialog', { name: 'Sign in' });
    await again.getByText('The session has ended').waitFor();
    await again.getByRole('button', { name: 'With name and password' }).click();
    await again.getByLabel('Name').fill('vera');
    await again.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await again.waitFor({ state: 'detached' });
    assert.equal(await field.inputValue(), one.wrong, one.field);
  }
  assert.deepEqual(faults, []);
});
