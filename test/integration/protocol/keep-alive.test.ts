/** One connection for the requests of a download, and what becomes of it when the server has other plans. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import type {
  StreamResponse,
  Traffic,
  Transport,
  TransportRequest,
  TransportSettings,
} from '../../../src/protocol/transport-types.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { type RawRequest, type RawServer, startRawServer } from '../../helpers/raw-server.ts';
import { until } from '../../helpers/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'gwe-keep-'));
after(() => rmSync(directory, { recursive: true }));
const certificates = makeCertificates(directory);
const clock = createSystemClock();
const GET: TransportRequest = { method: 'GET', path: '/x', purpose: 'download', maxBytes: 100_000 };
const POST: TransportRequest = { ...GET, method: 'POST', body: 'a=1', purpose: 'write' };

function open(server: RawServer, traffic: Traffic[] = [], more: Partial<TransportSettings> = {}): Transport {
  const transport = createTransport(
    {
      baseUrl: server.url,
      userAgent: 'test/1',
      timeoutMs: 30_000,
      allowInsecureHttp: false,
      env: {},
      caFile: certificates.caFile,
      ...more,
    },
    { clock, onTraffic: (one) => traffic.push(one) },
  );
  after(() => transport.close());
  return transport;
}

type Answer = (socket: net.Socket, request: RawRequest) => void;

async function serve(answer: Answer, secure?: TlsOptions): Promise<RawServer> {
  const server = await startRawServer(answer, secure);
  after(() => server.close());
  return server;
}

const secure = { cert: certificates.serverCert, key: certificates.serverKey };

function kept(body: string, headers: readonly string[] = []): string {
  return ['HTTP/1.1 200 OK', ...headers, `Content-Length: ${body.length}`, '', body].join('\r\n');
}

const echo: Answer = (socket, { index }) => void socket.write(kept(`answer ${index}`));

async function text(response: Promise<{ body: Buffer }>): Promise<string> {
  return (await response).body.toString();
}

async function readAll(response: StreamResponse): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of response.chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

for (const kind of ['http', 'https'] as const) {
  test(`${kind}: GETs one after the other share a connection, and each is counted separately`, async () => {
    const traffic: Traffic[] = [];
    const server = await serve(echo, kind === 'https' ? secure : undefined);
    const transport = open(server, traffic);
    for (const index of [0, 1, 2]) assert.equal(await text(transport.request(GET)), `answer ${index}`);
    assert.equal(await readAll(await transport.stream(GET)), 'answer 3');
    assert.equal(server.connections(), 1);
    const sum = (key: 'rxBytes' | 'txBytes'): number => traffic.reduce((total, one) => total + one[key], 0);
    await until(() => server.rxBytes() >= sum('txBytes'));
    assert.deepEqual([sum('rxBytes'), sum('txBytes')], [server.txBytes(), server.rxBytes()]);
    assert.equal(traffic.length, 4);
    for (const { rxBytes, txBytes } of traffic.slice(2)) assert.ok(rxBytes < 100 && txBytes < 300);
  });

  test(`${kind}: a POST has a connection of its own, which the GETs after it use`, async () => {
    const server = await serve(echo, kind === 'https' ? secure : undefined);
    const transport = open(server);
    for (const request of [GET, POST, GET, POST]) await transport.request(request);
    assert.equal(server.connections(), 3);
  });

  test(`${kind}: a server that closes after its answer is asked again on a new connection`, async () => {
    const server = await serve(
      (socket, { index }) =>
        index % 2 === 0
          ? socket.end(kept('last', ['Connection: close']))
          : socket.end(kept('last without a word')),
      kind === 'https' ? secure : undefined,
    );
    const transport = open(server);
    for (let times = 0; times < 6; times++) assert.match(await text(transport.request(GET)), /^last/);
    // A request may have been on its way when the closing came: it is asked again then.
    assert.equal(server.connections(), 6);
  });

  test(`${kind}: a GET that meets a connection just closed is sent once more, and counted once`, async () => {
    const traffic: Traffic[] = [];
    const server = await serve(
      (socket, { index }) => (index === 1 ? socket.destroy() : echo(socket, { head: '', body: '', index })),
      kind === 'https' ? secure : undefined,
    );
    const transport = open(server, traffic);
    await transport.request(GET);
    assert.equal(await text(transport.request(GET)), 'answer 2');
    assert.equal(server.connections(), 2);
    assert.equal(traffic.length, 2);
    const sent = traffic.reduce((total, one) => total + one.txBytes, 0);
    await until(() => server.rxBytes() >= sent);
    assert.equal(sent, server.rxBytes());
  });
}

test('a GET is sent once more only: a server that never answers is offline', async () => {
  const server = await serve((socket, { index }) =>
    index === 0 ? socket.write(kept('one')) : socket.destroy(),
  );
  const transport = open(server);
  await transport.request(GET);
  await assert.rejects(
    transport.request(GET),
    (error) => error instanceof GweError && error.code === 'PROTOCOL_OFFLINE',
  );
  assert.equal(server.requests.length, 3);
});

test('half an answer on a kept connection is not asked for again', async () => {
  const server = await serve((socket, { index }) =>
    index === 0 ? socket.write(kept('one')) : socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
  );
  const transport = open(server);
  await transport.request(GET);
  await assert.rejects(transport.request(GET), (error) => error instanceof GweError);
  assert.equal(server.requests.length, 2);
});

test('a kept connection on which nothing comes is given up after the idle time, for a new one', async () => {
  const server = await serve(
    (socket, { index }) => void (index !== 1 && echo(socket, { head: '', body: '', index })),
  );
  const transport = open(server, [], { timeoutMs: 150 });
  await transport.request(GET);
  assert.equal(await text(transport.request(GET)), 'answer 2');
});

test('an answer that was not read to its end takes its connection with it', async () => {
  const server = await serve(echo);
  const transport = open(server);
  (await transport.stream(GET)).cancel();
  await transport.request(GET);
  for await (const chunk of (await transport.stream(GET)).chunks) {
    assert.ok(chunk.length > 0);
    break;
  }
  await transport.request(GET);
  assert.equal(server.connections(), 3);
});

test('bytes that nobody asked for are not taken for the next answer', async () => {
  const server = await serve((socket, { index }) => {
    socket.write(kept(`answer ${index}`));
    setTimeout(() => socket.write(kept('forged!!')), 20);
  });
  const transport = open(server);
  await transport.request(GET);
  await clock.sleep(60);
  assert.equal(await text(transport.request(GET)), 'answer 1');
  assert.equal(server.connections(), 2);
});

test('requests at the same time have connections of their own, and one of them is kept', async () => {
  const server = await serve((socket, request) => void setTimeout(() => echo(socket, request), 20));
  const transport = open(server);
  await Promise.all([transport.request(GET), transport.request(GET), transport.request(GET)]);
  assert.equal(server.connections(), 3);
  await transport.request(GET);
  assert.equal(server.connections(), 3);
});

test('the connection that waits ends with the transport', async () => {
  let isClosed = false;
  const server = await serve((socket, request) => {
    socket.on('close', () => {
      isClosed = true;
    });
    echo(socket, request);
  });
  const transport = open(server);
  await transport.request(GET);
  assert.equal(isClosed, false);
  transport.close();
  await until(() => isClosed);
});

test('a signal that ends a request on a kept connection cancels it, and it is not sent again', async () => {
  const stop = new AbortController();
  const server = await serve((socket, { index }) => (index === 0 ? socket.write(kept('one')) : stop.abort()));
  const transport = open(server);
  await transport.request(GET);
  await assert.rejects(
    transport.request({ ...GET, signal: stop.signal }),
    (error) => error instanceof GweError && error.code === 'CANCELLED',
  );
  assert.equal(server.requests.length, 2);
});

test('the long time of a long poll is for its answer, not for the connection', async () => {
  const server = await serve(() => undefined);
  const transport = open(server, [], { baseUrl: server.url.replace('http:', 'https:'), timeoutMs: 200 });
  const startedMs = performance.now();
  await assert.rejects(transport.request({ ...GET, timeoutMs: 60_000 }), /timeout: .* 200 ms/);
  assert.ok(performance.now() - startedMs < 30_000);

  const slow = await serve((socket) => void setTimeout(() => socket.end(kept('late')), 600));
  const patient = open(slow, [], { timeoutMs: 200 });
  assert.equal((await patient.request({ ...GET, timeoutMs: 60_000 })).body.toString(), 'late');
});

const portOf = (port: number | undefined): string =>
  `:${(port ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;

/**
 * What TCP waits for on the client's end of the connection that the server has as `socket`: 02 to ask whether the
 * other side is still there, 00 nothing. Both ports tell it: the server's alone may be that of an older connection.
 */
function timerOf(socket: net.Socket | undefined): string | undefined {
  const [local, remote] = [portOf(socket?.remotePort), portOf(socket?.localPort)];
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  const fields = rows.map((row) => row.trim().split(/\s+/));
  const row = fields.find((each) => each[1]?.endsWith(local) && each[2]?.endsWith(remote));
  return row?.[5]?.slice(0, 2);
}

test('a silent connection is probed where that is asked for, and on the next request too', async () => {
  const sockets: net.Socket[] = [];
  const server = await serve((socket) => void sockets.push(socket));
  const probed = open(server, [], { probeAfterMs: 30_000 });
  const first = probed.request({ ...GET, purpose: 'read' });
  await until(() => sockets.length === 1);
  await until(() => timerOf(sockets[0]) === '02');
  sockets[0]?.write(kept('news'));
  await first;
  const second = probed.request({ ...GET, purpose: 'read' });
  await until(() => sockets.length === 2);
  assert.equal(server.connections(), 1);
  await until(() => timerOf(sockets[1]) === '02');
  probed.close();
  await assert.rejects(second, /cancelled/);

  const plain = await serve((socket) => void sockets.push(socket));
  const request = open(plain).request(GET);
  await until(() => sockets.length === 3);
  await until(() => timerOf(sockets[2]) === '00');
  sockets[2]?.end(kept('done'));
  await request;
});

test('a connection is kept after interim answers, and after a header that comes byte by byte', async () => {
  const server = await serve((socket, { index }) => {
    const text = `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${kept(`answer ${index}`)}`;
    socket.setNoDelay(true);
    for (const byte of text) socket.write(byte);
  });
  const transport = open(server);
  for (const index of [0, 1]) assert.equal(await text(transport.request(GET)), `answer ${index}`);
  assert.equal(server.connections(), 1);
});
