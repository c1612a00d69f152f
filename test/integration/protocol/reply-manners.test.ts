/** Replies as servers and middleboxes write them: each manner with a body, without one, in one piece and byte by byte. */
import assert from 'node:assert/strict';
import type * as net from 'node:net';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import type { Transport, TransportRequest } from '../../../src/protocol/transport-types.ts';
import { startRawServer } from '../../helpers/raw-server.ts';

const KEY = 'a'.repeat(40);
const POST: TransportRequest = {
  method: 'POST',
  path: '/provision/activate',
  purpose: 'provision',
  maxBytes: 1000,
};

async function open(answer: (socket: net.Socket, index: number) => void): Promise<Transport> {
  const server = await startRawServer((socket, { index }) => answer(socket, index));
  after(() => server.close());
  const settings = {
    baseUrl: server.url,
    userAgent: 'test/1',
    timeoutMs: 5000,
    allowInsecureHttp: true,
    env: {},
  };
  return createTransport(settings, { clock: createSystemClock() });
}

type Manner = (status: string, length: string, body: string) => string;
const plain = (status: string, fields: readonly string[], body: string): string =>
  [`HTTP/1.1 ${status}`, ...fields, '', body].join('\r\n');
const chunks = (body: string): string =>
  body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

const MANNERS: Readonly<Record<string, Manner>> = {
  'lines that end in LF alone': (status, length, body) =>
    plain(status, ['X-One: two', length], '').replaceAll('\r\n', '\n') + body,
  'a folded header': (status, length, body) => plain(status, ['X-Long: a', ' b', '\tc', length], body),
  'a length twice': (status, length, body) => plain(status, [length, length], body),
  'a length as a list': (status, length, body) => plain(status, [length.replace(/(\d+)/, '$1, $1')], body),
  'a blank in front of the colon': (status, length, body) => plain(status, ['X-Bad : 1', length], body),
  'a line without a colon': (status, length, body) => plain(status, ['NoColonHere', length], body),
  '20 KB of cookies': (status, length, body) =>
    plain(status, [`Set-Cookie: a=${'a'.repeat(20_000)}`, length], body),
  'interim replies': (status, length, body) =>
    plain('100 Continue', [], '') +
    plain('103 Early Hints', ['Link: </x>'], '') +
    plain(status, [length], body),
  'an empty line in front': (status, length, body) => `\r\n${plain(status, [length], body)}`,
  'a status without words': (status, length, body) => plain(`${status.slice(0, 3)} `, [length], body),
  'HTTP/1.0 until the end': (status, _length, body) => `HTTP/1.0 ${status}\r\n\r\n${body}`,
  'bytes behind it': (status, length, body) => plain(status, [length], `${body}<!-- injected -->\r\n`),
  'bytes behind it, and the end announced': (status, length, body) =>
    plain(status, [length, 'Connection: close'], `${body}<!-- injected -->\r\n`),
};

for (const [what, manner] of Object.entries(MANNERS)) {
  for (const [status, body] of [
    ['200 OK', KEY],
    ['204 No Content', ''],
  ] as const) {
    test(`${what}: a reply of status ${status.slice(0, 3)} is read, whole or byte by byte`, async () => {
      const reply = Buffer.from(manner(status, `Content-Length: ${body.length}`, body), 'latin1');
      const transport = await open((socket, index) => {
        if (index === 0) {
          socket.end(reply);
          return;
        }
        const send = (at: number): void => {
          if (at === reply.length) socket.end();
          else socket.write(reply.subarray(at, at + 1), () => setImmediate(send, at + 1));
        };
        // Cookies would take long.
        if (reply.length < 1000) send(0);
        else socket.end(reply);
      });
      for (let round = 0; round < 2; round++) {
        const response = await transport.request(POST);
        assert.equal(response.status, Number(status.slice(0, 3)));
        assert.equal(response.body.toString(), body);
        assert.equal(response.headers.get('set-cookie'), null);
      }
    });
  }
}

test('a folded header has its lines joined', async () => {
  const transport = await open((socket) => socket.end(plain('200 OK', ['X-Long: a', ' b'], '')));
  assert.equal((await transport.request(POST)).headers.get('x-long'), 'a b');
});

test('chunks have the say where there is a length too', async () => {
  const fields = ['Content-Length: 3', 'Transfer-Encoding: chunked', 'Connection: close'];
  const transport = await open((socket) => socket.end(plain('200 OK', fields, chunks(KEY))));
  assert.equal((await transport.request(POST)).body.toString(), KEY);
});

for (const lengths of [['3', '4'], ['3, 4'], ['-1'], ['3', 'x']]) {
  test(`lengths that contradict themselves (${lengths.join('; ')}) are refused`, async () => {
    const fields = lengths.map((length) => `Content-Length: ${length}`);
    const transport = await open((socket) => socket.end(plain('200 OK', fields, KEY)));
    await assert.rejects(
      transport.request(POST),
      (error) => error instanceof GweError && error.code === 'PROTOCOL_GARBAGE',
    );
  });
}

test('a connection that brought more than its reply is not used again', async () => {
  const seen = new Set<net.Socket>();
  const transport = await open((socket) => {
    seen.add(socket);
    socket.write(
      plain('200 OK', ['Content-Length: 1'], '1HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'),
    );
  });
  for (let round = 0; round < 2; round++) {
    const response = await transport.request({ ...POST, method: 'GET' });
    assert.equal(response.body.toString(), '1');
  }
  assert.equal(seen.size, 2);
  transport.close();
});
