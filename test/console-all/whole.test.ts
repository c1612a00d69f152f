/** The web console under what the field and the network do to it: hostile values, no mouse, no platform, no session. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { type ConsoleRig, openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

/** Each page, and what stands there when all of it has been read. */
const PAGES = {
  fleet: ['app hello 1 is FATAL', '2 waiting', 'never heard', 'The versions are counted once a day'],
  gateways: ['gw-2', 'None yet'],
  'gateways/gw-1': [
    'RUNNING',
    'Nothing yet that is worth an entry',
    'None was asked for yet',
    'Nothing has been reported yet',
  ],
  rollouts: ['2 waiting'],
  'rollouts/new': ['A dry run changes nothing', 'no group'],
  content: ['hello.v2.tar.gz'],
  'content/hello.v2.tar.gz': ['It has no manifest'],
  reports: ['No gateway has reported its ledger', 'None.', '0 gateways not heard of'],
  settings: ['Only an account has a password'],
  'settings/people': ['Nobody yet but', 'Signs in by'],
  'settings/tokens': ['None.', 'For so many days'],
  'settings/targets': ['Nobody is told of anything yet', 'Silent after'],
  'settings/audit': ['rollout.start'],
  'settings/products': ['A product has gateways'],
  'settings/server': ['Second factors', 'keep-history'],
};
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function openFleet(t: TestContext): Promise<ConsoleRig> {
  const rig = await openConsoleRig(t);
  await rig.gateway('gw-1', runningHello('1'));
  await rig.gateway('gw-2', runningHello('1', 'FATAL'));
  await rig.platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  await rig.call('POST', '/products/p/rollouts', { artifacts: ['hello.v2.tar.gz'], waves: [{ share: 1 }] });
  await rig.open();
  return rig;
}

async function show(page: Page, place: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(`#/p/${place}`)}`);
  await page.locator('main h2, main section, main form, main li, main dl, main nav').first().waitFor();
}

/** Serious findings of axe-core, each with its places. It is put in past the policy of the page, as a person's tool is. */
async function findings(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  const found: unknown = await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
       .filter(({ impact }) => impact === 'serious' || impact === 'critical')
       .map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`,
  );
  return Array.isArray(found) ? found.map(String) : ['axe-core said nothing'];
}

test('each page reads the same to a screen reader, wide and narrow, and axe-core finds nothing serious', async (t) => {
  const { page, faults } = await openFleet(t);
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    for (const [place, texts] of Object.entries(PAGES)) {
      await show(page, place);
      for (const text of texts)
        await page.locator('main').getByText(text).first().waitFor({ state: 'attached' });
      assert.deepEqual(await findings(page), [], `${place} at ${width} px`);
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      assert.ok(Number(overflow) <= 0, `${place} at ${width} px is ${overflow} px too wide`);
      const said = (await page.locator('body').ariaSnapshot())
        .replace(/r[0-9a-z]{10,16}/g, 'ROLLOUT')
        .replace(/just now|(in )?\d+ (min|h|d)( ago)?/g, 'TIME')
        .replace(/Bytes in \d{4}-\d\d/g, 'Bytes in MONTH');
      const file = join(import.meta.dirname, 'snapshots', `${place.replaceAll('/', '-')}-${width}.txt`);
      if (!existsSync(file)) writeFileSync(file, `${said}\n`);
      assert.equal(`${said}\n`, readFileSync(file, 'utf8'), file);
    }
  }
  assert.deepEqual(faults, []);
});

test('plots, and the tables below them, fit a narrow page too, and axe-core finds nothing serious', async (t) => {
  const { page, gateway, open, faults } = await openConsoleRig(t);
  const info = (available: number) => ({
    device_info: { interval: 3600, memory: { available }, mounts: [{ path: '/', available }] },
  });
  // Both may come within one second: then a line has no length, which must not matter.
  const one = await gateway('gw-1', info(2 ** 40));
  await one.writes(info(1));
  await open('#/p/gateways/gw-1');
  await page.locator('figure canvas').nth(1).waitFor();
  for (const summary of await page.locator('figure summary').all()) await summary.press('Enter');
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    await page.locator('figure canvas').nth(1).waitFor();
    assert.deepEqual(await findings(page), [], `at ${width} px`);
    await until(
      async () => Number(await page.evaluate('document.documentElement.scrollWidth - innerWidth')) <= 0,
    );
  }
  assert.deepEqual(faults, []);
});

const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '"><script>alert(1)</script>',
  '\u202egnp.exe\u202c',
  '{{constructor}}',
  'x'.repeat(240),
];

test('what a gateway says is text, whatever it says', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  for (const [at, text] of HOSTILE.entries()) {
    const serial = text.slice(0, 250);
    const each = await gateway(serial, { device_info: { gwe: text, target: text, interval: 3600 } });
    await each.writes({
      engine_report: { apps: [{ [`a${at}`]: { version: '1', status: text, previous: text } }] },
    });
    await each.writes({
      fetch_status: {
        name: 'a',
        version: '1',
        outcome: 'rejected',
        code: 'BAD',
        reason: `${text}\0`,
        lines: [text],
      },
    });
    await each.writes({
      fetch_status: {
        ...{ name: 'a', version: '1', status: 'log', outcome: 'log', tx: 't-1', piece: 1, pieces: 1 },
        bytes: 9,
        info: `${text}\u001b[2J\n${text}`,
      },
    });
    await call('PATCH', `/products/p/devices/${encodeURIComponent(serial)}/tags`, { site: text });
    await platform.putContent('p', text, Buffer.from('x'));
  }
  page.on('dialog', (dialog) => {
    faults.push(`a script ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await open();
  const places = [
    ...['fleet', 'gateways', 'content', 'reports', 'settings/audit'],
    ...HOSTILE.map((text) => `gateways/${encodeURIComponent(text)}`),
    ...HOSTILE.map((text) => `content/${encodeURIComponent(text)}`),
  ];
  for (const place of places) {
    await show(page, place);
    assert.equal(await page.locator('main img, main script').count(), 0, place);
    const body = await page.locator('body').innerText();
    assert.doesNotMatch(body, /[\u202a-\u202e\u2066-\u2069]/u, place);
  }
  await show(page, 'gateways');
  await page.getByRole('rowheader', { name: '<img src=x onerror=alert(1)>' }).waitFor();
  assert.deepEqual(faults, []);
});

test('a rollout is paused by keys alone', async (t) => {
  const { page, call } = await openFleet(t);
  const pause = page.getByRole('button', { name: 'Pause hello 2' });
  await pause.waitFor();
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    if (await pause.evaluate((node) => node === node.ownerDocument.activeElement)) break;
  }
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  const focused = page.locator(':focus');
  assert.equal(await focused.innerText(), 'Pause');
  await page.keyboard.press('Enter');
  await page.getByText('Paused: hello 2').waitFor();
  const { rollouts } = await call('GET', '/products/p/rollouts');
  assert.equal(rollouts[0].state, 'paused');
});

test('the page says that it is not live while the platform is gone, and goes on by itself', async (t) => {
  const rig = await openConsoleRig(t);
  await rig.gateway('gw-1', runningHello('1'));
  await rig.open();
  await rig.page
    .getByText('1 heard as expected')
    .or(rig.page.getByText('heard as expected'))
    .first()
    .waitFor();
  await rig.page.context().setOffline(true);
  await rig.page.getByText(/Not live: .* as of \w+ \d+, \d{4}/).waitFor();
  assert.ok(await rig.page.getByText('heard as expected').isVisible());
  await rig.page.context().setOffline(false);
  await rig.page.getByText('Not live').waitFor({ state: 'detached' });
});

test('what others do to a rollout is seen by the stream, and the page says when that has broken off', async (t) => {
  const { page, call, platform } = await openFleet(t);
  await page.getByText('Live', { exact: true }).waitFor();
  const [{ id }] = (await call('GET', '/products/p/rollouts')).rollouts;
  await call('POST', `/products/p/rollouts/${id}/pause`, { reason: 'by somebody else' });
  await page.getByText('by somebody else').first().waitFor();
  const events = `${platform.url}/gwe/v2/products/p/events**`;
  await page.route(events, (route) => route.fulfill({ status: 503, body: '' }));
  await page.reload();
  await page.getByText('the stream of events has broken off').waitFor();
  await call('POST', `/products/p/rollouts/${id}/resume`);
  await page.getByRole('button', { name: 'Pause hello 2' }).waitFor();
  await page.unroute(events);
  await page.getByText('Live', { exact: true }).waitFor();
});

test('a session that ends in the middle of a form takes nothing of what was typed', async (t) => {
  const { page, platform, gateway, call, open } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const made = await call('POST', '/tokens', { name: 'vera', role: 'operator', product: 'p', days: 1 });
  await page.goto(platform.url);
  await page.getByLabel('Token').fill(made.text);
  await page.keyboard.press('Enter');
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  await open('#/p/rollouts/new');
  await page.getByLabel('What to install').fill('hello.v2.tar.gz');
  await call('DELETE', `/tokens/${made.id}`);
  await page.getByText('The session has ended').waitFor();
  await page.getByLabel('Token').fill(platform.token);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('What to install').inputValue(), 'hello.v2.tar.gz');
  await page.getByRole('button', { name: 'Dry run' }).click();
  await page.getByText('1 gateway in waves of').waitFor();
});
