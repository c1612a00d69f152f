/** SOCKS5 by microsocks, and HTTP proxies that are spoken to over TLS, in front of a platform with and without TLS. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as https from 'node:https';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import type { Traffic, TransportRequest } from '../../../src/protocol/transport-types.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { httpAnswer, startRawServer } from '../../helpers/raw-server.ts';

const directory = fs.mkdtempSync(join(tmpdir(), 'gwe-proxies-'));
after(() => fs.rmSync(directory, { recursive: true }));
// For Linux this machine, and for gwe no loopback address, to which it takes no proxy.
const HERE = '0.0.0.0';
const certificates = makeCertificates(directory, ['platform.test', HERE]);
const secure = { cert: certificates.serverCert, key: certificates.serverKey };
const GET: TransportRequest = { method: 'GET', path: '/x', purpose: 'read', maxBytes: 1000 };

async function serve(isTls: boolean): Promise<number> {
  const answer = (socket: net.Socket): unknown => socket.end(httpAnswer('200 OK', 'hello'));
  const server = await startRawServer(answer, isTls ? secure : undefined);
  after(() => server.close());
  return server.port;
}

function open(baseUrl: string, proxy: string, traffic: Traffic[] = []) {
  const settings = {
    baseUrl,
    userAgent: 'test/1',
    timeoutMs: 60_000,
    allowInsecureHttp: true,
    env: { ALL_PROXY: proxy },
    caFile: certificates.caFile,
    clientCertFile: certificates.clientCertFile,
    clientKeyFile: certificates.clientKeyFile,
  };
  return createTransport(settings, { clock: createSystemClock(), onTraffic: (one) => traffic.push(one) });
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** Resolves once it takes connections. */
async function startSocks(...options: string[]): Promise<number> {
  const port = await freePort();
  const child: ChildProcess = spawn('microsocks', ['-i', '127.0.0.1', '-p', `${port}`, ...options], {
    stdio: 'ignore',
  });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  after(() => child.kill());
  const isUp = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true));
      socket.once('connect', () => socket.destroy());
      socket.once('error', () => resolve(false));
    });
  const wait = async (): Promise<void> => {
    while (!(await isUp())) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await Promise.race([wait(), failed]);
  return port;
}

for (const isTls of [false, true]) {
  const scheme = isTls ? 'https' : 'http';
  test(`an ${scheme} platform is reached through SOCKS5, with and without a password`, async () => {
    const platform = await serve(isTls);
    const free = await startSocks();
    const closed = await startSocks('-u', 'joe', '-P', 'p@ss');
    for (const proxy of [`socks5h://127.0.0.1:${free}`, `socks5://joe:p%40ss@127.0.0.1:${closed}`]) {
      const traffic: Traffic[] = [];
      const response = await open(`${scheme}://${HERE}:${platform}`, proxy, traffic).request(GET);
      assert.equal(response.body.toString(), 'hello');
      // The greeting and the address of SOCKS are on the wire too.
      assert.ok((traffic[0]?.rxBytes ?? 0) >= 12 + httpAnswer('200 OK', 'hello').length);
    }
  });
}

test('a SOCKS5 proxy that wants a password, or reaches nobody, is named without the password', async () => {
  const port = await startSocks('-u', 'joe', '-P', 'p@ss');
  const platform = await serve(false);
  await assert.rejects(
    open(`http://${HERE}:${platform}`, `socks5://joe:secret@127.0.0.1:${port}`).request(GET),
    (error) => {
      assert.match(
        String(error),
        /through proxy socks5:\/\/127\.0\.0\.1:\d+ of ALL_PROXY\): the SOCKS proxy/,
      );
      assert.doesNotMatch(String(error), /secret/);
      return true;
    },
  );
  const nobody = await freePort();
  await assert.rejects(
    open(`http://${HERE}:${nobody}`, `socks5://joe:p%40ss@127.0.0.1:${port}`).request(GET),
    /the SOCKS proxy gives no connection/,
  );
});

interface TlsProxy {
  port: number;
  /** What clients have shown of themselves, and asked for. */
  seen: { hasCertificate: boolean; asked: string }[];
  /** Bytes below TLS. */
  bytes(): { rxBytes: number; txBytes: number };
}

async function startTlsProxy(target: number): Promise<TlsProxy> {
  const seen: TlsProxy['seen'] = [];
  const sockets = new Set<net.Socket>();
  const note = (socket: unknown, asked: string): void => {
    const certificate = (socket as TLSSocket).getPeerCertificate();
    seen.push({ hasCertificate: Object.keys(certificate).length > 0, asked });
  };
  const proxy = https.createServer({ ...secure, requestCert: true, rejectUnauthorized: false });
  proxy.on('connection', (socket: net.Socket) => sockets.add(socket));
  proxy.on('connect', (request, socket: net.Socket) => {
    note(socket, `CONNECT ${request.url}`);
    const far = net.connect(target, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\n\n');
      socket.pipe(far).pipe(socket);
    });
    socket.on('error', () => far.destroy());
    far.on('error', () => socket.destroy());
  });
  proxy.on('request', (request, response) => {
    note(request.socket, `${request.method} ${request.url}`);
    response.end('by proxy');
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  after(() => void proxy.close());
  after(() => proxy.closeAllConnections());
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  const sum = (of: (socket: net.Socket) => number): number =>
    [...sockets].reduce((all, one) => all + of(one), 0);
  return {
    port: address.port,
    seen,
    bytes: () => ({
      rxBytes: sum((socket) => socket.bytesWritten),
      txBytes: sum((socket) => socket.bytesRead),
    }),
  };
}

test('a platform is reached through a proxy that is spoken to over TLS, every byte counted', async () => {
  const proxy = await startTlsProxy(await serve(true));
  const traffic: Traffic[] = [];
  const transport = open('https://platform.test:1', `https://127.0.0.1:${proxy.port}`, traffic);
  const response = await transport.request(GET);
  assert.equal(response.body.toString(), 'hello');
  assert.deepEqual(proxy.seen, [{ hasCertificate: false, asked: 'CONNECT platform.test:1' }]);
  const [one] = traffic;
  assert.ok(one !== undefined && one.txBytes > 1000, 'both handshakes');
  assert.ok(one.rxBytes <= proxy.bytes().rxBytes);
  transport.close();
});

test('what is not under TLS is asked of such a proxy, over TLS', async () => {
  const proxy = await startTlsProxy(1);
  const response = await open('http://platform.test', `https://127.0.0.1:${proxy.port}`).request(GET);
  assert.equal(response.body.toString(), 'by proxy');
  assert.deepEqual(proxy.seen, [{ hasCertificate: false, asked: 'GET http://platform.test/x' }]);
});

test('a proxy whose certificate nobody vouches for gets nothing', async () => {
  const proxy = await startTlsProxy(1);
  const settings = {
    baseUrl: 'http://platform.test',
    userAgent: 'test/1',
    timeoutMs: 60_000,
    allowInsecureHttp: true,
    env: { ALL_PROXY: `https://127.0.0.1:${proxy.port}` },
  };
  await assert.rejects(
    createTransport(settings, { clock: createSystemClock() }).request(GET),
    /not trusted|vouches/,
  );
  assert.deepEqual(proxy.seen, []);
});
