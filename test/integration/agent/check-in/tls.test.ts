/** gwe as a process against a TLS server that demands a client certificate, and through a real CONNECT proxy. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as tls from 'node:tls';
import { type Certificates, makeCertificates } from '../../../helpers/certificates.ts';
import { createGateway, FROM_SOURCE, type Gateway, type GatewayOptions } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { runGwe } from '../../../helpers/run-gwe.ts';

let directory = '';
let certificates: Certificates;
let platform: TestPlatform;
let front: { port: number; close(): void };
let proxy: { port: number; heads: string[]; close(): void };
const gateways: Gateway[] = [];

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gwe-agent-tls-'));
  certificates = makeCertificates(directory, ['platform.test']);
  platform = await startPlatform();
  front = await startFront(Number(new URL(platform.url).port));
  proxy = await startProxy(front.port);
});
after(async () => {
  for (const gateway of gateways) await gateway.remove();
  front.close();
  proxy.close();
  await platform.close();
  rmSync(directory, { recursive: true });
});

function listening(server: net.Server, sockets: Set<net.Socket>): Promise<{ port: number; close(): void }> {
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const close = (): void => {
        server.close();
        for (const socket of sockets) socket.destroy();
      };
      resolve({ port, close });
    });
  });
}

function joined(one: net.Socket, other: net.Socket): void {
  for (const socket of [one, other]) socket.on('error', () => undefined);
  one.pipe(other).pipe(one);
}

/** TLS with a demand for a client certificate, before the platform. */
function startFront(port: number) {
  const options = {
    cert: certificates.serverCert,
    key: certificates.serverKey,
    ca: readFileSync(certificates.caFile),
    requestCert: true,
    rejectUnauthorized: true,
  };
  const server = tls.createServer(options, (socket) => joined(socket, net.connect(port, '127.0.0.1')));
  server.on('tlsClientError', () => undefined);
  return listening(server, new Set());
}

/** Takes every name for the front, as a proxy with a DNS of its own would. */
async function startProxy(port: number) {
  const heads: string[] = [];
  const server = net.createServer((socket) => {
    socket.once('data', (head) => {
      heads.push(head.toString('latin1'));
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      joined(socket, net.connect(port, '127.0.0.1'));
    });
  });
  return { ...(await listening(server, new Set())), heads };
}

async function openGateway(url: string, serial: string, options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await createGateway({ ...platform, url }, { ...options, serial });
  gateways.push(gateway);
  return gateway;
}

/** One pass, without blocking the servers above. */
function checkIn(gateway: Gateway, env: Record<string, string> = {}) {
  return runGwe([...FROM_SOURCE, '--once'], { GWE_ROOT: gateway.root, ...env });
}

test('a private CA and one PEM with certificate and key are all that a gateway needs', async () => {
  const gateway = await openGateway(`https://127.0.0.1:${front.port}`, 'gw-both');
  const both = join(directory, 'both.pem');
  const { clientCertFile, clientKeyFile, caFile } = certificates;
  writeFileSync(both, Buffer.concat([readFileSync(clientCertFile), readFileSync(clientKeyFile)]));
  assert.equal(gateway.gwe('--set-ca-file', caFile, '--set-client-cert', both).status, 0);
  const { status, stderr } = await checkIn(gateway);
  assert.equal(status, 0, stderr);
  assert.ok((await platform.read('p1', 'gw-both', 'engine_report')) !== undefined);
});

test('certificate and key may be two files', async () => {
  const gateway = await openGateway(`https://127.0.0.1:${front.port}`, 'gw-two');
  const { clientCertFile, clientKeyFile, caFile } = certificates;
  const set = ['--set-ca-file', caFile, '--set-client-cert', clientCertFile];
  gateway.gwe(...set);
  const without = await checkIn(gateway);
  assert.equal(without.status, 1);
  assert.match(without.stderr, /no PEM private key in it; set the file that holds it \(--set-client-key\)/);
  gateway.gwe('--set-client-key', clientKeyFile);
  const { status, stderr } = await checkIn(gateway);
  assert.equal(status, 0, stderr);
});

test('without the CA file the platform is not trusted, and the log says what to do', async () => {
  const gateway = await openGateway(`https://127.0.0.1:${front.port}`, 'gw-none');
  const { status, stderr } = await checkIn(gateway, { NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  assert.equal(status, 1);
  assert.match(stderr, /set a CA file/);
  assert.equal(await platform.read('p1', 'gw-none', 'engine_report'), undefined);
});

test('HTTPS_PROXY is used for the platform, NO_PROXY is obeyed, and the key stays inside TLS', async () => {
  const gateway = await openGateway('https://platform.test', 'gw-proxy');
  const { clientCertFile, clientKeyFile, caFile } = certificates;
  gateway.gwe(
    '--set-ca-file',
    caFile,
    '--set-client-cert',
    clientCertFile,
    '--set-client-key',
    clientKeyFile,
  );
  const env = { HTTPS_PROXY: `http://joe:pass-word@127.0.0.1:${proxy.port}` };
  const through = await checkIn(gateway, env);
  assert.equal(through.status, 0, through.stderr);
  assert.match(proxy.heads[0] ?? '', /^CONNECT platform\.test:443 HTTP\/1\.1\r\n/);
  const key = gateway.gwe('-C').stdout.trim();
  assert.match(key, /^[0-9A-Za-z]{40}$/);
  assert.ok(!proxy.heads.join('').includes(key));
  const seen = proxy.heads.length;
  const past = await checkIn(gateway, { ...env, NO_PROXY: '.platform.test' });
  assert.equal(past.status, 1);
  assert.match(past.stderr, /DNS/);
  assert.equal(proxy.heads.length, seen);
  assert.doesNotMatch(past.stderr + through.stderr, /pass-word/);
});
