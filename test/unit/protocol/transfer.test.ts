import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import { createLogger } from '../../../src/base/log.ts';
import { createContentApi } from '../../../src/protocol/content-api.ts';
import { fetchPart, type PartOptions } from '../../../src/protocol/content-part.ts';
import { RangesIgnored } from '../../../src/protocol/retry.ts';
import { checkContentRange, WrongRange } from '../../../src/protocol/transfer.ts';
import type { StreamResponse, TransportRequest } from '../../../src/protocol/transport-types.ts';

const ID = 'a.v1.tar.gz';
const ITEM = Buffer.from(Array.from({ length: 8000 }, (_, at) => at % 251));

interface Answer {
  status?: number;
  headers?: Readonly<Record<string, string>>;
  /** An error stands for the line that breaks there. */
  pieces?: readonly (Buffer | GweError)[];
}

function response({ status = 206, headers = {}, pieces = [] }: Answer): StreamResponse {
  async function* chunks(): AsyncGenerator<Buffer> {
    for (const piece of pieces) {
      if (piece instanceof GweError) throw piece;
      yield piece;
    }
  }
  return {
    status,
    headers: { get: (name) => headers[name.toLowerCase()] ?? null },
    chunks: chunks(),
    cancel: () => undefined,
  };
}

/** A content area of one item on a clock that sleeps no time. */
function contentArea(answer: (range: string, number: number) => Answer) {
  const ranges: string[] = [];
  const pausesMs: number[] = [];
  const clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    sleep: async (ms: number) => {
      pausesMs.push(ms);
    },
  };
  const transport = {
    request: () => Promise.reject(new Error('nothing is asked')),
    async stream(request: TransportRequest) {
      const range = request.headers?.Range ?? '';
      ranges.push(range);
      return response(answer(range, ranges.length));
    },
    close: () => undefined,
  };
  const product = { vendor: 'p', model: 'p', style: 'triple' } as const;
  const api = createContentApi({ transport, cik: () => 'key', product, clock });
  const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
  const counts = { requests: 0, fetchedBytes: 0 };
  const fetch = async (options: Partial<PartOptions> = {}): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    const stretch = { id: ID, start: 0, end: ITEM.length - 1, sizeBytes: ITEM.length };
    for await (const piece of fetchPart(api, { ...stretch, log, counts, random: () => 0, ...options }))
      pieces.push(piece);
    return Buffer.concat(pieces);
  };
  return { fetch, ranges, pausesMs, counts };
}

const lost = new GweError('PROTOCOL_OFFLINE', 'the line broke');

function rangeOf(range: string): [start: number, end: number] {
  const [start = 0, end = 0] = range.replace('bytes=', '').split('-').map(Number);
  return [start, end];
}

function served(range: string, ...cut: GweError[]): Answer {
  const [start, end] = rangeOf(range);
  const bytes = ITEM.subarray(start, end + 1);
  const headers = { 'content-range': `bytes ${start}-${end}/${ITEM.length}` };
  return { headers, pieces: cut.length === 0 ? [bytes] : [bytes.subarray(0, 2000), ...cut] };
}

test('a transfer goes on at the byte where the line broke, and each byte comes once', async () => {
  const { fetch, ranges, counts, pausesMs } = contentArea((range, number) =>
    number < 4 ? served(range, lost) : served(range),
  );
  assert.deepEqual(await fetch(), ITEM);
  assert.deepEqual(ranges, ['bytes=0-7999', 'bytes=2000-7999', 'bytes=4000-7999', 'bytes=6000-7999']);
  assert.deepEqual(counts, { requests: 4, fetchedBytes: 8000 });
  assert.deepEqual(pausesMs, [1000, 1000, 1000]);
});

test('failures without a new byte are counted, and the last one is the cause when it is given up', async () => {
  const { fetch, pausesMs } = contentArea(() => ({ pieces: [lost], status: 200 }));
  const retries = { tries: 3, firstPauseMs: 10, longestPauseMs: 100 };
  await assert.rejects(fetch({ retries }), (error: GweError) => {
    assert.equal(error.code, 'DOWNLOAD_INCOMPLETE');
    assert.equal(error.cause, lost);
    return true;
  });
  assert.deepEqual(pausesMs, [10, 20]);
});

test('an answer that ends without a byte is a failure like a broken line', async () => {
  const { fetch, ranges } = contentArea((range, number) =>
    number === 1 ? { ...served(range), pieces: [] } : served(range),
  );
  assert.deepEqual(await fetch(), ITEM);
  assert.equal(ranges.length, 2);
});

test('a platform that ignores ranges is not asked again', async () => {
  const { fetch, ranges } = contentArea(() => ({ status: 200, pieces: [ITEM] }));
  await assert.rejects(fetch({ start: 10 }), RangesIgnored);
  assert.equal(ranges.length, 1);
});

test('a cancelled transfer asks for nothing, and one that is cancelled in a pause not again', async () => {
  const stop = new AbortController();
  const { fetch, ranges } = contentArea(() => {
    stop.abort();
    return { status: 503 };
  });
  await assert.rejects(fetch({ signal: stop.signal }), { code: 'CANCELLED' });
  await assert.rejects(fetch({ signal: stop.signal }), { code: 'CANCELLED' });
  assert.equal(ranges.length, 1);
});

test('the size of an item without info is learnt from its first answer', async () => {
  const { fetch } = contentArea((range) => {
    const [start, end] = rangeOf(range);
    const last = Math.min(end, ITEM.length - 1);
    return served(`bytes=${start}-${last}`);
  });
  const sizeBytes: { learnt?: number } = {};
  assert.deepEqual(await fetch({ end: 99_999, sizeBytes }), ITEM);
  assert.equal(sizeBytes.learnt, ITEM.length);
});

test('Content-Range says what an answer holds, whatever its status', () => {
  const held = (status: number, headers: Readonly<Record<string, string>>) =>
    checkContentRange(ID, response({ status, headers }), { start: 5, end: 9 }, () => 100);
  assert.equal(held(206, { 'content-range': 'bytes 5-9/100' }), 'range');
  assert.equal(held(200, { 'content-range': 'bytes 5-7/*' }), 'range');
  assert.equal(held(200, { 'content-length': '100' }), 'all');
  assert.equal(held(200, {}), 'all');
  assert.throws(() => held(206, {}), WrongRange);
  assert.throws(() => held(206, { 'content-range': 'bytes 4-9/100' }), WrongRange);
  assert.throws(() => held(206, { 'content-range': 'bytes 5-10/100' }), WrongRange);
  assert.throws(() => held(206, { 'content-range': 'bytes 5-9/101' }), { code: 'DOWNLOAD_CHANGED' });
  assert.throws(() => held(200, { 'content-length': '101' }), { code: 'DOWNLOAD_CHANGED' });
});
