/**
 * What every storage of the platform has to hold to, as tests: a function that takes a way to open one. Run for each
 * kind by test/conformance/platform.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { StorageOptions } from '../../src/platform/storage/storage.ts';
import { contentTests } from './storage-suite-content.ts';
import { activated, eventually, type StorageUnderTest, type SuiteContext } from './storage-suite-context.ts';
import { valueTests } from './storage-suite-values.ts';

export function storageSuite(
  kind: string,
  open: (options?: StorageOptions) => Promise<StorageUnderTest>,
  parts: 'all' | 'content' = 'all',
): void {
  describe(`storage in ${kind}`, () => {
    let main: StorageUnderTest;
    const opened: StorageUnderTest[] = [];
    const another = async (options?: StorageOptions): Promise<StorageUnderTest> => {
      const fresh = await open(options);
      opened.push(fresh);
      return fresh;
    };
    before(async () => {
      main = await another();
    });
    after(async () => {
      for (const each of opened) await each.end();
    });
    const context: SuiteContext = {
      storage: () => main.storage,
      name: () => `p-${randomBytes(6).toString('hex')}`,
      another,
      device: () => activated(main.storage, context.name(), 'gw'),
    };
    if (parts === 'all') {
      deviceTests(context);
      valueTests(context);
    }
    contentTests(context);
  });
}

function deviceTests({ storage, device, name, another }: SuiteContext): void {
  const call = (product: string, serial: string) => ({ product, serial, connection: '192.0.2.1' });

  test('a serial number is activated once, however many try, and its log says what happened', async () => {
    const product = name();
    const enabled = await storage().enableDevice({ ...call(product, 'gw'), unlessActivated: true });
    assert.ok(enabled !== 'activated' && enabled.state === 'notactivated');
    const results = await Promise.all(
      Array.from({ length: 12 }, () => storage().activate({ ...call(product, 'gw'), vendor: 'v' })),
    );
    assert.equal(results.filter(({ kind }) => kind === 'activated').length, 1);
    assert.equal(results.filter((one) => one.kind === 'refused' && one.state === 'activated').length, 11);
    assert.deepEqual(await storage().activate({ ...call(product, 'other'), vendor: 'v' }), {
      kind: 'unknown',
    });
    const log = await storage().activationLog(enabled.id);
    assert.equal(log.length, 13);
    assert.deepEqual(log[0], { at: log[0]?.at, connection: '192.0.2.1', entry: 'enabled' });
    assert.equal(log.filter(({ entry }) => entry === 'activated').length, 1);
    assert.equal(log.filter(({ entry }) => entry === 'refused: it is activated').length, 11);
  });

  test('the log of a serial number keeps the newest hundred', async () => {
    const product = name();
    for (let n = 0; n < 120; n++)
      await storage().enableDevice({ ...call(product, 'gw'), connection: String(n), unlessActivated: false });
    const found = await storage().findDevice(product, 'gw');
    const log = await storage().activationLog(found?.id ?? 0);
    assert.deepEqual([log.length, log[0]?.connection, log[99]?.connection], [100, '20', '119']);
  });

  test('a window that is over lets nobody in', async () => {
    const own = await another({ activationWindowSeconds: -1 });
    await own.storage.enableDevice({ ...call('p', 'gw'), unlessActivated: false });
    assert.equal((await own.storage.findDevice('p', 'gw'))?.state, 'expired');
    const result = await own.storage.activate({ ...call('p', 'gw'), vendor: 'v' });
    assert.ok(result.kind === 'refused' && result.state === 'expired');
  });

  test('enabling, disabling and giving another serial number end the key at once', async () => {
    const { device: first, cik } = await device();
    const { product } = first;
    assert.equal((await storage().authenticate(cik))?.id, first.id);
    assert.equal(
      await storage().enableDevice({ ...call(product, 'gw'), unlessActivated: true }),
      'activated',
    );
    assert.equal((await storage().authenticate(cik))?.id, first.id, 'it was left alone');
    await storage().enableDevice({ ...call(product, 'gw'), unlessActivated: false });
    assert.equal(await storage().authenticate(cik), undefined);
    assert.deepEqual(await storage().checkIn({ cik, writes: [['a', '1']], reads: [] }), { kind: 'unknown' });

    const second = await activated(storage(), product, 'two');
    assert.equal(await storage().disableDevice(call(product, 'two')), true);
    assert.equal(await storage().disableDevice(call(product, 'nobody')), false);
    assert.equal(await storage().authenticate(second.cik), undefined);
    assert.equal((await storage().findDevice(product, 'two'))?.state, 'expired');

    const third = await activated(storage(), product, 'three');
    const remap = (from: string, serial: string) => storage().remapDevice({ ...call(product, serial), from });
    assert.equal(await remap('three', 'two'), 'taken');
    assert.equal(await remap('nobody', 'four'), 'unknown');
    assert.equal(await remap('three', 'four'), 'done');
    assert.equal(await storage().authenticate(third.cik), undefined);
    assert.equal((await storage().findDevice(product, 'four'))?.id, third.device.id);
  });

  test('serial numbers are added and removed all or none', async () => {
    const product = name();
    await storage().createProduct(product);
    const add = (...serials: string[]) =>
      storage().addDevices(
        product,
        serials.map((serial) => ({ serial, extra: `of ${serial}` })),
      );
    assert.equal(await add('a', 'b'), undefined);
    assert.equal(await add('c', 'b', 'd'), 'b');
    const serials = async () =>
      (await storage().pageDevices(product, { offset: 0, limit: 10 })).map(({ serial }) => serial);
    assert.deepEqual(await serials(), ['a', 'b']);
    assert.deepEqual(
      [(await storage().findDevice(product, 'a'))?.state, (await storage().findDevice(product, 'a'))?.extra],
      ['unused', 'of a'],
    );
    const { cik } = await activated(storage(), product, 'a');
    await storage().checkIn({ cik, writes: [['x', '1']], reads: ['x'] });
    assert.equal(await storage().removeDevices(product, ['a', 'nobody']), 'nobody');
    assert.deepEqual(await serials(), ['a', 'b']);
    assert.equal(await storage().removeDevices(product, ['a', 'b']), undefined);
    assert.deepEqual(await serials(), []);
    assert.equal(await storage().authenticate(cik), undefined);
  });

  test('a list of devices comes in pages, in the order of bytes, each once, filtered', async () => {
    const product = name();
    await storage().createProduct(product);
    const serials = [...Array.from({ length: 2500 }, (_, n) => `gw-${n}`), 'B', 'a', 'b', '\u00e9', 'z%_'];
    await storage().addDevices(
      product,
      serials.map((serial) => ({ serial, extra: '' })),
    );
    const found: string[] = [];
    let pages = 0;
    for (let after: string | undefined; ; pages++) {
      const { items, next } = await storage().listDevices(product, { after, limit: 700 });
      assert.ok(items.length <= 700);
      found.push(...items.map(({ serial }) => serial));
      if (next === undefined) break;
      after = next;
    }
    assert.ok(pages >= 3);
    assert.deepEqual(
      found,
      [...serials].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))),
    );
    const only = async (filter: object) => {
      const all: string[] = [];
      for (let after: string | undefined; ; ) {
        const { items, next } = await storage().listDevices(product, { ...filter, after, limit: 500 });
        all.push(...items.map(({ serial }) => serial));
        if (next === undefined) return all;
        after = next;
      }
    };
    assert.deepEqual(await only({ prefix: 'gw-249' }), [
      'gw-249',
      ...Array.from({ length: 10 }, (_, n) => `gw-249${n}`),
    ]);
    assert.deepEqual(await only({ prefix: 'z%_' }), ['z%_']);
    const { cik } = await activated(storage(), product, 'b');
    await storage().authenticate(cik);
    assert.deepEqual(await only({ state: 'activated' }), ['b']);
    assert.equal((await only({ state: 'unused' })).length, serials.length - 1);
    const now = (await storage().findDevice(product, 'b'))?.enabledAt ?? 0;
    assert.equal((await only({ seenBefore: now + 3600 })).length, serials.length);
    await eventually('b is seen', async () => !(await only({ seenBefore: 1 })).includes('b'));
    assert.deepEqual(
      (await storage().pageDevices(product, { offset: 1, limit: 2 })).map(({ serial }) => serial),
      ['a', 'b'],
    );
  });

  test('that a device was seen is known soon, and after a restart', async () => {
    const own = await another();
    const { device: fresh, cik } = await activated(own.storage, 'p', 'gw');
    assert.equal(fresh.lastSeenAt, 0);
    await own.storage.checkIn({ cik, writes: [], reads: ['a'] });
    await eventually('the device is seen', async () => {
      return ((await own.storage.findDevice('p', 'gw'))?.lastSeenAt ?? 0) > 0;
    });
    const again = await own.reopen();
    assert.ok(((await again.findDevice('p', 'gw'))?.lastSeenAt ?? 0) >= fresh.enabledAt);
  });

  test('products are made once, and listed in pages', async () => {
    const own = await another();
    const made = await Promise.all(Array.from({ length: 8 }, () => own.storage.createProduct('same')));
    assert.deepEqual(made.filter(Boolean), [true]);
    for (const product of ['b', 'a']) await own.storage.createProduct(product);
    assert.equal(await own.storage.hasProduct('a'), true);
    assert.equal(await own.storage.hasProduct('c'), false);
    const first = await own.storage.listProducts({ limit: 2 });
    assert.deepEqual(first, { items: ['a', 'b'], next: 'b' });
    assert.deepEqual(await own.storage.listProducts({ after: 'b', limit: 2 }), {
      items: ['same'],
      next: undefined,
    });
    for (const product of ['x', 'y', 'z']) await activated(own.storage, product, 'gw');
    assert.equal((await own.storage.findProductsOfSerial('gw')).length, 2);
    assert.deepEqual(await own.storage.findProductsOfSerial('nobody'), []);
  });

  test('names are text, whatever stands in them', async () => {
    for (const evil of [
      "x'); DELETE FROM device; --",
      '" OR 1=1',
      '%_\\',
      '\u0000'.slice(1),
      '\u{1f4a5}',
    ].filter((one) => one !== '')) {
      const product = `${name()}${evil}`;
      const { cik, device: found } = await activated(storage(), product, evil);
      assert.equal(found.serial, evil);
      await storage().checkIn({ cik, writes: [[evil, evil]], reads: [] });
      assert.deepEqual(await storage().aliases(found.id), [evil]);
    }
  });
}
