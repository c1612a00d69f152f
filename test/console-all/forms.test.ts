/** Every form of the web console: what is wrong is said in words, and nothing that was typed is lost, whatever happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { type ConsoleRig, openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';

interface Case {
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
    async open(page) {
      await page.getByRole('button', { name: 'Act on all of these' }).click();
      await page.getByLabel('What', { exact: true }).selectOption('interval');
    },
    ...{
      field: 'econds',
      wrong: '0',
      button: 'Go on',
      says: /found '0', expected a whole number from 1 to 31536000/,
    },
  },
  {
    ...{ place: 'rollouts/new', field: 'Waves', wrong: 'all at once', button: 'Dry run' },
    says: /What to install[^:]*:.*found nothing, expected something/,
  },
];

/** The field of this label that can be seen: what is in a dialog comes before what is behind it. */
function fieldOf(page: Page, { field }: Case): Locator {
  const dialog = page.locator('dialog[open] form').getByLabel(field).first();
  return dialog.or(page.locator('main form').getByLabel(field).first()).last();
}

async function show({ page }: ConsoleRig, one: Case): Promise<Locator> {
  // Another place first: what an earlier form left is gone with its page.
  await page.evaluate('location.hash = "#/p/reports"');
  await page.getByText('Updates of the last 30 days').waitFor();
  await page.evaluate(`location.hash = ${JSON.stringify(`#/p/${one.place}`)}`);
  await one.open?.(page);
  const field = fieldOf(page, one);
  await field.fill(one.wrong);
  return field;
}

async function openRig(t: Parameters<typeof openConsoleRig>[0]): Promise<ConsoleRig> {
  const rig = await openConsoleRig(t);
  await rig.gateway('gw-1', runningHello('1'));
  return rig;
}

test('each form says what it found and what it expected, and keeps what was typed', async (t) => {
  const rig = await openRig(t);
  await rig.open('#/p/reports');
  for (const one of FORMS) {
    const field = await show(rig, one);
    const button = rig.page.getByRole('button', { name: one.button, exact: true });
    await button.click();
    await eventually(async () => (await rig.page.getByRole('alert').allInnerTexts()).join(' '), one.says);
    assert.equal(await field.inputValue(), one.wrong, one.field);
    await rig.page.keyboard.press('Escape');
  }
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
  for (const one of FORMS) {
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
