import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import {
  addEntry,
  type Book,
  BookSchema,
  createBook,
  type Entry,
  laterBook,
  nameDays,
  sumTable,
  usedSince,
} from '../../../../src/agent/traffic/book.ts';
import { purposeOf } from '../../../../src/agent/traffic/counter.ts';

const entry = (rxBytes: number, more: Partial<Entry> = {}): Entry => ({
  iface: 'eth0',
  purpose: 'download',
  rxBytes,
  txBytes: 1,
  whole: { rxBytes, txBytes: 1 },
  ...more,
});

test('a request counts in all, in its month and on its day, and the largest one is remembered', () => {
  const book = createBook();
  addEntry(book, entry(10), '2026-11-23');
  addEntry(book, entry(30), '2026-11-24');
  addEntry(book, entry(5), '2026-12-01');
  assert.deepEqual(book.totals, { eth0: { download: { rx: 45, tx: 3, num: 3, maxRx: 30, maxTx: 1 } } });
  assert.deepEqual(book.months['2026-11'], { eth0: { download: { rx: 40, tx: 2, num: 2 } } });
  assert.deepEqual(book.days['2026-12-01'], { eth0: { download: { rx: 5, tx: 1, num: 1 } } });
  assert.equal(book.since, '2026-11-23');
  assert.equal(usedSince(book, '2026-11-24'), 30 + 5 + 2);
  assert.deepEqual(v.parse(BookSchema, JSON.parse(JSON.stringify(book))), book);
});

test('the parts of one long request are one request, as large as all of them', () => {
  const book = createBook();
  const { whole: _whole, ...part } = entry(100);
  addEntry(book, part, '2026-11-23');
  addEntry(book, entry(50, { whole: { rxBytes: 150, txBytes: 2 } }), '2026-11-23');
  assert.deepEqual(book.totals.eth0?.download, { rx: 150, tx: 2, num: 1, maxRx: 150, maxTx: 2 });
});

test('what was counted under a wrong clock counts for the budget, and gets its day when the time is known', () => {
  const book = createBook();
  addEntry(book, entry(10), undefined);
  addEntry(book, entry(20), '2038-01-19');
  assert.equal(usedSince(book, '2026-11-01'), 32);
  assert.equal(nameDays(book, '2026-11-23'), true);
  assert.deepEqual(Object.keys(book.days), ['2026-11-23']);
  assert.deepEqual(Object.keys(book.months), ['2026-11']);
  assert.deepEqual(sumTable(book.days['2026-11-23']), { rxBytes: 30, txBytes: 2, num: 2 });
  assert.deepEqual(book.unknown, {});
  assert.equal(nameDays(book, '2026-11-23'), false);
});

test('a ledger of years and of many interfaces stays small', () => {
  const book = createBook();
  for (let day = 0; day < 1500; day++) {
    const date = new Date(Date.UTC(2024, 0, 1 + day)).toISOString().slice(0, 10);
    addEntry(book, entry(1, { iface: `ppp${day}` }), date);
  }
  assert.equal(Object.keys(book.days).length, 62);
  assert.equal(Object.keys(book.months).length, 24);
  assert.equal(Object.keys(book.totals).length, 9);
  assert.equal(sumTable(book.totals).rxBytes, 1500);
  assert.ok(JSON.stringify(book).length < 32 * 1024, `${JSON.stringify(book).length} bytes`);
});

test('of two copies the one with more requests is the later one', () => {
  const older = createBook();
  const later: Book = { ...createBook(), sequence: 2 };
  assert.equal(laterBook(older, later), later);
  assert.equal(laterBook(later, older), later);
  assert.equal(laterBook(undefined, older), older);
  assert.equal(laterBook(undefined, undefined), undefined);
});

test('each request has one purpose; without a usable answer it was wasted', () => {
  const good = { path: '/x', status: 200, isWhole: true, isLast: true } as const;
  assert.equal(purposeOf({ ...good, purpose: 'read' }), 'check-in');
  assert.equal(purposeOf({ ...good, purpose: 'write' }), 'report');
  assert.equal(purposeOf({ ...good, purpose: 'read', status: 503 }), 'wasted');
  const { status: _status, ...unanswered } = good;
  assert.equal(purposeOf({ ...unanswered, purpose: 'read', isWhole: false }), 'wasted');
  const download = { ...good, purpose: 'download', path: '/provision/download?id=hello.v1.tar.gz' } as const;
  assert.equal(purposeOf(download), 'download');
  // The bytes of a broken download are used by the next try.
  assert.equal(purposeOf({ ...download, status: 206, isWhole: false }), 'download');
  assert.equal(
    purposeOf({ ...download, path: '/provision/download?vendor=a&id=gwe.v2.tar.gz' }),
    'self-update',
  );
});
