/** What a gateway has told its platform of its updates. */
import type { Gateway } from './gateway.ts';
import type { TestPlatform } from './platform.ts';
import { until } from './until.ts';

export type FetchReport = Record<string, unknown>;

/** An `engine_fetch` that installs `names`, in this order. */
export function installCommand(...names: readonly string[]): string {
  return JSON.stringify({ install: names.map((name) => ({ name })) });
}

/** Every `fetch_status` so far, oldest first. */
export async function fetchReports(platform: TestPlatform, gateway: Gateway): Promise<FetchReport[]> {
  const history = await platform.history(gateway.product, gateway.serial, 'fetch_status');
  return history.map(({ value }) => JSON.parse(value) as FetchReport).reverse();
}

/** Waits until `count` reports are there; fails with the agent's log. */
export async function waitForReports(
  platform: TestPlatform,
  gateway: Gateway,
  count: number,
  deadlineMs = 90_000,
): Promise<FetchReport[]> {
  let reports: FetchReport[] = [];
  await waitUntil(gateway, `${count} reports`, deadlineMs, async () => {
    reports = await fetchReports(platform, gateway);
    return reports.length >= count;
  });
  return reports;
}

/** Sends one command and waits for the reports of all its entries (one for a text that is not a command). */
export async function sendCommand(
  platform: TestPlatform,
  gateway: Gateway,
  text: string,
  count = 1,
  deadlineMs = 90_000,
): Promise<FetchReport[]> {
  const before = (await fetchReports(platform, gateway)).length;
  await platform.write(gateway.product, gateway.serial, 'engine_fetch', text);
  return (await waitForReports(platform, gateway, before + count, deadlineMs)).slice(before);
}

/** Polls `condition`; fails with what was waited for and the agent's log. */
export async function waitUntil(
  gateway: Gateway,
  what: string,
  deadlineMs: number,
  condition: () => Promise<boolean> | boolean,
): Promise<void> {
  await until(condition, deadlineMs).catch((error: unknown) => {
    throw new Error(`no ${what} within ${deadlineMs} ms (${String(error)}); the log:\n${gateway.log()}`);
  });
}
