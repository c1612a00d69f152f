/** The web console of a fleet of 100,000 gateways: what is on the page stays small, whatever is scrolled through. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { openConsoleRig } from '../helpers/console-rig.ts';
import { seedGateways } from '../helpers/large-fleet.ts';
import { startPlatform } from '../helpers/platform.ts';
import { removeRoot } from '../helpers/remove-root.ts';

const COUNT = 100_000;
/** Elements of the whole page: a row has about fifteen. */
const MOST_ELEMENTS = 1500;

const SCROLLS = 40;

/** CPU time of the page's own thread so far: what else the machine does is not in it. */
async function openWork(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return 1000 * (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN);
  };
}

/** Shows the list once more, from another page; resolves to the time until its first row is drawn. */
async function firstRowMs(page: Page): Promise<number> {
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('navigation', { name: 'Parts of the settings' }).waitFor();
  return Number(
    await page.evaluate(`new Promise((found) => {
      const begun = performance.now();
      const look = () => document.querySelector('section.rows th[scope=row]') === null
        ? requestAnimationFrame(look) : found(performance.now() - begun);
      location.hash = '#/p/gateways';
      look();
    })`),
  );
}

/** Scrolls by most of what is seen, as somebody does who holds the key; the work of each step, of two frames at least. */
async function scrollSteps(page: Page, work: () => Promise<number>): Promise<number[]> {
  const steps: number[] = [];
  for (let at = 0; at < SCROLLS; at++) {
    const before = await work();
    await page.evaluate(`new Promise((drawn) => {
      document.querySelector('section.rows').scrollBy(0, 350);
      requestAnimationFrame(() => requestAnimationFrame(drawn));
    })`);
    steps.push((await work()) - before);
  }
  return steps.sort((one, other) => one - other);
}

test('of 100,000 gateways the page holds what can be seen, and finds any of them', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gwe-large-'));
  t.after(() => removeRoot(dir));
  const before = await startPlatform({ dir });
  await before.addDevice('p', 'gw-000000');
  await before.close();
  seedGateways(dir, COUNT);
  const { page, open, faults } = await openConsoleRig(t, {}, { dir });
  const elements = async (): Promise<number> =>
    Number(await page.evaluate('document.getElementsByTagName("*").length'));
  await open('#/p/gateways');
  const box = page.getByRole('region', { name: 'Gateways' });
  const rows = box.getByRole('rowheader');

  await t.test('the first rows come from one page of the list', async () => {
    await rows.first().waitFor();
    await page.getByText(/^\d{3,5} gateways read so far/).waitFor();
    assert.ok((await elements()) < MOST_ELEMENTS, `${await elements()} elements`);
  });

  await t.test('what it takes to draw and to scroll it is printed', async () => {
    const work = await openWork(page);
    const begun = await work();
    const firstMs = await firstRowMs(page);
    const firstWork = (await work()) - begun;
    const steps = await scrollSteps(page, work);
    const [middle = Number.NaN, most = Number.NaN] = [steps[SCROLLS / 2], steps.at(-1)];
    const said = [firstMs, firstWork, middle, most].map((ms) => `${ms.toFixed(0)} ms`);
    console.log(
      `console: ${COUNT} gateways: first row after ${said[0]}, of them ${said[1]} of work; ${SCROLLS} steps of scrolling, ${said[2]} of work (median), ${said[3]} (most)`,
    );
    assert.ok(most > 0, 'a step of scrolling has been measured');
  });

  await t.test('scrolled down, it reads on, and holds no more', async () => {
    for (const serial of ['gw-000199', 'gw-000399']) {
      const at = Number(serial.slice(3));
      // What is read grows as it is looked at: it is scrolled until the row is there.
      for (let isThere = false; !isThere; ) {
        await box.evaluate((node, top) => node.scrollTo(0, top), at * 40);
        isThere = await box
          .getByRole('link', { name: serial })
          .waitFor({ timeout: 2000 })
          .then(
            () => true,
            () => false,
          );
      }
      assert.ok((await elements()) < MOST_ELEMENTS, `${await elements()} elements at ${serial}`);
    }
  });

  await t.test('a filter finds one of them, and the fleet page counts them all', async () => {
    await page.getByLabel('Filter', { exact: true }).fill('serial=gw-09999*');
    await page.keyboard.press('Enter');
    await box.getByRole('link', { name: 'gw-099999' }).waitFor();
    await page.getByText('10 gateways', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Fleet' }).click();
    await page.getByText('100,001').waitFor();
    await page.getByText('2,000').first().waitFor();
    assert.ok((await elements()) < MOST_ELEMENTS, `${await elements()} elements`);
  });

  assert.deepEqual(faults, []);
});
