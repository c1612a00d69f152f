/** Whole replies of a hostile platform, from the status line on, over a real socket. */
import assert from 'node:assert/strict';
import { createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import {
  contentInfo,
  createContentApi,
  listContent,
  readContentRange,
} from '../../src/protocol/content-api.ts';
import { fetchPart } from '../../src/protocol/content-part.ts';
import { createDataApi } from '../../src/protocol/data.ts';
import { createTransport } from '../../src/protocol/transport.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import type { FuzzTarget } from './targets.ts';

const MOST_BYTES = 16 * 1024;
const head = (lines: readonly string[]): Buffer => Buffer.from(lines.join('\r\n'), 'latin1');

export async function httpTarget(): Promise<FuzzTarget> {
  let reply = Buffer.alloc(0);
  const server = await startRawServer((socket) => socket.end(reply));
  const clock = createSystemClock();
  const settings = {
    baseUrl: server.url,
    userAgent: 'fuzz',
    timeoutMs: 200,
    allowInsecureHttp: false,
    env: {},
  };
  const transport = createTransport(settings, { clock });
  const signal = new AbortController().signal;
  const data = createDataApi(transport, () => 'k', { clock, maxReplyBytes: MOST_BYTES });
  const product = { vendor: 'p', model: 'p', style: 'triple' } as const;
  // A server may ask for a pause (Retry-After), and that is no hang.
  const eager = { ...clock, sleep: () => Promise.resolve() };
  const content = createContentApi({
    transport,
    cik: () => 'k',
    product,
    clock: eager,
    maxReplyBytes: MOST_BYTES,
  });
  const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
  const retries = { tries: 2, firstPauseMs: 1, longestPauseMs: 1 };
  const part = { id: 'a', start: 0, end: 9, sizeBytes: 100, signal, log, retries };
  const calls: readonly (() => Promise<unknown>)[] = [
    () => data.readAliases(['engine_fetch', 'update_interval'], signal),
    () => data.exchange([['a', 'b']], ['engine_fetch'], signal),
    () => contentInfo(content, 'a', signal),
    () => listContent(content, signal),
    () => readContentRange(content, 'a', { start: 0, end: 9 }, { maxBytes: MOST_BYTES, signal }),
    async () => {
      let bytes = 0;
      for await (const piece of fetchPart(content, part)) bytes += piece.length;
      assert.equal(bytes, 10, 'all of the part, or an error');
    },
  ];
  return {
    name: 'http-reply',
    seeds: [
      head(['HTTP/1.1 200 OK', 'Content-Length: 16', '', 'engine_fetch=%7B']),
      head(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', '5', 'a=b&c', '0', '', '']),
      head([
        'HTTP/1.1 206 Partial Content',
        'Content-Range: bytes 0-9/100',
        'Content-Length: 10',
        '',
        '0123456789',
      ]),
      head(['HTTP/1.1 200 OK', 'Content-Encoding: gzip', 'Date: Mon, 02 Jan 2023 00:00:00 GMT', '', 'x']),
      head(['HTTP/1.1 503 Busy', 'Retry-After: 5', 'Content-Length: 0', '', '']),
      head(['HTTP/1.0 301 Moved', 'Location: http://127.0.0.1:1/', '', '']),
    ],
    words: [
      'HTTP/1.1 ',
      '\r\n',
      '\r\n\r\n',
      'Content-Length: ',
      'Transfer-Encoding: chunked',
      'Content-Range: bytes ',
      ': ',
      '204',
      '401',
      '404',
      'Content-Encoding: br',
      '100 Continue',
    ],
    limitBytes: 32 * 1024,
    async run(input) {
      reply = Buffer.from(input);
      const call = calls[input.length % calls.length];
      assert.ok(call);
      await call();
      server.requests.length = 0;
    },
    async close() {
      transport.close();
      await server.close();
    },
  };
}
