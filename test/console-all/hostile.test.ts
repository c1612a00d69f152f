/** What people and gateways name things is text wherever the web console shows it, and never wider than the page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { createSystemClock } from '../../src/base/clock.ts';
import { keepDay } from '../../src/fleet-api/history/days.ts';
import type { Storage } from '../../src/platform/storage/storage.ts';
import { type ConsoleRig, openConsoleRig } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

const HTML = '<img src=x onerror=alert(1)>';
const TURNED = '\u202egnp.exe\u2066';
const LONG = 'x'.repeat(240);
const HOSTILE = [HTML, TURNED, LONG, '"><script>alert(1)</script>'];
const HUGE = `${HTML}${TURNED}${'y'.repeat(10_000)}`;
const DAY_S = 86_400;

/** What is on the page is text, without marks that turn it round, and fits a telephone. */
async function check(page: Page, place: string): Promise<void> {
  assert.equal(await page.locator('img, main script, dialog script').count(), 0, place);
  const marks = await page.evaluate(
    'JSON.stringify([document.body.innerText, document.title, ...[...document.querySelectorAll("[aria-label], [title]")].map((one) => one.ariaLabel + one.title)].filter((text) => /[\\u202a-\\u202e\\u2066-\\u2069\\0]/u.test(text)))',
  );
  assert.equal(marks, '[]', place);
  await until(
    async () => Number(await page.evaluate('document.documentElement.scrollWidth - innerWidth')) <= 0,
  ).catch(() => assert.fail(`${place} is too wide at 360 px`));
}

/** Gateways with such names of apps and versions on two days, on hold, in rollouts with such names. */
async function fill({ platform, gateway, call }: ConsoleRig, storage: Storage, nowS: number) {
  for (const [at, text] of HOSTILE.entries()) {
    const each = await gateway(`gw-${at}`);
    const app = { version: text, status: text, previous: text };
    await each.writes({
      engine_report: { apps: [{ [text]: app }, { hello: app }] },
      device_info: { gwe: HUGE, target: HUGE, interval: 3600, mounts: [{ path: HUGE, available: 1 }] },
    });
    await each.writes({ device_info: HUGE, engine_report: `${HUGE}\0`, usage_report: '\0' });
    if (at > 0) await call('PUT', `/products/p/devices/gw-${at}/hold`, { reason: text });
    await call('PUT', `/products/p/groups/g${at}`, { filter: `tag.site="${text.replaceAll('"', '')}"` });
  }
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  for (const name of HOSTILE.map((text) => text.slice(0, 60))) {
    const spec = { artifacts: ['hello.v2.tar.gz'], waves: [{ share: 1 }], name };
    const { id } = await call('POST', '/products/p/rollouts', spec);
    await call('POST', `/products/p/rollouts/${id}/pause`, { reason: `${name} ${TURNED}` });
    await call('POST', `/products/p/rollouts/${id}/abort`);
  }
  await keepDay(storage, 'p', nowS - DAY_S);
  await keepDay(storage, 'p', nowS);
}

test('names of people and gateways are text: in plots, holds, rollouts, acts on many and uploads', async (t) => {
  let stored: Storage | undefined;
  const background = async ({ storage }: { storage: Storage }): Promise<void> => {
    stored = storage;
  };
  const rig = await openConsoleRig(t, { width: 360 }, { background });
  const { page, call, open, faults } = rig;
  assert.ok(stored !== undefined);
  page.on('dialog', (dialog) => {
    faults.push(`a script ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await rig.platform.addDevice('p', 'gw-first');
  await fill(rig, stored, Math.floor(createSystemClock().wallMs() / 1000));
  await open();

  await t.test('on each page', async () => {
    await page.getByRole('region', { name: 'Over time' }).locator('canvas').first().waitFor();
    for (const details of await page.locator('figure summary').all()) await details.press('Enter');
    await check(page, 'fleet');
    const { rollouts } = await call('GET', '/products/p/rollouts');
    const places = ['gateways', 'gateways/gw-1', 'gateways/gw-2', 'rollouts', 'reports', 'settings/audit'];
    for (const place of [...places, ...rollouts.map(({ id }: { id: string }) => `rollouts/${id}`)]) {
      await page.evaluate(`location.hash = ${JSON.stringify(`#/p/${place}`)}`);
      await page.locator('main section, main li, main table').first().waitFor();
      await check(page, place);
    }
  });

  await t.test('in what is asked before an act on many, and in what was left out', async () => {
    await open('#/p/gateways');
    await page.getByRole('button', { name: 'Act on all of these' }).click();
    await page.getByLabel('Tag', { exact: true }).fill('site');
    await page.getByLabel('Value, empty to remove it').fill(`${HTML}${TURNED}`);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Give 5 gateways the tag').waitFor();
    await check(page, 'the question for a tag');
    await page.getByLabel('Type 5, the number').fill('5');
    await page.keyboard.press('Enter');
    await page.getByText('Done on 5 gateways').waitFor();
    await page.getByRole('button', { name: 'Act on all of these' }).click();
    await page.getByLabel('What', { exact: true }).selectOption('install');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByLabel('Type 5, the number').fill('5');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Left out: 3 gateways' }).waitFor();
    await check(page, 'left out');
    await page.keyboard.press('Escape');
  });

  await t.test('in the name of a file that is uploaded', async () => {
    await open('#/p/content');
    for (const [at, text] of [...HOSTILE, HUGE].entries()) {
      const name = `${text.replaceAll('/', '')}.v1.tar.gz`;
      const file = { name, mimeType: 'application/gzip', buffer: Buffer.from('no') };
      await page.getByLabel('Choose files').setInputFiles(file);
      await page
        .getByRole('alert')
        .getByText(/Cannot upload '|cannot put/)
        .nth(at)
        .waitFor();
      await check(page, name.slice(0, 40));
    }
  });

  await t.test('in the address', async () => {
    for (const place of ['gateways', 'rollouts', 'content', 'settings', HUGE]) {
      await page.evaluate(`location.hash = ${JSON.stringify(`#/p/${place}/${encodeURIComponent(HUGE)}%`)}`);
      await page.locator('main').getByText(/\w/).first().waitFor();
      await check(page, `${place.slice(0, 20)}/...`);
    }
    await page.evaluate(`location.hash = ${JSON.stringify(`#/${encodeURIComponent(HUGE)}/fleet`)}`);
    await page.getByRole('alert').first().waitFor();
    await check(page, 'another product');
  });

  assert.deepEqual(faults, []);
});
