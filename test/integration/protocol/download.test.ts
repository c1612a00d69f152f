import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import type * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Clock, createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import type { Logger } from '../../../src/base/log.ts';
import { type DownloadOptions, downloadContent } from '../../../src/protocol/content.ts';
import { createContentApi } from '../../../src/protocol/content-api.ts';
import { verifyFileDigest } from '../../../src/protocol/digest.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { installDiskFaults } from '../../helpers/disk-faults.ts';
import { httpAnswer, type RawRequest, startRawServer } from '../../helpers/raw-server.ts';

const directory = fs.mkdtempSync(join(tmpdir(), 'gwe-download-'));
after(() => fs.rmSync(directory, { recursive: true }));
const BYTES = randomBytes(20_000);
const EXPECTED = {
  type: 'x',
  sizeBytes: BYTES.length,
  updated: 7,
  meta: '',
  digest: { algorithm: 'sha256', hex: '' },
} as const;
const quiet = (): void => undefined;
const log: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, with: () => log };

let files = 0;
function freshFile(): string {
  files += 1;
  return join(directory, `part-${files}`);
}

/** Time stands still for pauses, which are noted. */
function instantClock(pauses: number[] = []): Clock {
  return {
    ...createSystemClock(),
    async sleep(ms) {
      pauses.push(ms);
    },
  };
}

type Answer = (socket: net.Socket, request: RawRequest, start: number) => void;

/** `partial` answers what a good server would, cut after `bytes` of body. */
function partial(socket: net.Socket, start: number, bytes = Number.POSITIVE_INFINITY, content = BYTES): void {
  const rest = content.subarray(start);
  const range = start === 0 ? [] : [`Content-Range: bytes ${start}-${content.length - 1}/${content.length}`];
  const head = [
    `HTTP/1.1 ${start === 0 ? '200 OK' : '206 Partial Content'}`,
    ...range,
    `Content-Length: ${rest.length}`,
    '',
    '',
  ];
  socket.write(head.join('\r\n'));
  socket.write(rest.subarray(0, bytes));
  socket.end();
}

async function serve(answer: Answer) {
  const server = await startRawServer((socket, request) => {
    answer(socket, request, Number(/^range: bytes=(\d+)-\r?$/im.exec(request.head)?.[1] ?? '0'));
  });
  after(() => server.close());
  return server;
}

function download(url: string, options: Partial<DownloadOptions> & { clock?: Clock } = {}) {
  const clock = options.clock ?? instantClock();
  const settings = { baseUrl: url, userAgent: 't', timeoutMs: 2000, allowInsecureHttp: false, env: {} };
  // The deadlines of the transport itself are real.
  const transport = createTransport(settings, { clock: createSystemClock() });
  const api = createContentApi({
    transport,
    cik: () => 'k'.repeat(40),
    product: { vendor: 'P', model: 'P', style: 'triple' },
    clock,
  });
  return downloadContent(api, {
    id: 'a.v1.tar.gz',
    partialFile: freshFile(),
    expected: EXPECTED,
    maxBytes: 1_000_000,
    log,
    random: () => 0,
    ...options,
  });
}

function failsWith(code: string, ...patterns: RegExp[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
}

test('a download comes whole in one request', async () => {
  const server = await serve((socket, _request, start) => partial(socket, start));
  const partialFile = freshFile();
  const result = await download(server.url, { partialFile });
  assert.deepEqual(result, { bytesFetched: BYTES.length, resumedFrom: 0, sizeBytes: BYTES.length });
  assert.ok(fs.readFileSync(partialFile).equals(BYTES));
  assert.doesNotMatch(server.requests[0]?.head ?? '', /^range/im);
  assert.match(
    server.requests[0]?.head ?? '',
    /^GET \/provision\/download\?vendor=P&model=P&id=a\.v1\.tar\.gz /,
  );
});

test('a resume of a resume gives the same bytes, wherever the connection is cut, and fetches none twice', async () => {
  let cuts: number[] = [];
  const server = await serve((socket, _request, start) => partial(socket, start, cuts.shift()));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 7 }), async (list) => {
      cuts = [...list];
      const partialFile = freshFile();
      const result = await download(server.url, { partialFile });
      assert.ok(fs.readFileSync(partialFile).equals(BYTES));
      assert.equal(result.bytesFetched, BYTES.length);
    }),
    { numRuns: 40 },
  );
});

test('a download goes on after a restart of the process, also from a restart of a restart', async () => {
  const server = await serve((socket, _request, start) => partial(socket, start, 4000));
  const partialFile = freshFile();
  const once = { tries: 1, firstPauseMs: 1, longestPauseMs: 1 };
  for (let i = 0; i < 4; i += 1) {
    await assert.rejects(
      download(server.url, { partialFile, retries: once }),
      failsWith('DOWNLOAD_INCOMPLETE', /kept/),
    );
    assert.equal(fs.statSync(partialFile).size, 4000 * (i + 1));
  }
  const result = await download(server.url, { partialFile, retries: once });
  assert.equal(result.resumedFrom, 16_000);
  assert.ok(fs.readFileSync(partialFile).equals(BYTES));
  assert.equal((await download(server.url, { partialFile })).bytesFetched, 0);
});

for (const [what, fresh] of [
  ['time', { ...EXPECTED, updated: 8 }],
  ['size', { ...EXPECTED, sizeBytes: 12_000 }],
] as const) {
  test(`a part of another ${what} of upload is thrown away, and no old tail stays`, async () => {
    const content = BYTES.subarray(0, fresh.sizeBytes);
    const server = await serve((socket, _request, start) => partial(socket, start, undefined, content));
    const partialFile = freshFile();
    fs.writeFileSync(partialFile, Buffer.alloc(15_000, 1));
    fs.writeFileSync(
      `${partialFile}.info`,
      JSON.stringify({ id: 'a.v1.tar.gz', sizeBytes: EXPECTED.sizeBytes, updated: 7 }),
    );
    const result = await download(server.url, { partialFile, expected: fresh });
    assert.equal(result.resumedFrom, 0);
    assert.ok(fs.readFileSync(partialFile).equals(content));
  });
}

test('a part without a note, with a broken note or longer than the file is thrown away', async () => {
  const server = await serve((socket, _request, start) => partial(socket, start));
  for (const note of [
    undefined,
    '{"id":',
    '[]',
    JSON.stringify({ id: 'a.v1.tar.gz', sizeBytes: EXPECTED.sizeBytes, updated: 7 }),
  ]) {
    const partialFile = freshFile();
    fs.writeFileSync(partialFile, Buffer.alloc(30_000));
    if (note !== undefined) fs.writeFileSync(`${partialFile}.info`, note);
    assert.equal((await download(server.url, { partialFile })).resumedFrom, 0);
    assert.ok(fs.readFileSync(partialFile).equals(BYTES));
  }
});

test('vector 35: a ranged reply of status 200 with Content-Range is taken as a part', async () => {
  const server = await serve((socket, request, start) => {
    if (request.index === 0) return partial(socket, start, 5000);
    socket.end(httpAnswer('200 OK', BYTES.subarray(start), [`Content-Range: bytes ${start}-19999/20000`]));
  });
  const partialFile = freshFile();
  assert.equal((await download(server.url, { partialFile })).bytesFetched, BYTES.length);
  assert.ok(fs.readFileSync(partialFile).equals(BYTES));
});

test('vector 37: a 200 without Content-Range in answer to a range replaces the part', async () => {
  const server = await serve((socket, request) => partial(socket, 0, request.index === 0 ? 5000 : undefined));
  const partialFile = freshFile();
  assert.equal((await download(server.url, { partialFile })).bytesFetched, 25_000);
  assert.ok(fs.readFileSync(partialFile).equals(BYTES));
});

for (const [what, headers, status] of [
  ['another range', ['Content-Range: bytes 4000-19999/20000'], '206 Partial Content'],
  ['a range that makes no sense', ['Content-Range: bytes 9-3/20000'], '206 Partial Content'],
  ['a part without a range', [], '206 Partial Content'],
  ['416', [], '416 Range Not Satisfiable'],
  ['412', [], '412 Precondition Failed'],
] as const) {
  test(`${what} in answer to a range makes the download start over without ranges`, async () => {
    const server = await serve((socket, request, start) => {
      if (start === 0) return partial(socket, 0, request.index === 0 ? 5000 : undefined);
      socket.end(httpAnswer(status, BYTES.subarray(4000), headers));
    });
    const partialFile = freshFile();
    await download(server.url, { partialFile });
    assert.ok(fs.readFileSync(partialFile).equals(BYTES));
    assert.equal(server.requests.length, 3);
  });
}

test('a server that sends less than the range is asked for the rest', async () => {
  const server = await serve((socket, _request, start) => {
    const end = Math.min(start + 7000, BYTES.length) - 1;
    socket.end(
      httpAnswer('206 Partial', BYTES.subarray(start, end + 1), [
        `Content-Range: bytes ${start}-${end}/20000`,
      ]),
    );
  });
  const partialFile = freshFile();
  assert.equal((await download(server.url, { partialFile })).bytesFetched, BYTES.length);
  assert.equal(server.requests.length, 3);
});

test('a size other than that of the info means that the content changed, and the part is removed', async () => {
  const server = await serve((socket, _request, start) =>
    partial(socket, start, undefined, Buffer.concat([BYTES, BYTES])),
  );
  const partialFile = freshFile();
  await assert.rejects(download(server.url, { partialFile }), failsWith('DOWNLOAD_CHANGED', /40000/));
  assert.ok(!fs.existsSync(partialFile) && !fs.existsSync(`${partialFile}.info`));
});

test('more bytes than announced are refused before they are written', async () => {
  const server = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
    socket.end(Buffer.concat([BYTES, BYTES]));
  });
  await assert.rejects(download(server.url), failsWith('DOWNLOAD_TOO_LARGE', /20000/));
  await assert.rejects(
    download(server.url, { maxBytes: 100 }),
    failsWith('DOWNLOAD_TOO_LARGE', /at most 100/),
  );
});

for (const [status, code] of [
  ['404 Not Found', 'DOWNLOAD_NOT_FOUND'],
  ['403 Forbidden', 'DOWNLOAD_REFUSED'],
  ['400 Bad Request', 'DOWNLOAD_REFUSED'],
  ['401 Unauthorized', 'PROTOCOL_UNAUTHORIZED'],
  ['302 Found', 'PROTOCOL_REFUSED'],
] as const) {
  test(`status ${status} stops a download at once with ${code}`, async () => {
    const server = await serve((socket) => socket.end(httpAnswer(status)));
    await assert.rejects(download(server.url), failsWith(code));
    assert.equal(server.requests.length, 1);
  });
}

test('Retry-After is honoured, but not for more than an hour', async () => {
  const headers = [
    ['Retry-After: 90'],
    ['Retry-After: 999999'],
    ['Date: Fri, 15 Jun 2018 19:00:00 GMT', 'Retry-After: Fri, 15 Jun 2018 19:02:00 GMT'],
  ];
  const server = await serve((socket, request, start) => {
    const given = headers[request.index];
    if (given === undefined) return partial(socket, start);
    socket.end(httpAnswer('503 Service Unavailable', '', given));
  });
  const pauses: number[] = [];
  await download(server.url, { clock: instantClock(pauses) });
  assert.deepEqual(
    pauses.filter((ms) => ms !== 20_000),
    [90_000, 3_600_000, 120_000],
  );
});

test('without progress it is given up after eight tries with growing pauses', async () => {
  const server = await serve((socket) => socket.destroy());
  const pauses: number[] = [];
  await assert.rejects(
    download(server.url, { clock: instantClock(pauses) }),
    failsWith('DOWNLOAD_INCOMPLETE', /0 of 20000 bytes after 8 tries/),
  );
  assert.equal(server.requests.length, 8);
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
});

test('progress starts the count of tries afresh', async () => {
  const server = await serve((socket, request, start) => {
    if (request.index % 3 === 2) partial(socket, start, 3000);
    else socket.destroy();
  });
  const retries = { tries: 4, firstPauseMs: 1, longestPauseMs: 1 };
  assert.equal((await download(server.url, { retries })).bytesFetched, BYTES.length);
  assert.ok(server.requests.length > 12);
});

test('a server without ranges that always breaks off early is given up', async () => {
  const server = await serve((socket) => partial(socket, 0, 5000));
  await assert.rejects(download(server.url), failsWith('DOWNLOAD_INCOMPLETE'));
  assert.ok(server.requests.length <= 10, String(server.requests.length));
});

test('going back and forth without a byte never had before is no progress', async () => {
  const server = await serve((socket, request) => {
    if (request.index > 40) socket.destroy();
    else partial(socket, 0, request.index % 2 === 0 ? 5000 : 100);
  });
  await assert.rejects(download(server.url), failsWith('DOWNLOAD_INCOMPLETE'));
  assert.ok(server.requests.length <= 10, String(server.requests.length));
});

test('a signal stops a download between two reads and the part stays', async () => {
  const stop = new AbortController();
  const server = await serve((socket, _request, start) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES.length}\r\n\r\n`);
    socket.write(BYTES.subarray(start, 5000));
  });
  const partialFile = freshFile();
  const onProgress = (have: number): void => {
    if (have === 5000) stop.abort();
  };
  await assert.rejects(
    download(server.url, { partialFile, signal: stop.signal, onProgress }),
    failsWith('CANCELLED'),
  );
  assert.equal(fs.statSync(partialFile).size, 5000);
});

test('without a digest, info is asked again before a part is continued', async () => {
  const { digest: _none, ...expected } = EXPECTED;
  const server = await serve((socket, request, start) => {
    if (request.head.includes('info=true')) socket.end(httpAnswer('200 OK', 'x,20000,8,'));
    else partial(socket, start, 5000);
  });
  await assert.rejects(download(server.url, { expected }), failsWith('DOWNLOAD_CHANGED'));
  assert.equal(server.requests.length, 2);
});

test('a full disk is reported as a full disk', async (t) => {
  const full = join(directory, 'full');
  fs.mkdirSync(full);
  const disk = installDiskFaults();
  t.after(() => disk.restore());
  const server = await serve((socket, _request, start) => {
    disk.set(full, { code: 'ENOSPC', hits: 0 });
    partial(socket, start);
  });
  await assert.rejects(
    download(server.url, { partialFile: join(full, 'part') }),
    failsWith('STORE_NO_SPACE'),
  );
  assert.equal(server.requests.length, 1);
});

test('a file is held against its digest', async () => {
  const file = freshFile();
  fs.writeFileSync(file, BYTES);
  const hex = createHash('sha256').update(BYTES).digest('hex');
  await verifyFileDigest(file, { algorithm: 'sha256', hex: hex.toUpperCase() });
  await assert.rejects(
    verifyFileDigest(file, { algorithm: 'sha1', hex }),
    failsWith('DOWNLOAD_DIGEST', /expected/),
  );
});

/** Who is given the bytes as they come. */
function listener(isDone = true) {
  const heard = { bytes: Buffer.alloc(0), isDropped: false, asked: 0 };
  const beside: DownloadOptions['beside'] = {
    async write(piece) {
      if (!heard.isDropped) heard.bytes = Buffer.concat([heard.bytes, piece]);
    },
    drop() {
      heard.isDropped = true;
    },
    async isDone() {
      heard.asked += 1;
      return isDone;
    },
  };
  return { heard, beside };
}

test('who listens hears each byte once, in order, also over a connection that breaks', async () => {
  const server = await serve((socket, _request, start) =>
    partial(socket, start, start === 0 ? 7000 : 20_000),
  );
  const { heard, beside } = listener();
  const partialFile = freshFile();
  await download(server.url, { partialFile, beside });
  assert.ok(heard.bytes.equals(BYTES));
  assert.deepEqual([heard.isDropped, heard.asked], [false, 1]);
  assert.ok(fs.readFileSync(partialFile).equals(BYTES), 'and the file has them too');
});

test('a listener hears when the download has to begin again', async () => {
  // A server without ranges, whose first answer breaks off.
  let requests = 0;
  const server = await serve((socket) => partial(socket, 0, requests++ === 0 ? 7000 : 20_000));
  const { heard, beside } = listener();
  const partialFile = freshFile();
  await download(server.url, { partialFile, beside });
  assert.equal(heard.isDropped, true);
  assert.ok(fs.readFileSync(partialFile).equals(BYTES));
});

test('a download that has served its purpose is not synced, another is', async () => {
  const server = await serve((socket, _request, start) => partial(socket, start));
  for (const isDone of [true, false]) {
    const partialFile = freshFile();
    await download(server.url, { partialFile, beside: listener(isDone).beside });
    const { syncedBytes } = JSON.parse(fs.readFileSync(`${partialFile}.info`, 'utf8'));
    assert.equal(syncedBytes, isDone ? 0 : BYTES.length);
  }
});
