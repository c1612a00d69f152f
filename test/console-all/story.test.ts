/** The operator's whole story in the web console, by clicks and again by keyboard alone. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

/** How a person does it. */
interface Hands {
  press(what: Locator): Promise<void>;
  type(field: Locator, text: string): Promise<void>;
  choose(field: Locator, label: string): Promise<void>;
  give(field: Locator, name: string, bytes: Buffer): Promise<void>;
}

const mouse: Hands = {
  press: (what) => what.click(),
  type: (field, text) => field.fill(text),
  async choose(field, label) {
    await field.selectOption({ label });
  },
  give: (field, name, buffer) => field.setInputFiles({ name, mimeType: 'application/gzip', buffer }),
};

/** More than there are places to stop at on any page of this test. */
const MOST_STOPS = 200;

function keyboard(page: Page): Hands {
  // From now on a dialog of the browser is an event: told only with the key press, it might come too late.
  page.on('filechooser', () => undefined);
  const isFocused = (what: Locator): Promise<boolean> =>
    what.evaluate((node) => node === node.ownerDocument.activeElement);
  const reach = async (what: Locator): Promise<void> => {
    await what.waitFor();
    for (let stops = 0; stops < MOST_STOPS; stops++) {
      if (await isFocused(what)) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`not reached by ${MOST_STOPS} tabs: ${what}`);
  };
  return {
    async press(what) {
      await reach(what);
      await page.keyboard.press('Enter');
    },
    async type(field, text) {
      await reach(field);
      await page.keyboard.press('Control+A');
      await page.keyboard.type(text);
    },
    async choose(field, label) {
      await reach(field);
      await page.keyboard.type(label);
      await until(async () => (await field.locator('option:checked').innerText()) === label);
    },
    async give(field, name, buffer) {
      await reach(field);
      const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Enter')]);
      await chooser.setFiles({ name, mimeType: 'application/gzip', buffer });
    },
  };
}

async function story(t: TestContext, handsOf: (page: Page) => Hands): Promise<void> {
  const { page, platform, activated, call, faults } = await openConsoleRig(t);
  const { press, type, choose, give } = handsOf(page);
  const button = (name: string) => page.getByRole('button', { name, exact: true });
  const link = (name: string) => page.getByRole('link', { name, exact: true });
  const dialog = page.getByRole('dialog');
  const number = page.getByLabel(/^Type \d+, the number of gateways/);
  /** Answers a question with the number of gateways and the act. */
  const agree = async (act: string, count: string): Promise<void> => {
    await type(number, count);
    await press(dialog.getByRole('button', { name: act, exact: true }));
    await dialog.waitFor({ state: 'detached' });
  };

  await t.test('signs in, makes a product, and gets its first app running', async () => {
    await page.goto(platform.url);
    await type(page.getByLabel('Token'), platform.token);
    await press(button('Sign in'));
    await type(page.getByLabel('Name of the product'), 'FRESH');
    await press(button('Make the product'));
    await type(page.getByLabel('Add the serial numbers'), 'GW-1');
    await press(button('Add and enable'));
    await page.getByText('0 of 1 gateway heard').waitFor();
    const gateway = await activated('FRESH', 'GW-1');
    await gateway.writes({ device_info: { gwe: '2.1.0', target: 'linux-arm64', interval: 3600 } });
    await page.getByText('1 of 1 gateway heard').waitFor();
    await give(
      page.getByLabel('Choose files'),
      'hello.v1.tar.gz',
      makeTarball({ 'install.sh': '#!/bin/sh\n' }),
    );
    await press(button('Install hello.v1.tar.gz on 1 gateway'));
    await type(number, '1');
    await page.keyboard.press('Enter');
    await page.getByText('Commanded: a gateway reads it').waitFor();
    await gateway.reads();
    await gateway.writes({ engine_fetch: '' });
    await gateway.writes(runningHello('1'));
    await page.getByText('hello 1 is RUNNING on GW-1').waitFor();
    await press(button('Close'));
  });

  await t.test('finds gateways by a filter, saves it as a group, and tags all of them', async () => {
    await press(link('Gateways'));
    await type(page.getByLabel('Filter', { exact: true }), 'app.hello=1');
    await press(button('Show'));
    await page.getByText('1 gateway', { exact: true }).waitFor();
    await type(page.getByLabel('Save this filter as group'), 'first');
    await press(button('Save'));
    await link('first').waitFor();
    await press(button('Act on all of these'));
    await type(dialog.getByLabel('Tag', { exact: true }), 'site');
    await type(dialog.getByLabel('Value, empty to remove it'), 'berlin');
    await press(button('Go on'));
    await type(number, '1');
    await page.keyboard.press('Enter');
    await page.getByText('Done on 1 gateway').waitFor();
    assert.deepEqual((await call('GET', '/products/FRESH/devices/GW-1')).tags, { site: 'berlin' });
    await press(link('GW-1'));
    // The page before has it in the hint of its filter as well.
    await page.getByRole('heading', { name: 'GW-1', level: 1 }).waitFor();
    await page.getByText('site=berlin').waitFor();
  });

  await t.test('uploads a version, rolls it out after a dry run, pauses, resumes and aborts', async () => {
    await press(link('Content'));
    await give(
      page.getByLabel('Choose files'),
      'hello.v2.tar.gz',
      makeTarball({ 'install.sh': '#!/bin/sh\n' }),
    );
    await press(link('hello.v2.tar.gz'));
    await press(link('Roll out'));
    await type(page.getByLabel('Waves'), '100%');
    await press(button('Dry run'));
    await page.getByText('1 gateway in waves of 1').waitFor();
    await press(button('Start'));
    await agree('Start', '1');
    await press(button('Pause hello 2'));
    await press(dialog.getByRole('button', { name: 'Pause', exact: true }));
    await page.getByText('Paused: hello 2').waitFor();
    await press(button('Resume hello 2'));
    await agree('Resume', '1');
    await press(button('Abort hello 2'));
    await agree('Abort', '1');
    await page.getByText('Aborted: hello 2').waitFor();
    assert.equal((await call('GET', '/products/FRESH/rollouts')).rollouts[0].state, 'aborted');
  });

  await t.test('reads the reports, adds a person, changes the role, and finds it in the audit', async () => {
    await press(link('Reports'));
    await page.getByText('Updates of the last 30 days').waitFor();
    await press(link('Settings'));
    await press(link('People'));
    await type(page.getByLabel('Name', { exact: true }), 'vera');
    await choose(page.getByLabel('Role'), 'operator');
    await press(button('Add a person'));
    await page.getByLabel('First password of vera').waitFor();
    await press(button('Change the role of vera'));
    await choose(dialog.getByLabel('Role'), 'viewer');
    await press(dialog.getByRole('button', { name: 'Change the role', exact: true }));
    await page.getByRole('row', { name: /^vera viewer/ }).waitFor();
    await press(button('Remove vera'));
    await press(dialog.getByRole('button', { name: 'Remove', exact: true }));
    await page.getByRole('rowheader', { name: 'vera' }).waitFor({ state: 'detached' });
    await press(link('Audit'));
    await page.getByRole('cell', { name: 'operator.grants' }).waitFor();
    await press(button('Sign out'));
    await page.getByLabel('Token').waitFor();
  });

  assert.deepEqual(faults, []);
}

test("the operator's whole story, by clicks", (t) => story(t, () => mouse));
test("the operator's whole story, by keyboard alone", (t) => story(t, keyboard));
