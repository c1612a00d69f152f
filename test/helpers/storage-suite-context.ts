/** What the parts of the storage suite share. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Device } from '../../src/platform/storage/device-storage.ts';
import type { CoreStorage, StorageOptions } from '../../src/platform/storage/storage.ts';

export interface StorageUnderTest {
  storage: CoreStorage;
  /** Closes it and opens another on the same data. */
  reopen(options?: StorageOptions): Promise<CoreStorage>;
  /** Closes it and removes the data. */
  end(): Promise<void>;
}

/** What the tests of one kind share. Names are fresh, so that one storage does for all. */
export interface SuiteContext {
  storage(): CoreStorage;
  /** An enabled and activated device of a product of its own. */
  device(): Promise<{ device: Device; cik: string }>;
  name(): string;
  /** Another storage with its own data, ended with the suite. */
  another(options?: StorageOptions): Promise<StorageUnderTest>;
}

export async function activated(
  storage: CoreStorage,
  product: string,
  serial: string,
): Promise<{ device: Device; cik: string }> {
  await storage.enableDevice({ product, serial, connection: 'test', unlessActivated: false });
  const result = await storage.activate({ product, serial, vendor: product, connection: 'test' });
  assert.equal(result.kind, 'activated');
  const device = await storage.findDevice(product, serial);
  assert.ok(device !== undefined && result.kind === 'activated');
  return { device, cik: result.cik };
}

export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 90_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `not within 90 s: ${what}`);
    await delay(50);
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
