/** Debian's chromium, driven by playwright-core; it and its profile end with the test. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';
import { removeRoot } from './remove-root.ts';

/** Alone in the test's network, without what a desktop's browser does beside. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** For a busy machine: a test that passes does not wait for it. */
const DEADLINE_MS = 90_000;

export interface Browser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

export interface BrowserOptions {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

export async function startBrowser(options: BrowserOptions = {}): Promise<Browser> {
  const { width = 1280, height = 800, colorScheme = 'light' } = options;
  const profile = mkdtempSync(join(tmpdir(), 'gwe-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.GWE_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: QUIET,
    viewport: { width, height },
    colorScheme,
    locale: 'en',
    timezoneId: 'UTC',
    timeout: DEADLINE_MS,
  });
  context.setDefaultTimeout(DEADLINE_MS);
  return {
    context,
    async close() {
      await context.close();
      removeRoot(profile);
    },
  };
}
