/** The web console of a platform of the test's own, in a browser, with gateways that report what the test says. */
import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { consoleFiles } from '../../src/packaging/console.mjs';
import { encodeForm } from '../../src/protocol/codec.ts';
import { type BrowserOptions, startBrowser } from './browser.ts';
import { type StartOptions, startPlatform, type TestPlatform } from './platform.ts';

export interface ConsoleRig {
  readonly platform: TestPlatform;
  readonly page: Page;
  /** Of the page: whatever it logs as an error, and each break of its security policy. */
  readonly faults: string[];
  /** A call of an operator's program; fails where it is refused. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  call(method: string, path: string, body?: unknown): Promise<any>;
  /** Adds a gateway of product `p` that has reported these aliases. */
  gateway(serial: string, reports?: Readonly<Record<string, unknown>>): Promise<TestGateway>;
  /** One that somebody else has added asks for its key, and is there. */
  activated(product: string, serial: string): Promise<TestGateway>;
  /** Opens a place of the console, and signs in if it is asked for. */
  open(place?: string): Promise<void>;
}

export interface TestGateway {
  /** Reads its command. */
  reads(): Promise<string>;
  writes(reports: Readonly<Record<string, unknown>>): Promise<void>;
}

/** A test, or what ends things in its place. */
interface Owner {
  after(close: () => Promise<void>): void;
}

export async function openConsoleRig(
  t: Owner,
  browserOptions: BrowserOptions = {},
  platformOptions: StartOptions = {},
): Promise<ConsoleRig> {
  const files = await consoleFiles();
  const platform = await startPlatform({ operatorPages: () => files, ...platformOptions });
  t.after(() => platform.close());
  const browser = await startBrowser(browserOptions);
  t.after(() => browser.close());
  const page = await browser.context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    // A refusal is an answer; the browser tells of it as of an error.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      faults.push(message.text());
  });
  const rig: Omit<ConsoleRig, 'open'> = {
    platform,
    page,
    faults,
    call: (method, path, body) => callApi(platform, method, path, body),
    gateway: (serial, reports = {}) => addGateway(platform, serial, reports),
    activated: (product, serial) => connect(platform, product, serial),
  };
  return { ...rig, open: (place = '') => openPlace(rig, place) };
}

async function openPlace({ page, platform }: Pick<ConsoleRig, 'page' | 'platform'>, place: string) {
  await page.goto(`${platform.url}/${place}`);
  const field = page.getByLabel('Token');
  await field
    .or(page.getByRole('navigation', { name: 'Pages' }))
    .first()
    .waitFor();
  if (!(await field.isVisible())) return;
  await field.fill(platform.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
}

async function callApi(platform: TestPlatform, method: string, path: string, body: unknown) {
  const reply = await fetch(`${platform.url}/gwe/v2${path}`, {
    method,
    headers: { 'X-Exosite-Token': platform.token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
  return JSON.parse(text);
}

async function addGateway(
  platform: TestPlatform,
  serial: string,
  reports: Readonly<Record<string, unknown>>,
): Promise<TestGateway> {
  await platform.addDevice('p', serial);
  const gateway = await connect(platform, 'p', serial);
  if (Object.keys(reports).length > 0) await gateway.writes(reports);
  return gateway;
}

async function connect(platform: TestPlatform, product: string, serial: string): Promise<TestGateway> {
  const key = await platform.activate(product, serial);
  const alias = async (init: RequestInit): Promise<string> => {
    const reply = await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
      ...init,
      headers: {
        'X-Exosite-CIK': key,
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
      },
    });
    return new URLSearchParams(await reply.text()).get('engine_fetch') ?? '';
  };
  return {
    reads: () => alias({}),
    async writes(values) {
      const form = Object.entries(values).map(([name, value]): [string, string] => [
        name,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      await alias({ method: 'POST', body: encodeForm(form) });
    },
  };
}

/** What an agent reports that runs `hello` of this version. */
export function runningHello(version: string, status = 'RUNNING'): Readonly<Record<string, unknown>> {
  return {
    device_info: { gwe: '2.1.0', target: 'linux-arm64', interval: 3600 },
    engine_report: { apps: [{ hello: { version, previous: '1', status } }] },
  };
}
