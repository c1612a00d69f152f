/** Content that the platform keeps elsewhere: what is followed, what is shown there, and what is not followed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import { after, type TestContext, test } from 'node:test';
import type * as tls from 'node:tls';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { connectTo, isLocalAddress } from '../../../src/protocol/transport-connect.ts';
import type { StreamRequest } from '../../../src/protocol/transport-types.ts';
import { followRedirects } from '../../../src/protocol/wire/follow-redirects.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { httpAnswer, startRawServer } from '../../helpers/raw-server.ts';

const GET: StreamRequest = {
  method: 'GET',
  path: '/provision/download?id=a',
  headers: { 'X-Exosite-CIK': 'secret-key', Range: 'bytes=1-' },
  purpose: 'download',
  mayBeElsewhere: true,
};
const sent = (location: string, status = '302 Found'): string =>
  httpAnswer(status, '', [`Location: ${location}`]).toString();

/** All hosts are behind one proxy, which is asked for each by its name. */
async function open(hosts: Readonly<Record<string, string>>) {
  const heads: string[] = [];
  const server = await startRawServer((socket: net.Socket, { head }) => {
    heads.push(head);
    const host = new URL(head.split(' ')[1] ?? '').host;
    socket.end(hosts[host] ?? httpAnswer('502 Bad Gateway', ''));
  });
  after(() => server.close());
  const settings = {
    baseUrl: 'http://platform.test',
    userAgent: 'test/1',
    timeoutMs: 5000,
    allowInsecureHttp: true,
    env: { HTTP_PROXY: server.url },
  };
  const parts = { clock: createSystemClock() };
  return { heads, transport: followRedirects(createTransport(settings, parts), settings, parts) };
}

async function read(
  transport: Awaited<ReturnType<typeof open>>['transport'],
  request = GET,
): Promise<string> {
  const response = await transport.stream(request);
  let text = '';
  for await (const chunk of response.chunks) text += chunk.toString();
  return `${response.status} ${text}`;
}

const content = httpAnswer('200 OK', 'content').toString();

for (const status of ['301 Moved', '302 Found', '303 See Other', '307 Temporary', '308 Permanent']) {
  test(`a redirect of status ${status.slice(0, 3)} is followed with the range and without the key`, async () => {
    const { heads, transport } = await open({
      'platform.test': sent('http://cdn.test/f?x=1', status),
      'cdn.test': content,
    });
    assert.equal(await read(transport), '200 content');
    assert.match(heads[0] ?? '', /secret-key/);
    assert.match(heads[1] ?? '', /^GET http:\/\/cdn\.test\/f\?x=1 /);
    assert.match(heads[1] ?? '', /Range: bytes=1-/i);
    assert.doesNotMatch(heads.slice(1).join(), /secret-key|cik/i);
  });
}

test('three hops are followed, and no fourth', async () => {
  const hosts = {
    'platform.test': sent('http://a.test/'),
    'a.test': sent('http://b.test/'),
    'b.test': sent('http://c.test/'),
  };
  assert.equal(await read((await open({ ...hosts, 'c.test': content })).transport), '200 content');
  const { transport } = await open({ ...hosts, 'c.test': sent('http://d.test/'), 'd.test': content });
  await assert.rejects(read(transport), /more than 3 redirects/);
});

for (const target of [
  'http://127.0.0.1/',
  'http://localhost/',
  'http://[::1]/',
  'http://169.254.169.254/latest',
  'http://[fe80::1]/',
  'http://0.0.0.0/',
  'http://user:pw@cdn.test/',
  'ftp://cdn.test/',
  'http://[',
]) {
  test(`a redirect to ${target} is not followed`, async () => {
    const { heads, transport } = await open({ 'platform.test': sent(target), 'cdn.test': content });
    await assert.rejects(read(transport), /cannot fetch content: .*redirect/);
    assert.equal(heads.length, 1);
  });
}

test('what nothing is known of beforehand is not fetched elsewhere', async () => {
  const { heads, transport } = await open({ 'platform.test': sent('http://cdn.test/'), 'cdn.test': content });
  await assert.rejects(read(transport, { ...GET, mayBeElsewhere: false }), /gwe does not follow/);
  assert.equal(heads.length, 1);
});

test("another host's refusal is not taken for the platform's", async () => {
  const { transport } = await open({
    'platform.test': sent('http://cdn.test/'),
    'cdn.test': httpAnswer('401 Unauthorized', '').toString(),
  });
  await assert.rejects(read(transport), /PROTOCOL_REFUSED|from 'http:\/\/cdn\.test'.*status 401/);
});

test('a name is judged by the addresses that are connected to', async () => {
  const server = await startRawServer((socket) => socket.end());
  after(() => server.close());
  const parts = { clock: createSystemClock(), signal: new AbortController().signal };
  await assert.rejects(
    connectTo('localhost', server.port, { ...parts, refusesLocal: true }),
    /the name leads to this machine or its link/,
  );
  assert.equal(server.connections(), 0);
  // Where the check of the name is passed.
  const { clock } = parts;
  const settings = {
    baseUrl: `http://localhost:${server.port}`,
    userAgent: 'test/1',
    timeoutMs: 5000,
    allowInsecureHttp: true,
    env: {},
    refusesLocal: true,
  };
  await assert.rejects(createTransport(settings, { clock }).stream(GET), /leads to this machine/);
  assert.equal(server.requests.length, 0);
});

/** A platform and another host over TLS, both of which ask for a client certificate, behind a proxy that knows their names. */
async function openTls(t: TestContext, location: string) {
  const directory = mkdtempSync('/tmp/gwe-redirect-');
  const made = makeCertificates(directory, ['platform.test', 'cdn.test']);
  const seen: { host: string; headers: http.IncomingHttpHeaders; hasCertificate: boolean }[] = [];
  const server = https.createServer(
    { cert: made.serverCert, key: made.serverKey, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const { host = '' } = request.headers;
      const peer = (request.socket as tls.TLSSocket).getPeerCertificate();
      seen.push({ host, headers: request.headers, hasCertificate: peer?.subject !== undefined });
      if (host.startsWith('platform')) response.writeHead(302, { location }).end();
      else response.end('content');
    },
  );
  const proxy = http.createServer((_request, response) => {
    seen.push({ host: 'plain', headers: {}, hasCertificate: false });
    response.end('content');
  });
  const sockets = new Set<net.Socket>();
  proxy.on('connect', (_request, near: net.Socket) => {
    const far = net.connect(portOf(server), '127.0.0.1', () => near.write('HTTP/1.1 200 OK\r\n\r\n'));
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    far.pipe(near).pipe(far);
  });
  for (const each of [server, proxy]) await new Promise<void>((done) => each.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${portOf(proxy)}`;
  const settings = {
    baseUrl: 'https://platform.test',
    userAgent: 'test/1',
    timeoutMs: 5000,
    allowInsecureHttp: true,
    caFile: made.caFile,
    clientCertFile: made.clientCertFile,
    clientKeyFile: made.clientKeyFile,
    env: { HTTPS_PROXY: url, HTTP_PROXY: url },
  };
  const parts = { clock: createSystemClock() };
  const transport = followRedirects(createTransport(settings, parts), settings, parts);
  t.after(() => {
    transport.close();
    for (const socket of sockets) socket.destroy();
    for (const each of [server, proxy]) {
      each.close();
      each.closeAllConnections();
    }
    rmSync(directory, { recursive: true });
  });
  return { seen, transport };
}

function portOf(server: net.Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('another host is shown neither the client certificate nor the key', async (t) => {
  const { seen, transport } = await openTls(t, 'https://cdn.test/f');
  assert.equal(await read(transport), '200 content');
  assert.deepEqual(
    seen.map(({ host, hasCertificate, headers }) => [host, hasCertificate, headers['x-exosite-cik']]),
    [
      ['platform.test', true, 'secret-key'],
      ['cdn.test', false, undefined],
    ],
  );
});

test('a redirect from https to http is not followed', async (t) => {
  const { seen, transport } = await openTls(t, 'http://cdn.test/f');
  await assert.rejects(read(transport), /a redirect from https to http/);
  assert.deepEqual(
    seen.map(({ host }) => host),
    ['platform.test'],
  );
});

test('addresses of this machine and its link are known in every form', () => {
  for (const address of [
    '127.8.8.8',
    '0.0.0.0',
    '169.254.0.1',
    '::1',
    '::',
    'fe80::1%eth0',
    '::ffff:127.0.0.1',
  ])
    assert.equal(isLocalAddress(address), true, address);
  for (const address of ['10.0.0.1', '192.0.2.1', '2001:db8::1', 'name.test'])
    assert.equal(isLocalAddress(address), false, address);
});
