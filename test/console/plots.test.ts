/** Plots of the web console: a gateway and a fleet over time, for who sees them and for who does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../src/base/clock.ts';
import { keepDay } from '../../src/fleet-api/history/days.ts';
import type { Storage } from '../../src/platform/storage/storage.ts';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';
import { until } from '../helpers/until.ts';

const DAY_S = 86_400;

test('a gateway and a fleet are drawn over time, with a sentence and a table of the same figures', async (t) => {
  const system = createSystemClock();
  let [aheadMs, stored]: [number, Storage | undefined] = [0, undefined];
  const clock = { ...system, wallMs: () => system.wallMs() + aheadMs };
  const background = async ({ storage }: { storage: Storage }): Promise<void> => {
    stored = storage;
  };
  const { page, gateway, open, faults } = await openConsoleRig(t, {}, { clock, background });
  const info = (free: number) => ({
    ...runningHello('1'),
    device_info: {
      ...{ gwe: '2.1.0', target: 'linux-arm64', interval: 3600 },
      clock: { state: 'right' },
      memory: { available: free / 10 },
      mounts: [{ path: '/', available: free }],
    },
  });
  const one = await gateway('gw-1', info(90_000_000));
  const storage = stored;
  assert.ok(storage !== undefined);
  await open('#/p/gateways/gw-1');
  const figures = page.getByRole('region', { name: 'Disk, memory, clock, data over time' });

  await t.test('one report is no line, and the page says what it waits for', async () => {
    await figures.getByText('Free memory: Reported once so far').waitFor();
    assert.equal(await figures.locator('canvas').count(), 0);
  });

  await t.test('two reports are a line, a sentence and a table', async () => {
    aheadMs = 3_600_000;
    await one.writes(info(50_000_000));
    const plot = figures.getByRole('img', {
      name: /^Free where apps are unpacked: 90.0 MB at first, 50.0 MB at last/,
    });
    await plot.locator('canvas').waitFor();
    const table = figures.locator('figure', { hasText: 'Free memory' });
    await table.getByText('As a table').click();
    await eventually(() => table.innerText(), /5\.0 MB[\s\S]*9\.0 MB/);
    await figures
      .getByRole('img', { name: /^Clock ahead of the platform, in seconds: 0 s at first/ })
      .waitFor();
  });

  await t.test('a third report is drawn without another click', async () => {
    aheadMs = 7_200_000;
    await one.writes(info(70_000_000));
    await figures.getByRole('img', { name: /70\.0 MB at last; lowest 50\.0 MB, highest 90\.0 MB/ }).waitFor();
  });

  await t.test('versions are drawn day by day, told apart by dashes and names', async () => {
    const nowS = Math.floor(clock.wallMs() / 1000);
    await keepDay(storage, 'p', nowS - DAY_S);
    await gateway('gw-2', runningHello('<b>2'));
    const third = await gateway('gw-3', runningHello('2'));
    const patched = {
      name: 'hello',
      version: '2',
      outcome: 'installed',
      tx: 't-1',
      bytes: 3e6,
      bytes_full: 9e6,
    };
    for (let times = 0; times < 2; times++) await third.writes({ fetch_status: patched });
    await keepDay(storage, 'p', nowS);
    await open('#/p/fleet');
    const over = page.getByRole('region', { name: 'Over time' });
    const plot = over.getByRole('img', { name: /^Gateways by version of hello, 1: 1 at first, 1 at last/ });
    await plot.locator('canvas').waitFor();
    const lines = over.locator('figure', { hasText: 'Gateways by version of hello' }).locator('.lines');
    await eventually(() => lines.innerText(), /1[\s\S]*2/);
    const dashes = await lines
      .locator('line')
      .evaluateAll((all) => all.map((each) => String(each.getAttribute('stroke-dasharray'))));
    assert.equal(new Set(dashes).size, dashes.length);
    await over
      .getByRole('img', {
        name: /^Bytes since the beginning of the month, sent and received: 0 B at first.*saved by patches and chunks: 0 B at first, 6\.0 MB at last/,
      })
      .waitFor();
  });

  await t.test('it is drawn in light and in dark', async () => {
    const colours: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      // Another colour gives other bytes.
      const drawn = async () => String(await page.evaluate("document.querySelector('canvas').toDataURL()"));
      await until(async () => !colours.includes(await drawn()));
      colours.push(await drawn());
    }
    assert.equal(new Set(colours).size, 2);
  });

  assert.deepEqual(faults, []);
});
