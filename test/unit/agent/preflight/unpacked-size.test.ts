import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  sizeByItemTrailer,
  sizeByTrailer,
  UNKNOWN_SIZE,
} from '../../../../src/agent/preflight/unpacked-size.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { type ContentApi, createContentApi } from '../../../../src/protocol/content-api.ts';
import type { TransportRequest, TransportResponse } from '../../../../src/protocol/transport-types.ts';

const SIGNAL = new AbortController().signal;
const LARGE = { sizeBytes: 5_000_000 };

function area(answer: (request: TransportRequest) => TransportResponse) {
  const asked: TransportRequest[] = [];
  const transport = {
    async request(request: TransportRequest) {
      asked.push(request);
      return answer(request);
    },
    stream: () => Promise.reject(new Error('nothing is streamed')),
    close: () => undefined,
  };
  const product = { vendor: 'p', model: 'p', style: 'triple' } as const;
  return {
    asked,
    api: createContentApi({ transport, cik: () => 'key', product, clock: createSystemClock() }),
  };
}

function item(api: ContentApi, info: { sizeBytes: number }) {
  return { api, request: { contentId: 'a.v1.tar.gz' }, info, signal: SIGNAL };
}

function reply(status: number, body: Buffer, range = ''): TransportResponse {
  const headers = { get: (name: string) => (name.toLowerCase() === 'content-range' ? range : null) };
  return { status, headers, body };
}

test('the last four bytes of a large item tell what it unpacks to, in one request', async () => {
  const trailer = Buffer.from([0x00, 0x00, 0x00, 0x90]);
  const { api, asked } = area(() => reply(206, trailer, 'bytes 4999996-4999999/5000000'));
  const measure = await sizeByItemTrailer(item(api, LARGE));
  assert.deepEqual(measure, { ...UNKNOWN_SIZE, unpackedBytes: 0x90000000 });
  assert.deepEqual([asked.length, asked[0]?.headers?.Range, asked[0]?.maxBytes], [1, 'bytes=-4', 4]);
});

test('a small item costs no request', async () => {
  const { api, asked } = area(() => assert.fail('asked'));
  assert.deepEqual(await sizeByItemTrailer(item(api, { sizeBytes: 1024 * 1024 })), UNKNOWN_SIZE);
  assert.equal(asked.length, 0);
});

test('a platform without ranges, or with nonsense, leaves the size unknown and stops nothing', async () => {
  const answers: (() => TransportResponse)[] = [
    () => reply(206, Buffer.alloc(4), 'bytes 0-3/5000000'),
    () => reply(206, Buffer.alloc(4)),
    () => reply(416, Buffer.alloc(0)),
    () => reply(500, Buffer.alloc(0)),
    () => {
      throw new GweError('PROTOCOL_TOO_LARGE', 'the whole item came instead');
    },
  ];
  for (const answer of answers)
    assert.deepEqual(await sizeByItemTrailer(item(area(answer).api, LARGE)), UNKNOWN_SIZE);
});

test('the wish to stop is passed on', async () => {
  const { api } = area(() => {
    throw new GweError('CANCELLED', 'stopping');
  });
  await assert.rejects(sizeByItemTrailer(item(api, LARGE)), { code: 'CANCELLED' });
});

test('a file tells it without being read, and one that is too short or not there tells nothing', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-measure-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'a.tar.gz');
  writeFileSync(path, gzipSync(Buffer.alloc(123_456)));
  assert.equal(sizeByTrailer(path).unpackedBytes, 123_456);
  writeFileSync(path, 'abc');
  assert.deepEqual(sizeByTrailer(path), UNKNOWN_SIZE);
  assert.deepEqual(sizeByTrailer(join(directory, 'none')), UNKNOWN_SIZE);
});
