/** The part of the storage suite about content. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoreStorage } from '../../src/platform/storage/storage.ts';
import { type SuiteContext, sha256 } from './storage-suite-context.ts';

async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readContent(storage: CoreStorage, product: string, id: string): Promise<Buffer | undefined> {
  const open = await storage.openContent(product, id);
  if (open === undefined) return undefined;
  return Buffer.concat(await open.read({ first: 0, last: open.item.sizeBytes - 1 }).toArray());
}

export function contentTests({ storage, name, another }: SuiteContext): void {
  const limit = 64 * 1024 * 1024;
  const receive = (bytes: Uint8Array) => storage().receive(chunks(bytes), limit);
  const facts = { contentType: 'text/plain', meta: 'm' };

  test('what is kept is counted: devices by state, and the bytes of all content', async () => {
    const product = name();
    const before = (await storage().figures()).contentBytes;
    const call = (serial: string) => ({ product, serial, connection: 'test', unlessActivated: false });
    for (const serial of ['a', 'b', 'c']) await storage().enableDevice(call(serial));
    await storage().activate({ ...call('c'), vendor: product });
    await storage().putContent(product, 'x', facts, await receive(Buffer.alloc(1234)));
    const { devices, contentBytes } = await storage().figures();
    const own = devices.filter((one) => one.product === product).map(({ state, count }) => [state, count]);
    assert.deepEqual(own.sort(), [
      ['activated', 1],
      ['notactivated', 2],
    ]);
    assert.equal(contentBytes - before, 1234);
  });

  test('content is put, read whole and in ranges, replaced and deleted', async () => {
    const product = name();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 31) & 255));
    const upload = await receive(bytes);
    assert.deepEqual([upload.sizeBytes, upload.sha256], [bytes.length, sha256(bytes)]);
    const item = await storage().putContent(product, 'id/with, odd "name"', facts, upload);
    await upload.discard();
    assert.deepEqual(item, {
      id: 'id/with, odd "name"',
      ...facts,
      sizeBytes: bytes.length,
      updatedAt: item.updatedAt,
      isProtected: false,
      hasBlob: true,
    });
    assert.deepEqual(await storage().findContent(product, item.id), item);
    assert.deepEqual(await readContent(storage(), product, item.id), bytes);
    const range = async (first: number, last: number) => {
      const open = await storage().openContent(product, item.id);
      assert.ok(open !== undefined);
      return Buffer.concat(await open.read({ first, last }).toArray());
    };
    assert.deepEqual(await range(5, 9), bytes.subarray(5, 10));
    assert.deepEqual(await range(299_999, 299_999), bytes.subarray(299_999));
    const open = await storage().openContent(product, item.id);
    await open?.close();

    const replaced = await storage().putContent(product, item.id, facts, await receive(Buffer.from('new')));
    assert.ok(replaced.updatedAt > item.updatedAt);
    assert.equal((await readContent(storage(), product, item.id))?.toString(), 'new');
    assert.equal(await storage().deleteContent(product, item.id), true);
    assert.equal(await storage().deleteContent(product, item.id), false);
    assert.equal(await storage().openContent(product, item.id), undefined);
    assert.equal(await storage().findContent(product, item.id), undefined);
  });

  test('what is being read outlives its replacement', async () => {
    const product = name();
    const old = Buffer.alloc(200_000, 'old');
    await storage().putContent(product, 'a', facts, await receive(old));
    const open = await storage().openContent(product, 'a');
    await storage().putContent(product, 'a', facts, await receive(Buffer.from('new')));
    assert.ok(open !== undefined);
    assert.deepEqual(Buffer.concat(await open.read({ first: 0, last: old.length - 1 }).toArray()), old);
  });

  test('content without a byte is content', async () => {
    const product = name();
    await storage().putContent(product, 'empty', facts, await receive(Buffer.alloc(0)));
    assert.equal((await readContent(storage(), product, 'empty'))?.length, 0);
  });

  test('an entry is created once and filled once, however many try', async () => {
    const product = name();
    const created = await Promise.all(
      Array.from({ length: 8 }, () => storage().createContent(product, 'a', 'm', true)),
    );
    assert.equal(created.filter(Boolean).length, 1);
    const before = await storage().findContent(product, 'a');
    assert.deepEqual([before?.hasBlob, before?.isProtected, before?.meta], [false, true, 'm']);
    assert.equal(await storage().openContent(product, 'a'), undefined);
    const bytes = Array.from({ length: 6 }, (_, n) => Buffer.from(`bytes ${n}`));
    const uploads = await Promise.all(bytes.map(receive));
    const results = await Promise.all(
      uploads.map((upload) => storage().fillContent(product, 'a', 'text/x', upload)),
    );
    assert.deepEqual(results.filter((one) => one === 'done').length, 1);
    assert.deepEqual(results.filter((one) => one === 'filled').length, 5);
    assert.deepEqual(await readContent(storage(), product, 'a'), bytes[results.indexOf('done')]);
    assert.equal((await storage().findContent(product, 'a'))?.isProtected, true);
    assert.equal(await storage().fillContent(product, 'b', 't', await receive(Buffer.from('x'))), 'unknown');
  });

  test('the last of many that put is there whole', async () => {
    const product = name();
    const bytes = Array.from({ length: 8 }, (_, n) => Buffer.alloc(100_000 + n, n));
    const uploads = await Promise.all(bytes.map(receive));
    const items = await Promise.all(
      uploads.map((upload) => storage().putContent(product, 'a', facts, upload)),
    );
    assert.equal(new Set(items.map(({ updatedAt }) => updatedAt)).size, 8, 'each has a time of its own');
    const found = await readContent(storage(), product, 'a');
    const last = items.reduce((one, other) => (other.updatedAt > one.updatedAt ? other : one));
    assert.deepEqual(found, bytes[items.indexOf(last)]);
  });

  test('an upload that ends early or passes the limit throws and leaves nothing', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(100_000);
      throw new Error('the client went away');
    };
    await assert.rejects(storage().receive(broken(), limit), /the client went away/);
    await assert.rejects(storage().receive(chunks(Buffer.alloc(200_000)), 199_999), {
      code: 'PROTOCOL_TOO_LARGE',
    });
    const upload = await receive(Buffer.from('given up'));
    await upload.discard();
    await assert.rejects(storage().putContent(name(), 'a', facts, upload));
  });

  test('content is listed in pages, by product', async () => {
    const own = await another();
    for (const id of ['c', 'a', 'b', 'B']) await own.storage.createContent('p', id, '', false);
    await own.storage.createContent('q', 'other', '', false);
    const ids = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);
    const first = await own.storage.listContent('p', { limit: 3 });
    assert.deepEqual([ids(first), first.next], [['B', 'a', 'b'], 'b']);
    const second = await own.storage.listContent('p', { after: 'b', limit: 3 });
    assert.deepEqual([ids(second), second.next], [['c'], undefined]);
  });

  test('content is there after a restart', async () => {
    const own = await another();
    const upload = await own.storage.receive(chunks(Buffer.from('kept')), limit);
    await own.storage.putContent('p', 'a', facts, upload);
    const again = await own.reopen();
    assert.equal((await readContent(again, 'p', 'a'))?.toString(), 'kept');
  });
}
