import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type * as tls from 'node:tls';
import { promisify } from 'node:util';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { memoryTickets } from '../../../src/protocol/transport-tls.ts';
import type { Traffic, TransportRequest, TransportSettings } from '../../../src/protocol/transport-types.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { httpAnswer, startRawServer } from '../../helpers/raw-server.ts';
import { until } from '../../helpers/until.ts';

const directory = fs.mkdtempSync(join(tmpdir(), 'gwe-tls-'));
after(() => fs.rmSync(directory, { recursive: true }));
const certificates = makeCertificates(directory, ['platform.test']);
const clock = createSystemClock();
const GET: TransportRequest = { method: 'GET', path: '/x', purpose: 'read', maxBytes: 1000 };

function open(baseUrl: string, settings: Partial<TransportSettings> = {}, traffic: Traffic[] = []) {
  const all = {
    baseUrl,
    userAgent: 'test/1',
    timeoutMs: 2000,
    allowInsecureHttp: false,
    env: {},
    ...settings,
  };
  return createTransport(all, { clock, onTraffic: (one) => traffic.push(one) });
}

async function serveTls(options: tls.TlsOptions = {}) {
  const secure = { cert: certificates.serverCert, key: certificates.serverKey, ...options };
  const server = await startRawServer((socket) => socket.end(httpAnswer('200 OK', 'hello')), secure);
  after(() => server.close());
  return server;
}

/** A proxy that connects every CONNECT to `port` here, and answers absolute-form requests itself. */
async function startProxy(port: number, credentials?: string) {
  const heads: string[] = [];
  const proxy = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (chunk) => {
      const head = chunk.toString('latin1');
      heads.push(head);
      const given = /^proxy-authorization: basic (.*)\r$/im.exec(head)?.[1] ?? '';
      if (credentials !== undefined && Buffer.from(given, 'base64').toString() !== credentials) {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      } else if (head.startsWith('CONNECT ')) {
        const far = net.connect(port, '127.0.0.1', () => {
          socket.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n');
          socket.pipe(far).pipe(socket);
        });
        far.on('error', () => socket.destroy());
      } else socket.end(httpAnswer('200 OK', 'by proxy'));
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  after(() => void proxy.close());
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { heads, url: `http://127.0.0.1:${address.port}`, port: address.port };
}

function failsWith(code: string, ...patterns: RegExp[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
}

test('a server of a private CA is trusted through the CA file', async () => {
  const server = await serveTls();
  const response = await open(server.url, { caFile: certificates.caFile }).request(GET);
  assert.equal(response.body.toString(), 'hello');
});

test('a CA file adds to the built-in CAs', async () => {
  const server = await serveTls();
  const other = fs.mkdtempSync(join(directory, 'other-'));
  // What this variable names is built in as far as the runtime is concerned.
  const env = { NODE_EXTRA_CA_CERTS: certificates.caFile };
  const script = `
    import { loadTls } from '${new URL('../../../src/protocol/transport-tls.ts', import.meta.url)}';
    import * as tls from 'node:tls';
    const { secureContext } = loadTls({ caFile: '${makeCertificates(other).caFile}' }, {});
    const socket = tls.connect({ port: ${server.port}, host: '127.0.0.1', secureContext }, () => {
      console.log(socket.authorized);
      socket.destroy();
    });`;
  const argv = ['--no-warnings', '--input-type=module-typescript', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { env });
  assert.equal(stdout, 'true\n');
});

test('a server of an unknown CA is refused in plain words, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
  const server = await serveTls();
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  after(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  await assert.rejects(open(server.url).request(GET), failsWith('PROTOCOL_OFFLINE', /TLS: .*CA file/));
  delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  assert.equal(server.requests.length, 0);
});

test('a certificate for another name is refused', async () => {
  const server = await serveTls();
  const proxy = await startProxy(server.port);
  const transport = open('https://other.test', {
    caFile: certificates.caFile,
    env: { https_proxy: proxy.url },
  });
  await assert.rejects(transport.request(GET), failsWith('PROTOCOL_OFFLINE', /another name/, /other\.test/));
});

test('a client certificate is shown to a server that asks for one', async () => {
  const server = await serveTls({
    requestCert: true,
    rejectUnauthorized: true,
    ca: fs.readFileSync(certificates.caFile),
  });
  const { caFile, clientCertFile, clientKeyFile } = certificates;
  assert.equal((await open(server.url, { caFile, clientCertFile, clientKeyFile }).request(GET)).status, 200);
  const both = join(directory, 'both.pem');
  fs.writeFileSync(both, Buffer.concat([fs.readFileSync(clientCertFile), fs.readFileSync(clientKeyFile)]));
  assert.equal((await open(server.url, { caFile, clientCertFile: both }).request(GET)).status, 200);
  await assert.rejects(open(server.url, { caFile }).request(GET), failsWith('PROTOCOL_OFFLINE'));
});

test('certificate files that cannot be used are named', () => {
  const { caFile, clientCertFile, clientKeyFile } = certificates;
  const empty = join(directory, 'empty.pem');
  fs.writeFileSync(empty, '');
  const invalid = (settings: Partial<TransportSettings>, pattern: RegExp): void =>
    assert.throws(() => open('https://x.test', settings), failsWith('CONFIG_INVALID', pattern));
  invalid({ caFile: join(directory, 'none.pem') }, /none\.pem': no such file/);
  invalid({ caFile: empty }, /empty\.pem': no PEM certificate/);
  invalid({ clientCertFile }, /client\.pem': no PEM private key in it/);
  invalid({ clientKeyFile }, /expected both/);
  invalid({ clientCertFile, clientKeyFile: join(directory, 'server.key') }, /do not belong together/);
  invalid({ caFile, clientCertFile, clientKeyFile: caFile }, /ca\.pem': no PEM private key/);
  const broken = join(directory, 'broken.pem');
  fs.writeFileSync(broken, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
  invalid({ caFile, clientCertFile, clientKeyFile: broken }, /not valid PEM/);
  assert.ok(clientKeyFile !== undefined);
});

test('a server that does not speak TLS is recognized', async () => {
  const server = await startRawServer((socket) => socket.end(httpAnswer('200 OK')));
  after(() => server.close());
  server.requests.length = 0;
  const plain = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  after(() => void plain.close());
  const address = plain.address();
  assert.ok(typeof address === 'object' && address !== null);
  await assert.rejects(
    open(`https://127.0.0.1:${address.port}`).request(GET),
    failsWith('PROTOCOL_OFFLINE', /does not speak TLS/),
  );
});

test('TLS bytes are counted below TLS, and a second request resumes the session for fewer', async () => {
  const traffic: Traffic[] = [];
  const server = await serveTls();
  const transport = open(server.url, { caFile: certificates.caFile }, traffic);
  await transport.request(GET);
  const [first] = traffic;
  assert.ok(first !== undefined);
  // Our closing alert is still on its way when the answer is complete.
  await until(() => server.rxBytes() >= first.txBytes);
  assert.equal(first.txBytes, server.rxBytes());
  assert.equal(first.rxBytes, server.txBytes());
  await transport.request(GET);
  const second = traffic[1];
  assert.ok(second !== undefined);
  assert.ok(second.rxBytes < first.rxBytes, `${second.rxBytes} against ${first.rxBytes}`);
  assert.ok(first.txBytes < 1000, `the handshake and a request cost ${first.txBytes} bytes`);
});

test('a CA or a client certificate that was replaced is heeded although a ticket was kept', async () => {
  const server = await serveTls();
  const own = fs.mkdtempSync(join(directory, 'own-'));
  const caFile = join(own, 'ca.pem');
  const clientCertFile = join(own, 'client.pem');
  fs.copyFileSync(certificates.caFile, caFile);
  const pem = (from: { clientCertFile: string; clientKeyFile: string }): Buffer =>
    Buffer.concat([fs.readFileSync(from.clientCertFile), fs.readFileSync(from.clientKeyFile)]);
  fs.writeFileSync(clientCertFile, pem(certificates));
  const tickets = memoryTickets();
  const connect = async (): Promise<number> => {
    const traffic: Traffic[] = [];
    const settings = {
      baseUrl: server.url,
      userAgent: 't',
      timeoutMs: 2000,
      allowInsecureHttp: false,
      env: {},
    };
    const files = { caFile, clientCertFile };
    const transport = createTransport(
      { ...settings, ...files },
      { clock, tickets, onTraffic: (one) => traffic.push(one) },
    );
    await transport.request(GET).finally(() => transport.close());
    return traffic[0]?.rxBytes ?? 0;
  };
  const full = await connect();
  assert.ok((await connect()) < full, 'the files are the same: resumed');
  const other = makeCertificates(fs.mkdtempSync(join(own, 'other-')));
  fs.writeFileSync(clientCertFile, pem(other));
  const again = await connect();
  assert.ok(Math.abs(again - full) < 100, `${again} bytes, ${full} in full`);
  fs.copyFileSync(other.caFile, caFile);
  await assert.rejects(connect(), failsWith('PROTOCOL_OFFLINE', /certificate/));
});

test('HTTPS goes through the proxy of HTTPS_PROXY by CONNECT, with its credentials', async () => {
  const server = await serveTls();
  const proxy = await startProxy(server.port, 'joe:p@ss');
  const env = { HTTPS_PROXY: `http://joe:p%40ss@127.0.0.1:${proxy.port}` };
  const traffic: Traffic[] = [];
  const transport = open('https://platform.test', { caFile: certificates.caFile, env }, traffic);
  const response = await transport.request({ ...GET, headers: { 'X-Exosite-CIK': 'very-secret' } });
  assert.equal(response.body.toString(), 'hello');
  assert.match(proxy.heads[0] ?? '', /^CONNECT platform\.test:443 HTTP\/1\.1\r\n/);
  assert.ok(!proxy.heads.join().includes('very-secret'));
  assert.match(server.requests[0]?.head ?? '', /host: platform\.test\r\n/i);
  assert.doesNotMatch(server.requests[0]?.head ?? '', /proxy-authorization/i);
  assert.ok((traffic[0]?.rxBytes ?? 0) > server.txBytes());
});

test('a proxy that wants other credentials is named without the password', async () => {
  const proxy = await startProxy(1, 'joe:right');
  const env = { https_proxy: `http://joe:wrong-one@127.0.0.1:${proxy.port}` };
  await assert.rejects(open('https://platform.test', { env }).request(GET), (error) => {
    assert.doesNotMatch(String(error), /wrong-one|joe/);
    return failsWith(
      'PROTOCOL_OFFLINE',
      /407/,
      new RegExp(`proxy http://127.0.0.1:${proxy.port} of https_proxy`),
    )(error);
  });
});

test('a proxy that is not there is named', async () => {
  const proxy = await startRawServer(() => undefined);
  await proxy.close();
  const transport = open('https://platform.test', { env: { ALL_PROXY: proxy.url } });
  await assert.rejects(
    transport.request(GET),
    failsWith('PROTOCOL_OFFLINE', /ALL_PROXY.*connection refused/),
  );
});

test('a proxy that talks rubbish or never ends its headers is refused', async () => {
  for (const rubbish of ['SSH-2.0\r\n\r\n', 'x'.repeat(20_000)]) {
    const proxy = await startRawServer((socket) => socket.write(rubbish));
    after(() => proxy.close());
    const transport = open('https://platform.test', { env: { https_proxy: proxy.url } });
    await assert.rejects(transport.request(GET), failsWith('PROTOCOL_OFFLINE', /not HTTP/));
  }
});

test('plain HTTP goes through the proxy of HTTP_PROXY in absolute form', async () => {
  const proxy = await startProxy(1, 'joe:p');
  const env = { HTTP_PROXY: `joe:p@127.0.0.1:${proxy.port}`, HTTPS_PROXY: 'http://192.0.2.1:1' };
  const transport = open('http://platform.test:8080', { env, allowInsecureHttp: true });
  assert.equal((await transport.request(GET)).body.toString(), 'by proxy');
  assert.match(proxy.heads[0] ?? '', /^GET http:\/\/platform\.test:8080\/x HTTP\/1\.1\r\n/);
  assert.match(proxy.heads[0] ?? '', /host: platform\.test:8080\r\n/i);
});

test('loopback never goes through a proxy', async () => {
  const server = await startRawServer((socket) => socket.end(httpAnswer('200 OK', 'straight')));
  after(() => server.close());
  const transport = open(server.url, { env: { http_proxy: 'http://192.0.2.1:1' } });
  assert.equal((await transport.request(GET)).body.toString(), 'straight');
});
