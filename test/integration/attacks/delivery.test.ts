/** What a hostile platform may do while it hands out content: send too much, too slowly, or something that never begins. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createLogger } from '../../../src/base/log.ts';
import { downloadContent } from '../../../src/protocol/content.ts';
import { createContentApi } from '../../../src/protocol/content-api.ts';
import { fetchPart } from '../../../src/protocol/content-part.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { startRawServer } from '../../helpers/raw-server.ts';

const SIZE = 100_000;
const IDLE_MS = 40;
const clock = createSystemClock();

interface Outcome {
  code: string;
  message: string;
  /** Bytes that lie in the partial file; `undefined`: there is none. */
  keptBytes: number | undefined;
  /** That the server got rid of. */
  sentBytes: number;
  requests: number;
  tookMs: number;
}

type Answer = (socket: Socket, index: number) => void;
type Content = ReturnType<typeof createContentApi>;

/** How `use` fails with a server that answers like that. */
async function against(
  answer: Answer,
  use: (content: Content, partialFile: string) => Promise<unknown>,
): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-delivery-'));
  const server = await startRawServer((socket, request) => answer(socket, request.index));
  const settings = {
    baseUrl: server.url,
    userAgent: 't',
    timeoutMs: IDLE_MS,
    allowInsecureHttp: false,
    env: {},
  };
  const transport = createTransport(settings, { clock });
  const product = { vendor: 'p', model: 'p', style: 'triple' } as const;
  const partialFile = join(directory, 'part');
  const startedMs = performance.now();
  try {
    const content = createContentApi({ transport, cik: () => 'k', product, clock, maxReplyBytes: 10_000 });
    const error: unknown = await use(content, partialFile).catch((caught: unknown) => caught);
    assert.ok(error instanceof GweError, `it must fail: ${String(error)}`);
    return {
      code: error.code,
      message: error.message,
      keptBytes: existsSync(partialFile) ? statSync(partialFile).size : undefined,
      sentBytes: server.txBytes(),
      requests: server.requests.length,
      tookMs: performance.now() - startedMs,
    };
  } finally {
    transport.close();
    await server.close();
    rmSync(directory, { recursive: true });
  }
}

const COMMON = {
  id: 'a.v1.tar.gz',
  retries: { tries: 3, firstPauseMs: 1, longestPauseMs: 2 },
  log: createLogger({ level: 'error', format: 'text', clock, write: () => undefined }),
};

/** Downloads an item of which info said that it has SIZE bytes. */
function download(answer: Answer): Promise<Outcome> {
  const expected = {
    sizeBytes: SIZE,
    updated: 1,
    digest: { algorithm: 'sha256', hex: '0'.repeat(64) },
  } as const;
  return against(answer, (content, partialFile) =>
    downloadContent(content, { ...COMMON, partialFile, expected, maxBytes: 2 * SIZE }),
  );
}

/** Fetches bytes 1000 to 1999 of it; `taken` gets how many there were. */
function downloadPart(answer: Answer, taken: { bytes: number } = { bytes: 0 }): Promise<Outcome> {
  return against(answer, async (content) => {
    const part = { ...COMMON, start: 1000, end: 1999, sizeBytes: SIZE };
    for await (const piece of fetchPart(content, part)) taken.bytes += piece.length;
    throw new GweError('CANCELLED', 'the part came');
  });
}

/** Sends `chunk` for as long as anybody takes it. */
function pour(socket: Socket, chunk: Buffer | string): void {
  const more = (): void => {
    if (socket.destroyed) return;
    if (socket.write(chunk)) setImmediate(more);
    else socket.once('drain', more);
  };
  more();
}

/** Sends one byte every few milliseconds. */
function drip(socket: Socket, byte = 'x'): void {
  const timer = setInterval(() => socket.write(byte), IDLE_MS / 2);
  socket.on('close', () => clearInterval(timer));
}

const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

/** More than the buffers on the way hold, and far from endless. */
const MOST_SENT = 16 * 1024 * 1024;

test('endless data attack: content that goes on beyond the size of its info is cut off there, and thrown away', async () => {
  for (const head of [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n',
  ]) {
    const outcome = await download((socket) => {
      socket.write(head);
      pour(socket, chunked('x'.repeat(0x4000)));
    });
    assert.deepEqual([outcome.code, outcome.keptBytes], ['DOWNLOAD_TOO_LARGE', undefined], outcome.message);
    assert.ok(outcome.sentBytes < MOST_SENT, `${outcome.sentBytes} bytes`);
  }
  // Without any length: until the connection ends, which it never does.
  const plain = await download((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
    pour(socket, 'x'.repeat(0x4000));
  });
  assert.deepEqual([plain.code, plain.keptBytes], ['DOWNLOAD_TOO_LARGE', undefined], plain.message);
});

test('endless data attack: another length than that of the info is not taken at all', async () => {
  const longer = await download((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE * 1000}\r\n\r\n`);
    pour(socket, 'x'.repeat(0x4000));
  });
  assert.deepEqual([longer.code, longer.keptBytes], ['DOWNLOAD_CHANGED', undefined], longer.message);
  const range = await download((socket) => {
    socket.write(`HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-${SIZE * 9}/${SIZE * 10}\r\n`);
    socket.write(`Content-Length: ${SIZE * 10}\r\n\r\n`);
    pour(socket, 'x'.repeat(0x4000));
  });
  assert.deepEqual([range.code, range.keptBytes], ['DOWNLOAD_CHANGED', undefined], range.message);
});

test('endless data attack: a part that is longer than its own Content-Range says is cut off', async () => {
  const outcome = await download((socket) => {
    socket.write(`HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-${SIZE - 1}/${SIZE}\r\n`);
    socket.write('Transfer-Encoding: chunked\r\n\r\n');
    pour(socket, chunked('x'.repeat(0x4000)));
  });
  assert.deepEqual([outcome.code, outcome.keptBytes], ['DOWNLOAD_TOO_LARGE', undefined], outcome.message);
});

test('endless data attack: headers that never end are no answer', async () => {
  const outcome = await download((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    pour(socket, `X-More: ${'x'.repeat(1000)}\r\n`);
  });
  assert.deepEqual([outcome.code, outcome.requests], ['DOWNLOAD_INCOMPLETE', 3], outcome.message);
  assert.ok(outcome.sentBytes < MOST_SENT, `${outcome.sentBytes} bytes`);
});

test('endless data attack: an answer that is announced over and over and never comes is given up', async () => {
  const outcome = await download((socket) => {
    const timer = setInterval(
      () => socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(9)),
      5,
    );
    socket.on('close', () => clearInterval(timer));
  });
  assert.deepEqual([outcome.code, outcome.requests], ['DOWNLOAD_INCOMPLETE', 3], outcome.message);
  assert.ok(outcome.tookMs < 60_000);
});

test('endless data attack: what is compressed on the way is not inflated', async () => {
  const bomb = gzipSync(Buffer.alloc(SIZE * 100));
  const outcome = await download((socket, index) => {
    if (index > 0) socket.destroy();
    else socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n'), bomb]));
  });
  assert.deepEqual([outcome.code, outcome.keptBytes], ['DOWNLOAD_INCOMPLETE', bomb.length], outcome.message);
});

test('slow retrieval attack: content that drips is given up, although no pause in it is long', async () => {
  const outcome = await download((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
    drip(socket);
  });
  assert.deepEqual([outcome.code, outcome.requests], ['DOWNLOAD_INCOMPLETE', 3], outcome.message);
  assert.ok(outcome.tookMs < 60_000);
});

test('slow retrieval attack: headers that drip are given up', async () => {
  const outcome = await download((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nX-Slow: ');
    drip(socket);
  });
  assert.deepEqual([outcome.code, outcome.requests], ['DOWNLOAD_INCOMPLETE', 3], outcome.message);
});

test('slow retrieval attack: a connection for each byte is no progress', async () => {
  const outcome = await download((socket, index) => {
    const range = `Content-Range: bytes ${index}-${SIZE - 1}/${SIZE}\r\n`;
    socket.end(`HTTP/1.1 206 Partial Content\r\n${range}Content-Length: ${SIZE - index}\r\n\r\nx`);
  });
  assert.deepEqual([outcome.code, outcome.requests], ['DOWNLOAD_INCOMPLETE', 3], outcome.message);
  assert.equal(outcome.keptBytes, 3, 'and yet nothing is fetched twice');
});

const partHead = (range: string): string =>
  `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes ${range}\r\nTransfer-Encoding: chunked\r\n\r\n`;

test('endless data attack: of a part no more is taken than was asked for', async () => {
  const taken = { bytes: 0 };
  const outcome = await downloadPart((socket) => {
    socket.write(partHead(`1000-1999/${SIZE}`));
    pour(socket, chunked('x'.repeat(0x4000)));
  }, taken);
  assert.deepEqual([outcome.message, taken.bytes], ['the part came', 1000]);
  assert.ok(outcome.sentBytes < MOST_SENT, `${outcome.sentBytes} bytes`);
});

test('endless data attack: a whole item in the place of a part is not read', async () => {
  const taken = { bytes: 0 };
  const outcome = await downloadPart((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    pour(socket, chunked('x'.repeat(0x4000)));
  }, taken);
  assert.deepEqual(
    [outcome.code, taken.bytes, outcome.requests],
    ['PROTOCOL_GARBAGE', 0, 1],
    outcome.message,
  );
  assert.ok(outcome.sentBytes < MOST_SENT, `${outcome.sentBytes} bytes`);
});

test('a part from elsewhere, longer than asked for, or of another item is not taken', async () => {
  for (const [range, codes] of [
    [`0-999/${SIZE}`, ['PROTOCOL_GARBAGE', 'DOWNLOAD_INCOMPLETE']],
    [`1001-1999/${SIZE}`, ['PROTOCOL_GARBAGE', 'DOWNLOAD_INCOMPLETE']],
    [`1000-2000/${SIZE}`, ['PROTOCOL_GARBAGE', 'DOWNLOAD_INCOMPLETE']],
    [`1000-1999/${SIZE + 1}`, ['DOWNLOAD_CHANGED']],
    ['1000-1999/5', ['PROTOCOL_GARBAGE', 'DOWNLOAD_INCOMPLETE']],
  ] as const) {
    const taken = { bytes: 0 };
    const outcome = await downloadPart((socket) => {
      socket.write(partHead(range));
      pour(socket, chunked('x'.repeat(0x4000)));
    }, taken);
    assert.ok((codes as readonly string[]).includes(outcome.code), `${range}: ${outcome.message}`);
    assert.equal(taken.bytes, 0, range);
  }
});

test('slow retrieval attack: a part that drips, or comes in bytes of their own, is given up', async () => {
  const drips = await downloadPart((socket) => {
    socket.write(`HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-1999/${SIZE}\r\n`);
    socket.write('Content-Length: 1000\r\n\r\n');
    drip(socket);
  });
  assert.equal(drips.code, 'DOWNLOAD_INCOMPLETE', drips.message);
  const bytes = await downloadPart((socket, index) => {
    const range = `Content-Range: bytes ${1000 + index}-1999/${SIZE}\r\n`;
    socket.end(`HTTP/1.1 206 Partial Content\r\n${range}Content-Length: ${1000 - index}\r\n\r\nx`);
  });
  assert.deepEqual([bytes.code, bytes.requests], ['DOWNLOAD_INCOMPLETE', 3], bytes.message);
});
