/** The part of the storage suite about values and their history. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckInResult } from '../../src/platform/storage/value-storage.ts';
import { activated, eventually, type SuiteContext } from './storage-suite-context.ts';

function textsOf(result: CheckInResult): Record<string, string> {
  assert.equal(result.kind, 'done');
  return result.kind === 'done'
    ? Object.fromEntries(result.values.map(({ alias, value }) => [alias, value]))
    : {};
}

export function valueTests({ storage, device, another }: SuiteContext): void {
  test('a check-in writes, then reads, in the order asked for', async () => {
    const { cik, device: own } = await device();
    const unknown = await storage().checkIn({ cik: 'f'.repeat(40), writes: [['a', '1']], reads: ['a'] });
    assert.deepEqual(unknown, { kind: 'unknown' });
    const idle = await storage().checkIn({ cik, writes: [], reads: ['a'] });
    assert.ok(idle.kind === 'done' && idle.device.id === own.id && idle.values.length === 0);
    const result = await storage().checkIn({
      cik,
      writes: [
        ['a', '1'],
        ['b', ''],
        ['a', '2'],
      ],
      reads: ['b', 'nothing', 'a'],
    });
    assert.ok(result.kind === 'done');
    assert.deepEqual(
      result.values.map(({ alias, value }) => [alias, value]),
      [
        ['b', ''],
        ['a', '2'],
      ],
    );
    assert.ok((result.values[1]?.sequence ?? 0) > (result.values[0]?.sequence ?? 0));
    assert.deepEqual(
      (await storage().history(own.id, 'a', 10)).map(({ value, writer }) => [value, writer]),
      [
        ['2', 'device'],
        ['1', 'device'],
      ],
    );
    assert.deepEqual(await storage().aliases(own.id), ['a', 'b']);
    assert.ok(((await storage().findDevice(own.product, 'gw'))?.lastWriteAt ?? 0) >= own.enabledAt);
  });

  test('values are what was written, byte by byte', async () => {
    const { cik } = await device();
    const values = ['\0', 'a\0b', '\r\n', '\u{1f4a5}\u00e9', '"'.repeat(1024 * 1024)];
    for (const value of values) {
      const result = await storage().checkIn({ cik, writes: [['a', value]], reads: ['a'] });
      assert.equal(textsOf(result).a, value);
    }
  });

  test('a command that is written between the read and the clear is not lost', async () => {
    const { cik, device: own } = await device();
    const gateway = (writes: [string, string][], reads = ['engine_fetch']) =>
      storage().checkIn({ cik, writes, reads });
    const command = (text: string) => storage().write(own.id, [['engine_fetch', text]], 'operator');
    await command('A');
    assert.deepEqual(textsOf(await gateway([])), { engine_fetch: 'A' });
    await command('B');
    assert.deepEqual(textsOf(await gateway([['engine_fetch', '']])), { engine_fetch: 'B' });
    assert.deepEqual(textsOf(await gateway([])), { engine_fetch: 'B' });
    assert.deepEqual(textsOf(await gateway([['engine_fetch', '']])), { engine_fetch: '' });
    // The same text again is another command.
    await command('B');
    await gateway([]);
    await command('B');
    assert.deepEqual(textsOf(await gateway([['engine_fetch', '']])), { engine_fetch: 'B' });
    assert.deepEqual(
      (await storage().history(own.id, 'engine_fetch', 10)).map(({ value }) => value),
      ['B', 'B', '', 'B', 'A'],
    );
  });

  test('only what a device was shown counts: who never read empties, and what an operator reads shows nothing', async () => {
    const { cik, device: own } = await device();
    const command = (text: string) => storage().write(own.id, [['c', text]], 'operator');
    const clear = async () => textsOf(await storage().checkIn({ cik, writes: [['c', '']], reads: ['c'] })).c;
    await command('A');
    await storage().read(own.id, ['c']);
    await command('B');
    assert.equal(await clear(), '');
    await command('C');
    const [c] = await storage().read(own.id, ['c']);
    assert.ok(c !== undefined && !c.isShown);
    await storage().show(own.id, [c]);
    assert.equal((await storage().read(own.id, ['c']))[0]?.isShown, true);
    await command('D');
    assert.equal(await clear(), 'D', 'it was shown C');
    // A device replaces what it likes, and empties what it wrote itself.
    const own1 = await storage().checkIn({ cik, writes: [['c', 'mine']], reads: [] });
    assert.equal(own1.kind, 'done');
    assert.equal(await clear(), '');
    await command('E');
    assert.equal(await storage().write(own.id, [['c', '']], 'operator'), 'done');
    assert.equal((await storage().read(own.id, ['c']))[0]?.value, '', 'an operator takes back at any time');
  });

  test('what was shown is kept over a restart', async () => {
    const own = await another();
    const { cik, device: gw } = await activated(own.storage, 'p', 'gw');
    await own.storage.write(gw.id, [['c', 'A']], 'operator');
    await own.storage.checkIn({ cik, writes: [], reads: ['c'] });
    const again = await own.reopen();
    await again.write(gw.id, [['c', 'B']], 'operator');
    assert.equal(textsOf(await again.checkIn({ cik, writes: [['c', '']], reads: ['c'] })).c, 'B');
  });

  test('the time of a change goes past what readers were shown, and never back', async () => {
    const { cik, device: own } = await device();
    let last = 0;
    for (let n = 0; n < 5; n++) {
      await storage().write(own.id, [['a', String(n)]], 'operator');
      const result = await storage().checkIn({ cik, writes: [], reads: ['a'] });
      const modifiedAt = result.kind === 'done' ? (result.values[0]?.modifiedAt ?? 0) : 0;
      assert.ok(modifiedAt > last, `${modifiedAt} after ${last}`);
      last = modifiedAt;
    }
  });

  test('a device that would have too much has written nothing', async () => {
    const { cik, device: own } = await device();
    const big = 'x'.repeat(1024 * 1024);
    const write = (...names: string[]) =>
      storage().checkIn({ cik, writes: names.map((name) => [name, big] as const), reads: [] });
    assert.equal((await write('a', 'b', 'c')).kind, 'done');
    assert.equal((await write('d', 'e')).kind, 'too-much');
    assert.deepEqual(await storage().aliases(own.id), ['a', 'b', 'c']);
    assert.deepEqual(await storage().history(own.id, 'd', 10), []);
    assert.equal(await storage().write(own.id, [['d', `${big}${big}`]], 'operator'), 'too-much');
    assert.equal(
      await storage().record(own.id, [{ alias: 'd', timestamp: 1, value: `${big}${big}` }]),
      'too-much',
    );
    const many = Array.from({ length: 1001 }, (_, n) => [`n${n}`, ''] as const);
    assert.equal((await storage().checkIn({ cik, writes: many, reads: [] })).kind, 'too-much');
    assert.equal((await write('a')).kind, 'done');
  });

  test('writes that arrive together are all there, each with a sequence of its own', async () => {
    const { cik, device: own } = await device();
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        n % 7 === 6
          ? storage().checkIn({ cik, writes: [['big', 'x'.repeat(5 * 1024 * 1024)]], reads: [] })
          : storage().checkIn({ cik, writes: [['n', String(n)]], reads: ['n'] }),
      ),
    );
    const kept = results.filter(({ kind }) => kind === 'done').length;
    assert.equal(results.filter(({ kind }) => kind === 'too-much').length, 60 - kept);
    assert.equal(kept, 52);
    const sequences = results.flatMap((one) =>
      one.kind === 'done' ? one.values.map((v) => v.sequence) : [],
    );
    assert.equal(new Set(sequences).size, kept);
    assert.equal((await storage().history(own.id, 'n', 1000)).length, kept);
    assert.equal(
      await storage()
        .read(own.id, ['big'])
        .then(({ length }) => length),
      0,
    );
  });

  test('recorded points clash in the same second, and the newest is what is read', async () => {
    const { device: own } = await device();
    const point = (timestamp: number, value: string) => ({ alias: 'a', timestamp, value });
    assert.deepEqual(await storage().record(own.id, [point(20, 'b'), point(10, 'a')]), []);
    assert.deepEqual(await storage().record(own.id, [point(10, 'other'), point(15, 'c'), point(15, 'd')]), [
      point(10, 'other'),
      point(15, 'd'),
    ]);
    const [value] = await storage().read(own.id, ['a']);
    assert.deepEqual([value?.value, value?.timestamp], ['b', 20]);
    assert.deepEqual(
      (await storage().history(own.id, 'a', 10)).map((entry) => entry.value),
      ['b', 'c', 'a'],
    );
  });

  test('history is bounded by number and by bytes, and the newest stays', async () => {
    const { cik, device: own } = await device();
    for (let n = 0; n < 1100; n += 100)
      await storage().checkIn({
        cik,
        writes: Array.from({ length: 100 }, (_, at) => ['n', String(n + at)] as const),
        reads: [],
      });
    const values = (await storage().history(own.id, 'n', 5000)).map(({ value }) => value);
    assert.deepEqual([values.length, values[0], values[999]], [1000, '1099', '100']);
    for (let n = 0; n < 12; n++)
      await storage().checkIn({ cik, writes: [['big', `${n}`.padEnd(1024 * 1024, '.')]], reads: [] });
    const big = await storage().history(own.id, 'big', 5000);
    assert.deepEqual([big.length, big[0]?.value.slice(0, 3)], [8, '11.']);
    assert.equal((await storage().history(own.id, 'big', 3)).length, 3);
  });

  test('history goes with age, but the newest of each alias', async () => {
    const own = await another({ keepHistorySeconds: -10 });
    const { cik, device: gw } = await activated(own.storage, 'p', 'gw');
    for (const value of ['1', '2', '3'])
      await own.storage.checkIn({ cik, writes: [['a', value]], reads: [] });
    await own.storage.record(gw.id, [{ alias: 'old', timestamp: 1, value: 'x' }]);
    const again = await own.reopen({ keepHistorySeconds: -10 });
    await eventually('old history is gone', async () => (await again.history(gw.id, 'a', 10)).length === 1);
    assert.equal((await again.history(gw.id, 'a', 10))[0]?.value, '3');
    assert.equal((await again.history(gw.id, 'old', 10)).length, 1);
    assert.equal((await again.read(gw.id, ['a']))[0]?.value, '3');
  });

  test('a listener hears of every device that was written to', async () => {
    const own = await another();
    const { cik, device: gw } = await activated(own.storage, 'p', 'gw');
    const told: number[] = [];
    own.storage.onWrite((ids) => told.push(...(ids ?? [])));
    await own.storage.checkIn({ cik, writes: [], reads: ['a'] });
    assert.deepEqual(told, []);
    const once = async (work: () => Promise<unknown>) => {
      const before = told.length;
      await work();
      await eventually('the listener is told', async () => told.length > before);
    };
    await once(() => own.storage.checkIn({ cik, writes: [['a', '1']], reads: [] }));
    await once(() => own.storage.write(gw.id, [['a', '2']], 'operator'));
    await once(() => own.storage.record(gw.id, [{ alias: 'a', timestamp: 1, value: 'x' }]));
    assert.ok(told.every((id) => id === gw.id));
  });
}
