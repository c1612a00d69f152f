import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const ALIAS = '/onep:v1/stack/alias';
let platform: TestPlatform;
let cik: string;

before(async () => {
  platform = await startPlatform({ headersTimeoutMs: 300, bodyTimeoutMs: 300 });
  await platform.addDevice('P', 'dev');
  cik = await platform.activate('P', 'dev');
});
after(() => platform.close());

function call(
  path: string,
  init: { method?: string; body?: string | Uint8Array; headers?: Record<string, string> } = {},
) {
  return httpRequest(platform.url + path, {
    ...init,
    method: init.method ?? (init.body === undefined ? 'GET' : 'POST'),
    headers: { 'X-Exosite-CIK': cik, ...init.headers },
  });
}

function manage(path: string, method: string, body?: string, headers: Record<string, string> = {}) {
  return httpRequest(platform.url + path, {
    method,
    headers: { 'X-Exosite-Token': platform.token, ...headers },
    ...(body === undefined ? {} : { body }),
  });
}

/** What the server sends back for these very bytes until it closes; the connection is left open on this side. */
function raw(request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(new URL(platform.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.write(request);
  });
}

async function assertAlive(): Promise<void> {
  assert.equal((await httpRequest(`${platform.url}/timestamp`)).status, 200);
}

test('malformed HTTP is answered with 4xx and nothing else', async () => {
  for (const request of [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n`,
    `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `GET /timestamp HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n`,
    `GET /timestamp HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    'GET not-a-path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'GET /%ff%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  ]) {
    const answer = await raw(request);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, request.slice(0, 60));
    assert.doesNotMatch(answer, /at .*\.ts|Error:/);
  }
  await assertAlive();
});

test('headers that never end are cut off', async () => {
  const started = performance.now();
  assert.match(await raw('GET /timestamp HTTP/1.1\r\nHost: a\r\nX-Slow: '), /^HTTP\/1\.1 408 /);
  assert.ok(performance.now() - started < 3000);
});

test('a body that never comes is cut off, and nothing of it is written', async () => {
  const started = performance.now();
  const request = `POST ${ALIAS} HTTP/1.1\r\nHost: a\r\nX-Exosite-CIK: ${cik}\r\nContent-Length: 100\r\n\r\nslow=1`;
  assert.equal(await raw(request), '');
  assert.ok(performance.now() - started < 3000);
  assert.equal(await platform.read('P', 'dev', 'slow'), undefined);
});

test('a value of 1 MiB is stored, one of a byte more is 413', async () => {
  const value = '"'.repeat(1024 * 1024);
  const body = `big=${encodeURIComponent(value)}`;
  assert.equal((await call(ALIAS, { body })).status, 204);
  assert.equal(await platform.read('P', 'dev', 'big'), value);
  assert.equal((await call(ALIAS, { body: `${body}%22` })).status, 413);
  assert.equal(await platform.read('P', 'dev', 'big'), value);
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
  await assertAlive();
});

test('nonsense in a write, read or record is 400 and writes nothing', async () => {
  const long = 'a'.repeat(256);
  for (const body of ['engine_fetch', '=1', `${long}=1`, 'a%00b=1', 'ok=1&engine_fetch']) {
    assert.equal((await call(ALIAS, { body })).status, 400, body.slice(0, 20));
  }
  assert.equal(await platform.read('P', 'dev', 'ok'), undefined);
  for (const path of [ALIAS, `${ALIAS}?${long}`, `${ALIAS}?a%0Db`])
    assert.equal((await call(path)).status, 400);
  for (const body of ['', 'x=1', '-5=1', '1.5=1', '99999999999=1']) {
    assert.equal((await call(`${ALIAS}/a`, { body })).status, 400, body);
    assert.equal((await call('/onep:v1/stack/record', { body: `alias=a&${body}` })).status, 400, body);
  }
  assert.equal((await call('/onep:v1/stack/record', { body: '1=1&alias=a' })).status, 400);
});

test('a device cannot make more aliases than its share', async () => {
  await platform.addDevice('P', 'greedy');
  const headers = { 'X-Exosite-CIK': await platform.activate('P', 'greedy') };
  const body = (from: number) => Array.from({ length: 600 }, (_, n) => `a${from + n}=1`).join('&');
  assert.equal((await call(ALIAS, { body: body(0), headers })).status, 204);
  assert.equal((await call(ALIAS, { body: body(600), headers })).status, 413);
  assert.equal(await platform.read('P', 'greedy', 'a600'), undefined);
  assert.equal((await call(ALIAS, { body: 'a0=2', headers })).status, 204);
});

test('wrong methods are 405 with what is allowed, unknown paths 404', async () => {
  const put = await call(ALIAS, { method: 'PUT' });
  assert.deepEqual([put.status, put.headers.allow], [405, 'GET, POST']);
  assert.equal((await call('/provision/activate')).status, 405);
  for (const path of [
    '/',
    '/onep:v1',
    '/provision',
    '/provision/manage/x',
    '/gwe/v1',
    '/timestamp/x',
    '//',
    '/gwe/v1/products/P/x',
  ]) {
    assert.equal((await manage(path, 'GET')).status, 404, path);
  }
});

test('a content id is a name and never a path', async () => {
  const ids = [
    '../../escape',
    '/etc/passwd',
    'a/b/c',
    '%2e%2e',
    '..\\x',
    'admin-token',
    'a;b,c',
    "'; DROP TABLE content; --",
  ];
  for (const id of ids) {
    await platform.putContent('P', id, Buffer.from(id));
    const reply = await call(`/provision/download?id=${encodeURIComponent(id)}`);
    assert.deepEqual([reply.status, reply.body], [200, id]);
  }
  for (const name of readdirSync(join(platform.directory, 'content'))) assert.match(name, /^[0-9a-f]{32}$/);
  assert.ok(!existsSync(join(platform.directory, '..', 'escape')));
  assert.equal((await call('/provision/download?id=platform.db')).status, 404);
  assert.equal((await call('/provision/download/../../../etc/passwd')).status, 404);
  assert.equal((await call('/provision/download?id=../platform.db')).status, 404);
  for (const id of ['', '.', '..', 'a%0D%0Ab', 'x'.repeat(256)]) {
    const reply = await manage('/provision/manage/content/P/', 'POST', `id=${id}&meta=`);
    assert.equal(reply.status, 400, id.slice(0, 10));
  }
  for (const id of ids) await platform.deleteContent('P', id);
});

test('what an uploader gives cannot forge headers or lines', async () => {
  const meta = await manage('/provision/manage/content/P/', 'POST', 'id=inject&meta=a%0D%0AX-Evil:+1');
  assert.equal(meta.status, 400);
  await manage('/provision/manage/content/P/', 'POST', 'id=inject&meta=a,b,true');
  const type = 'text/plain, 99, \u00e9';
  const upload = await manage('/provision/manage/content/P/inject', 'POST', 'x', { 'Content-Type': type });
  assert.equal(upload.status, 205);
  const info = await call('/provision/download?id=inject&info=true');
  assert.match(info.body, /^application\/octet-stream,1,\d{10},a,b,true$/);
  await platform.write('P', 'dev', 'lines', 'a\r\nSet-Cookie: x=1&b=2');
  const read = await call(`${ALIAS}?lines`);
  assert.equal(read.body, 'lines=a%0D%0ASet-Cookie%3A%20x%3D1%26b%3D2');
  assert.equal(read.headers['set-cookie'], undefined);
});

test('an upload that does not match its digest is refused and leaves nothing', async () => {
  const path = `/gwe/v1/products/P/content/broken?sha256=${'0'.repeat(64)}`;
  assert.equal((await manage(path, 'PUT', 'bytes')).status, 400);
  assert.equal((await call('/provision/download?id=broken')).status, 404);
  assert.deepEqual(readdirSync(join(platform.directory, 'uploads')), []);
});

test('an upload that its client gives up leaves nothing', async () => {
  const headers = { 'X-Exosite-Token': platform.token, 'Content-Length': 1000 };
  const request = http.request(`${platform.url}/gwe/v1/products/P/content/given-up`, {
    method: 'PUT',
    headers,
  });
  request.on('error', () => undefined);
  request.write('some');
  const uploads = () => readdirSync(join(platform.directory, 'uploads')).length;
  const deadline = performance.now() + 3000;
  while (uploads() === 0 && performance.now() < deadline) await assertAlive();
  assert.equal(uploads(), 1);
  request.destroy();
  while (uploads() > 0 && performance.now() < deadline) await assertAlive();
  assert.equal(uploads(), 0);
  assert.equal((await call('/provision/download?id=given-up')).status, 404);
});

test('wrong tokens are refused, and after ten the address has to wait', async (t) => {
  const own = await startPlatform();
  t.after(() => own.close());
  const guess = (token: string) =>
    httpRequest(`${own.url}/provision/manage/content/P/`, { headers: { 'X-Exosite-Token': token } });
  for (let n = 0; n < 10; n++) assert.equal((await guess(`guess-${n}`)).status, 401);
  const limited = await guess(own.token);
  assert.equal(limited.status, 429);
  assert.ok(Number(limited.headers['retry-after']) > 0);
  assert.equal((await httpRequest(`${own.url}/timestamp`)).status, 200);
});
