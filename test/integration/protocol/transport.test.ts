import assert from 'node:assert/strict';
import type * as net from 'node:net';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import type {
  Traffic,
  Transport,
  TransportRequest,
  TransportSettings,
} from '../../../src/protocol/transport-types.ts';
import { httpAnswer, type RawRequest, startRawServer } from '../../helpers/raw-server.ts';

const clock = createSystemClock();
const GET: TransportRequest = { method: 'GET', path: '/x?a', purpose: 'read', maxBytes: 1000 };

function open(
  baseUrl: string,
  settings: Partial<TransportSettings> = {},
  traffic: Traffic[] = [],
): Transport {
  const all = {
    baseUrl,
    userAgent: 'test/1',
    timeoutMs: 30_000,
    allowInsecureHttp: false,
    env: {},
    ...settings,
  };
  return createTransport(all, { clock, onTraffic: (one) => traffic.push(one) });
}

async function serve(answer: (socket: net.Socket, request: RawRequest) => void) {
  const server = await startRawServer(answer);
  after(() => server.close());
  return server;
}

function failsWith(code: string, ...patterns: RegExp[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    for (const pattern of patterns) assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

test('a request is sent with few headers and its answer comes back whole', async () => {
  const server = await serve((socket) => socket.end(httpAnswer('200 OK', 'a=1', ['X-One: two'])));
  const response = await open(server.url).request({ ...GET, headers: { 'X-Exosite-CIK': 'k' } });
  assert.equal(response.status, 200);
  assert.equal(response.body.toString(), 'a=1');
  assert.equal(response.headers.get('x-ONE'), 'two');
  const head = server.requests[0]?.head ?? '';
  assert.match(head, /^GET \/x\?a HTTP\/1\.1\r\n/);
  assert.match(head, /User-Agent: test\/1/i);
  assert.match(head, /Accept-Encoding: identity/i);
  assert.ok(head.split('\r\n').length <= 7, head);
});

test('a POST carries its body with its length', async () => {
  const server = await serve((socket) => socket.end(httpAnswer('204 No Content')));
  await open(server.url).request({ ...GET, method: 'POST', body: 'a=ü' });
  assert.match(server.requests[0]?.head ?? '', /content-length: 4/i);
});

test('the bytes of a request are counted as the server sees them', async () => {
  const traffic: Traffic[] = [];
  const server = await serve((socket) => socket.end(httpAnswer('200 OK', 'x'.repeat(500))));
  await open(server.url, {}, traffic).request(GET);
  assert.deepEqual(traffic, [
    {
      purpose: 'read',
      rxBytes: server.txBytes(),
      txBytes: server.rxBytes(),
      path: GET.path,
      status: 200,
      isWhole: true,
      isLast: true,
      localAddress: '127.0.0.1',
    },
  ]);
  assert.ok(server.txBytes() > 500);
});

test('a redirect is refused and names the target host', async () => {
  const server = await serve((socket) =>
    socket.end(httpAnswer('302 Found', '', ['Location: https://elsewhere.test/steal'])),
  );
  await assert.rejects(
    open(server.url).request(GET),
    failsWith('PROTOCOL_REFUSED', /https:\/\/elsewhere\.test'/, /302/),
  );
  assert.equal(server.requests.length, 1);
});

test('status 304 is an answer', async () => {
  const server = await serve((socket) =>
    socket.end('HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n'),
  );
  assert.equal((await open(server.url).request(GET)).status, 304);
});

test('half a body is an error that says so', async () => {
  const server = await serve((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_OFFLINE', /middle of the answer/));
});

test('half a chunked body is an error', async () => {
  const server = await serve((socket) =>
    socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n'),
  );
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_OFFLINE'));
});

test('a body larger than allowed is refused while it comes', async () => {
  const server = await serve((socket) => socket.write(httpAnswer('200 OK', 'x'.repeat(1001))));
  await assert.rejects(
    open(server.url).request(GET),
    failsWith('PROTOCOL_TOO_LARGE', /larger than 1000 bytes/),
  );
});

test('a body that came compressed is taken for what it holds, and no more of it than of any other', async () => {
  const bodies = [gzipSync('a=1'), gzipSync('x'.repeat(1_000_000)), Buffer.from([0x1f, 0x8b, 8])];
  const server = await serve((socket, { index }) =>
    socket.end(httpAnswer('200 OK', bodies[index] ?? '', ['Content-Encoding: gzip'])),
  );
  const transport = open(server.url);
  assert.equal((await transport.request(GET)).body.toString(), 'a=1');
  await assert.rejects(transport.request(GET), failsWith('PROTOCOL_TOO_LARGE'));
  await assert.rejects(transport.request(GET), failsWith('PROTOCOL_GARBAGE', /compressed.*damaged/));
});

test('a tarball is unpacked only where it has been compressed twice, and its length is unknown then', async () => {
  const tarball = gzipSync('tar '.repeat(5000));
  const bodies = [tarball, gzipSync(tarball)];
  const server = await serve((socket, { index }) =>
    socket.end(httpAnswer('200 OK', bodies[index] ?? '', ['Content-Encoding: x-gzip'])),
  );
  const transport = open(server.url);
  for (const _ of bodies) {
    const response = await transport.stream({ ...GET, purpose: 'download' });
    assert.equal(response.headers.get('Content-Length'), null);
    const chunks: Buffer[] = [];
    for await (const chunk of response.chunks) chunks.push(chunk);
    assert.deepEqual(Buffer.concat(chunks), tarball);
  }
});

test('an answer that is not HTTP is garbage', async () => {
  const server = await serve((socket) => socket.end('SSH-2.0-OpenSSH_9\r\n'));
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_GARBAGE', /not HTTP/));
});

test('headers without end are refused', async () => {
  const server = await serve((socket) =>
    socket.end(`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`),
  );
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_GARBAGE'));
});

test('a connection closed without an answer is offline', async () => {
  const server = await serve((socket) => socket.destroy());
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_OFFLINE', /before an answer/));
});

test('silence ends after the idle time, which is named', async () => {
  const server = await serve(() => undefined);
  const transport = open(server.url, { timeoutMs: 80 });
  await assert.rejects(
    transport.request(GET),
    failsWith('PROTOCOL_OFFLINE', /timeout.* 80 ms/, /GET 'http:/),
  );
});

test('silence in the middle of a body ends after the idle time', async () => {
  const server = await serve((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'));
  const transport = open(server.url, { timeoutMs: 80 });
  await assert.rejects(transport.request(GET), failsWith('PROTOCOL_OFFLINE', /80 ms/));
});

test('a trickle does not hold a request for ever', async () => {
  const server = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n');
    const timer = setInterval(() => socket.write('x'), 20);
    socket.on('close', () => clearInterval(timer));
  });
  // Ten times as long in all; a busy machine must not make a pause of that length.
  const transport = open(server.url, { timeoutMs: 400 });
  await assert.rejects(transport.request(GET), failsWith('PROTOCOL_OFFLINE', /4000 ms/));
});

test('a refused connection says so and names the URL', async () => {
  const server = await startRawServer(() => undefined);
  await server.close();
  await assert.rejects(
    open(server.url).request(GET),
    failsWith('PROTOCOL_OFFLINE', /connection refused/, new RegExp(`${server.url}/x\\?a`)),
  );
});

test('an unknown name says that DNS has no address', async () => {
  await assert.rejects(
    open('https://no-such-host.invalid').request(GET),
    failsWith('PROTOCOL_OFFLINE', /DNS/),
  );
});

test('a signal ends a request as cancelled, before and while it runs', async () => {
  const server = await serve(() => stop.abort());
  const stop = new AbortController();
  const transport = open(server.url);
  await assert.rejects(transport.request({ ...GET, signal: stop.signal }), failsWith('CANCELLED'));
  await assert.rejects(transport.request({ ...GET, signal: stop.signal }), failsWith('CANCELLED'));
  assert.equal(server.requests.length, 1);
});

test('closing the transport cancels what is open', async () => {
  const server = await serve(() => transport.close());
  const transport = open(server.url);
  await assert.rejects(transport.request(GET), failsWith('CANCELLED'));
});

test('a stream that is cancelled before it is read closes its connection', async () => {
  const closed = new AbortController();
  const server = await serve((socket) => {
    socket.on('close', () => closed.abort());
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
  });
  const traffic: Traffic[] = [];
  const response = await open(server.url, {}, traffic).stream(GET);
  response.cancel();
  await clock.sleep(2000, closed.signal);
  assert.ok(closed.signal.aborted);
  assert.equal(traffic.length, 1);
});

test('a stream whose connection breaks before it is read throws when it is read', async () => {
  const server = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
    socket.end();
  });
  const response = await open(server.url).stream(GET);
  await clock.sleep(50);
  await assert.rejects(async () => {
    for await (const chunk of response.chunks) assert.ok(chunk.length > 0);
  }, failsWith('PROTOCOL_OFFLINE'));
});

test('plain HTTP to another machine is refused with the way out, unless allowed', () => {
  assert.throws(() => open('http://192.0.2.1'), failsWith('CONFIG_INVALID', /https:\/\//));
  open('http://192.0.2.1', { allowInsecureHttp: true }).close();
  open('http://[::1]:8080').close();
});

for (const bad of ['platform.test', 'ftp://x', 'https://user:secret@x', 'https://x/?q=1', '']) {
  test(`the platform URL '${bad}' is refused without showing a password`, () => {
    assert.throws(
      () => open(bad),
      (error) => failsWith('CONFIG_INVALID')(error) && !String(error).includes('secret'),
    );
  });
}
