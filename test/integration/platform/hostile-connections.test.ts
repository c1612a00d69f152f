/** The platform against connections that mean harm: what is no HTTP, never ends, never begins or is never read. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

const ALIAS = '/onep:v1/stack/alias';
/** Cut off within this, although the deadlines are shorter: other tests run beside. */
/** Far less than a server that does not cut off would wait, and more than a busy machine needs. */
const SOON_MS = 30_000;
let platform: TestPlatform;
let cik: string;

before(async () => {
  platform = await startPlatform({ headersTimeoutMs: 300, bodyTimeoutMs: 300 });
  await platform.addDevice('P', 'dev');
  cik = await platform.activate('P', 'dev');
});
after(() => platform.close());

/**
 * What the server sends back for these very bytes until it closes; the connection is left open on this
 * side. `drip` is sent behind them again and again.
 */
function raw(request: string, drip?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(new URL(platform.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    const timer = drip === undefined ? undefined : setInterval(() => socket.write(drip), 50);
    socket.on('close', () => {
      clearInterval(timer);
      resolve(answer);
    });
    socket.write(request);
  });
}

async function assertAlive(): Promise<void> {
  assert.equal((await httpRequest(`${platform.url}/timestamp`)).status, 200);
}

async function assertCutOff(request: string, drip: string | undefined, answer: RegExp): Promise<void> {
  const started = performance.now();
  assert.match(await raw(request, drip), answer);
  assert.ok(performance.now() - started < SOON_MS);
}

test('malformed HTTP is answered with 4xx and nothing else', async () => {
  for (const request of [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n`,
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `GET /timestamp HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n`,
    `GET /timestamp HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    'GET /timestamp HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n',
    'GET /timestamp HTTP/1.1\r\nHost: a\r\nX: a\rInjected: b\r\n\r\n',
    'GET /timestamp HTTP/1.1\nHost: a\n\n',
    'GET /timestamp HTTP/1.1\r\nConnection: close\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'GET not-a-path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'GET /%ff%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  ]) {
    const answer = await raw(request);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, request.slice(0, 60));
    assert.doesNotMatch(answer, /at .*\.ts|Error:/);
  }
  await assertAlive();
});

test('a chunk that is longer than any number is 400, and nothing of it is written', async () => {
  const head = `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nX-Exosite-CIK: ${cik}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  for (const chunks of [
    'FFFFFFFFFFFFFFFFF\r\nbig=1',
    '-5\r\nbig=1\r\n0\r\n\r\n',
    '5;\0=1\r\nbig=1\r\n0\r\n\r\n',
  ])
    assert.match(await raw(head + chunks), /^HTTP\/1\.1 400 /, chunks);
  assert.equal(await platform.read('P', 'dev', 'big'), undefined);
  await assertAlive();
});

test('headers that never end are cut off', async () => {
  const head = 'GET /timestamp HTTP/1.1\r\nHost: a\r\nX-Slow: ';
  await assertCutOff(head, undefined, /^HTTP\/1\.1 408 /);
  await assertCutOff(head, 'x', /^HTTP\/1\.1 408 /);
  await assertCutOff('', undefined, /^(HTTP\/1\.1 408 |$)/);
});

test('a body that never comes is cut off, and nothing of it is written', async () => {
  const request = `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nX-Exosite-CIK: ${cik}\r\nContent-Length: 100\r\n\r\nslow=1`;
  await assertCutOff(request, undefined, /^$/);
  await assertCutOff(request, '1', /^$/);
  assert.equal(await platform.read('P', 'dev', 'slow'), undefined);
});

test('a body over the limit is 413, declared or not', async () => {
  const declared = await raw(
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nX-Exosite-CIK: ${cik}\r\nConnection: close\r\nContent-Length: 999999999999\r\n\r\n`,
  );
  assert.match(declared, /^HTTP\/1\.1 413 /);
  const status = await new Promise((resolve, reject) => {
    const headers = { 'X-Exosite-CIK': cik, 'Transfer-Encoding': 'chunked' };
    const request = http.request(platform.url + ALIAS, { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject);
    request.end(Buffer.alloc(5 * 1024 * 1024, 97));
  });
  assert.equal(status, 413);
  for (const [path, most] of [
    ['/provision/activate', 4096],
    ['/provision/manage/content/P/', 64 * 1024],
    ['/provision/manage/model/P/dev', 64 * 1024],
  ] as const) {
    const headers = { 'X-Exosite-Token': platform.token };
    const reply = await httpRequest(platform.url + path, {
      method: 'POST',
      headers,
      body: 'x'.repeat(most + 1),
    });
    assert.equal(reply.status, 413, path);
  }
  await assertAlive();
});

test('an upload of more than may be is 413 before a byte of it is stored', async () => {
  const head = `PUT /gwe/v1/products/P/content/huge HTTP/1.1\r\nHost: localhost\r\nX-Exosite-Token: ${platform.token}\r\n`;
  const answer = await raw(`${head}Connection: close\r\nContent-Length: 99999999999999\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('thousands of requests in one packet are answered one after the other', async () => {
  const one = 'GET /timestamp HTTP/1.1\r\nHost: a\r\n';
  const answer = await raw(`${`${one}\r\n`.repeat(1000)}${one}Connection: close\r\n\r\n`);
  assert.equal(answer.match(/HTTP\/1\.1 200 OK\r\n/g)?.length, 1001);
});

test('a TLS handshake that never ends is cut off', async (t) => {
  const secure = await startPlatform({ tls: true, headersTimeoutMs: 300 });
  t.after(() => secure.close());
  const started = performance.now();
  for (const bytes of ['', '\x16\x03\x01\x02\x00', 'GET / HTTP/1.1\r\n\r\n']) {
    const socket = net.connect(Number(new URL(secure.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from(bytes, 'latin1'));
    socket.resume();
    await once(socket, 'close');
  }
  assert.ok(performance.now() - started < SOON_MS);
  assert.equal((await httpRequest(`${secure.url}/timestamp`, { caFile: secure.caFile })).status, 200);
});

const CHILD = join(import.meta.dirname, '../../helpers/platform-child.ts');
const IDLE = 1000;
const IDLE_S = 3;

function residentMib(pid: number | undefined): number {
  const line = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(line) / 1024;
}

test('a thousand connections that say nothing cost little, hold nobody up, and are ended', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-idle-'));
  const child = spawn(process.execPath, [CHILD, directory, 'token-of-idle', String(IDLE_S * 1000)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const sockets: net.Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  const [line] = await once(child.stdout, 'data');
  const url = String(line).trim();
  const answerMs = async () => {
    const started = performance.now();
    assert.equal((await httpRequest(`${url}/timestamp`)).status, 200);
    return performance.now() - started;
  };
  await answerMs();
  const before = residentMib(child.pid);
  let open = 0;
  for (let n = 0; n < IDLE; n++) {
    const socket = net.connect(Number(new URL(url).port), '127.0.0.1', () => open++);
    socket.on('error', () => undefined);
    socket.on('close', () => open--);
    socket.resume();
    sockets.push(socket);
  }
  await until(() => open === IDLE, SOON_MS);
  const tookMs = await answerMs();
  assert.ok(tookMs < SOON_MS, `${tookMs} ms`);
  const grownMib = residentMib(child.pid) - before;
  assert.ok(grownMib < 64, `${grownMib} MiB`);
  await until(() => open === 0, IDLE_S * 1000 + SOON_MS);
  await answerMs();
});
