/** The protocol's test vectors that a server must hold, each under its number. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, before, test } from 'node:test';
import { type Clock, createSystemClock } from '../../../src/base/clock.ts';
import { type HttpReply, httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const ALIAS = '/onep:v1/stack/alias';
const TRIPLE = 'vendor=mysubdomain&model=myclientmodel&sn=12345678';
let platform: TestPlatform;
let cik: string;

before(async () => {
  platform = await startPlatform();
  await platform.addDevice('P', 'dev');
  cik = await platform.activate('P', 'dev');
});
after(() => platform.close());

function call(path: string, init: { method?: string; body?: string; headers?: Record<string, string> } = {}) {
  return httpRequest(platform.url + path, {
    ...init,
    method: init.method ?? (init.body === undefined ? 'GET' : 'POST'),
    headers: { 'X-Exosite-CIK': cik, ...init.headers },
  });
}

function manage(path: string, method: string, body?: string): Promise<HttpReply> {
  return httpRequest(platform.url + path, {
    method,
    headers: { 'X-Exosite-Token': platform.token },
    ...(body === undefined ? {} : { body }),
  });
}

function activate(body: string): Promise<HttpReply> {
  return httpRequest(`${platform.url}/provision/activate`, { method: 'POST', body });
}

/** A device with a fresh product of its own, so that lists start empty. */
async function freshProduct(product: string): Promise<Record<string, string>> {
  await platform.addDevice(product, 'only');
  return { 'X-Exosite-CIK': await platform.activate(product, 'only') };
}

test('vector 1: the triple activates with a bare 40-character key', async () => {
  await platform.addDevice('myclientmodel', '12345678');
  const reply = await activate(TRIPLE);
  assert.equal(reply.status, 200);
  assert.match(reply.body, /^[0-9a-f]{40}$/);
  assert.equal(reply.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal(reply.headers['content-length'], '40');
});

test('vector 2: a second activation is refused with 409', async () => {
  await platform.addDevice('myclientmodel', 'twice');
  const body = 'vendor=mysubdomain&model=myclientmodel&sn=twice';
  assert.equal((await activate(body)).status, 200);
  assert.equal((await activate(body)).status, 409);
});

test('vector 3: an unknown serial number is 404', async () => {
  assert.equal((await activate('vendor=P&model=P&sn=nobody')).status, 404);
  assert.equal((await activate('id=nobody')).status, 404);
});

test('vector 4: disable gives 409, regenerate another key, and the old key is 401', async () => {
  const path = '/provision/manage/model/V4/s';
  const body = 'vendor=V4&model=V4&sn=s';
  const read = (key: string) => call(`${ALIAS}?x`, { headers: { 'X-Exosite-CIK': key } });
  assert.match((await manage(path, 'POST', 'enable=true&owner=abc')).body, /^[0-9a-f]{40}$/);
  const first = (await activate(body)).body;
  assert.equal((await read(first)).status, 204);
  assert.equal((await manage(path, 'POST', 'disable=true')).status, 205);
  assert.match((await manage(path, 'GET')).body, /^expired,[0-9a-f]{40},$/);
  assert.equal((await activate(body)).status, 409);
  assert.equal((await read(first)).status, 401);
  assert.equal((await manage(path, 'POST', 'enable=true')).status, 205);
  assert.match((await manage(path, 'GET')).body, /^notactivated,/);
  const second = await activate(body);
  assert.equal(second.status, 200);
  assert.notEqual(second.body, first);
  assert.equal((await read(first)).status, 401);
  assert.equal((await read(second.body)).status, 204);
  assert.match((await manage(path, 'GET')).body, /^activated,/);
});

test('vector 5: the Device2 form activates by identity alone', async () => {
  await platform.addDevice('device2', '22345678');
  const reply = await activate('id=22345678');
  assert.equal(reply.status, 200);
  assert.match(reply.body, /^[0-9a-zA-Z]{40}$/);
  assert.equal(reply.headers['content-length'], '40');
});

test('vector 10: a write is 204 without a body', async () => {
  const reply = await call(ALIAS, { body: 'temperature=63' });
  assert.deepEqual([reply.status, reply.body], [204, '']);
  assert.equal(await platform.read('P', 'dev', 'temperature'), '63');
});

test('vector 11: a write by its declared length is 204', async () => {
  const answer = await raw(
    `POST ${ALIAS} HTTP/1.1\r\nHost: m2.exosite.com\r\nX-EXOSITE-CIK: ${cik}\r\nContent-Length: 14\r\n` +
      'Connection: close\r\n\r\ntemperature=44',
  );
  assert.match(answer, /^HTTP\/1\.1 204 /);
  assert.equal(await platform.read('P', 'dev', 'temperature'), '44');
});

test('vector 12: a body that was never encoded is stored as it is', async () => {
  const body = 'device_report={"pressure": "63"}';
  const reply = await call(ALIAS, { body, headers: { 'Content-Length': '32' } });
  assert.equal(reply.status, 204);
  assert.equal(await platform.read('P', 'dev', 'device_report'), '{"pressure": "63"}');
});

test('vector 13: an alias that nobody defined can be written', async () => {
  assert.equal((await call(ALIAS, { body: 'no_such_alias=1' })).status, 204);
});

test('vector 14: every data call without a valid key is 401', async () => {
  const wrong = ['', 'short', 'f'.repeat(40), platform.token];
  const calls = [
    ['GET', `${ALIAS}?a`],
    ['POST', ALIAS],
    ['POST', `${ALIAS}/a`],
    ['POST', '/onep:v1/stack/record'],
    ['GET', '/provision/download'],
  ] as const;
  for (const key of wrong) {
    for (const [method, path] of calls) {
      const reply = await call(path, { method, headers: { 'X-Exosite-CIK': key } });
      assert.equal(reply.status, 401, `${method} ${path} with '${key}'`);
    }
  }
});

test('vector 15: a read answers the value, form-encoded', async () => {
  await platform.write('P', 'dev', 'thermostat', '65');
  const reply = await call(`${ALIAS}?thermostat`);
  assert.deepEqual([reply.status, reply.body, reply.headers['content-length']], [200, 'thermostat=65', '13']);
});

test('vector 16: a read of what was never written is 204 and empty', async () => {
  const reply = await call(`${ALIAS}?never_written`);
  assert.deepEqual([reply.status, reply.body], [204, '']);
});

test('vector 17: a read of two aliases answers the one that is set', async () => {
  const headers = await freshProduct('V17');
  await platform.write('V17', 'only', 'update_interval', '60');
  const reply = await call(`${ALIAS}?engine_fetch&update_interval`, { headers });
  assert.deepEqual([reply.status, reply.body], [200, 'update_interval=60']);
});

test('vector 24: a hybrid call writes, then reads', async () => {
  await platform.write('P', 'dev', 'thermostat', '65');
  const reply = await call(`${ALIAS}?thermostat`, { body: 'temperature=63' });
  assert.deepEqual([reply.status, reply.body], [200, 'thermostat=65']);
  const own = await call(`${ALIAS}?thermostat`, { body: 'thermostat=66' });
  assert.equal(own.body, 'thermostat=66');
});

test('vector 25: a long poll without a change is 304', async () => {
  await platform.write('P', 'dev', 'quiet', '1');
  const started = performance.now();
  const reply = await call(`${ALIAS}?quiet`, { headers: { 'Request-Timeout': '150' } });
  assert.deepEqual([reply.status, reply.body], [304, '']);
  assert.ok(performance.now() - started >= 140);
});

test('vector 27: a Request-Timeout above the maximum is taken as the maximum', async (t) => {
  const waits: number[] = [];
  const real = createSystemClock();
  // What the server does beside it, each second, each minute and each hour, keeps its pauses.
  const clock: Clock = {
    ...real,
    sleep: async (ms, signal) => {
      if (ms < 299_000 || ms > 300_000) return real.sleep(ms, signal);
      waits.push(ms);
    },
  };
  const other = await startPlatform({ clock });
  t.after(() => other.close());
  await other.addDevice('P', 'dev');
  const key = await other.activate('P', 'dev');
  const poll = (timeout: string) =>
    httpRequest(`${other.url}${ALIAS}?a`, { headers: { 'X-Exosite-CIK': key, 'Request-Timeout': timeout } });
  assert.equal((await poll('300001')).status, 304);
  assert.equal((await poll('999999999999')).status, 304);
  assert.equal((await poll('soon')).status, 400);
  const [first = 0, second = 0] = waits;
  for (const wait of [first, second]) assert.ok(wait > 299_000 && wait <= 300_000, `waited ${wait}`);
});

test('vector 28: two records in the same second are 409 and named', async () => {
  const body = 'alias=a&1400000000=1&1400000000=2&1400000001=3&alias=b&1400000000=4';
  const reply = await call('/onep:v1/stack/record', { body });
  assert.deepEqual([reply.status, reply.body], [409, 'a=1400000000']);
  const old = await call(`${ALIAS}/a`, { body: '1400000001=9&1400000002=5&1400000000=9' });
  assert.deepEqual([old.status, old.body], [409, 'a=1400000001,1400000000']);
  assert.equal((await call(`${ALIAS}/a`, { body: '1400000003=6' })).status, 204);
  assert.equal((await call(`${ALIAS}?a&b`)).body, 'a=6&b=4');
});

test('vector 29: /timestamp is ten digits without a key', async () => {
  const reply = await httpRequest(`${platform.url}/timestamp`);
  assert.deepEqual([reply.status, reply.headers['content-length']], [200, '10']);
  assert.ok(Math.abs(Number(reply.body) - Date.now() / 1000) < 10);
});

test('vector 30: /ip is six octets', async () => {
  const reply = await httpRequest(`${platform.url}/ip`);
  const port = Number(new URL(platform.url).port);
  assert.deepEqual([reply.status, reply.body], [200, `127,0,0,1,${port >> 8},${port & 255}`]);
});

test('vector 31: the content list has CRLF between its lines', async () => {
  const headers = await freshProduct('V31');
  for (const id of ['b.v2.tar.gz', 'a.v1.tar.gz']) await platform.putContent('V31', id, Buffer.from(id));
  const reply = await call('/provision/download?vendor=V31&model=V31', { headers });
  assert.deepEqual([reply.status, reply.body], [200, 'a.v1.tar.gz\r\nb.v2.tar.gz']);
  assert.match(reply.headers['content-type'] ?? '', /^text\/csv/);
  assert.equal((await call('/provision/download', { headers })).body, reply.body);
});

test('vector 32: an empty content area is 204', async () => {
  const headers = await freshProduct('V32');
  assert.equal((await call('/provision/download?vendor=V32&model=V32', { headers })).status, 204);
});

test('vector 33: content info is type, size, time and meta', async () => {
  const created = await manage(
    '/provision/manage/content/P/',
    'POST',
    'id=splash01.png&meta=Boot+splash+screen',
  );
  assert.equal(created.status, 205);
  const uploaded = await httpRequest(`${platform.url}/provision/manage/content/P/splash01.png`, {
    method: 'POST',
    headers: { 'X-Exosite-CIK': platform.token, 'Content-Type': 'image/png' },
    body: Buffer.alloc(23427, 7),
  });
  assert.equal(uploaded.status, 205);
  for (const product of ['vendor=P&model=P&', '']) {
    const reply = await call(`/provision/download?${product}id=splash01.png&info=true`);
    assert.match(reply.body, /^image\/png,23427,\d{10},Boot splash screen$/);
    assert.equal(reply.headers['content-length'], '45');
  }
  const managed = await manage('/provision/manage/content/P/splash01.png', 'GET');
  assert.match(managed.body, /^image\/png,23427,\d{10},Boot splash screen,false$/);
});

const RANGED = Buffer.from(Array.from({ length: 23427 }, (_, index) => index % 251));

test('vector 35: a range is 206 with its place in the whole', async () => {
  await platform.putContent('P', 'ranged', RANGED);
  const reply = await call('/provision/download?vendor=P&model=P&id=ranged', {
    headers: { Range: 'bytes=0-1023' },
  });
  assert.equal(reply.status, 206);
  assert.equal(reply.headers['content-range'], 'bytes 0-1023/23427');
  assert.equal(reply.headers['content-length'], '1024');
  assert.equal(reply.headers['accept-ranges'], 'bytes');
  assert.deepEqual(reply.bytes, RANGED.subarray(0, 1024));
});

test('vector 36: open ranges give the rest and the tail', async () => {
  await platform.putContent('P', 'ranged', RANGED);
  const get = (range: string) => call('/provision/download?id=ranged', { headers: { Range: range } });
  assert.deepEqual((await get('bytes=20000-')).bytes, RANGED.subarray(20000));
  assert.deepEqual((await get('bytes=-427')).bytes, RANGED.subarray(-427));
  const beyond = await get('bytes=23427-');
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */23427']);
});

test('vector 38: a foreign model is 403 or 400, deleted content 404', async () => {
  await platform.addDevice('other', 'o');
  await platform.putContent('other', 'secret', Buffer.from('secret'));
  for (const pair of [
    'vendor=other&model=other',
    'vendor=P&model=other',
    'vendor=other&model=P',
    'vendor=no&model=no',
  ]) {
    assert.equal((await call(`/provision/download?${pair}`)).status, 403);
    assert.equal((await call(`/provision/download?${pair}&id=secret`)).status, 403);
    assert.equal((await call(`/provision/download?${pair}&id=secret&info=true`)).status, 400);
  }
  await platform.putContent('P', 'gone', Buffer.from('x'));
  assert.equal((await call('/provision/download?vendor=P&model=P&id=gone&info=true')).status, 200);
  assert.equal((await manage('/provision/manage/content/P/gone', 'DELETE')).status, 205);
  assert.equal((await call('/provision/download?vendor=P&model=P&id=gone&info=true')).status, 404);
  assert.equal((await manage('/provision/manage/content/P/gone', 'GET')).status, 404);
});

test('vector 57: create and upload are 205, and the list shows the content', async () => {
  const created = await manage(
    '/provision/manage/content/M57/',
    'POST',
    'id=F&meta=Test+File&protected=false',
  );
  assert.deepEqual([created.status, created.headers['content-length']], [205, '0']);
  assert.equal((await manage('/provision/manage/content/M57/F', 'POST', 'the blob')).status, 205);
  assert.equal((await manage('/provision/manage/content/M57/', 'GET')).body, 'F');
  assert.match((await manage('/provision/manage/content/M57/F', 'GET')).body, /,8,\d{10},Test File,false$/);
  const blob = await manage('/provision/manage/content/M57/F?download=true', 'GET');
  assert.deepEqual([blob.status, blob.body], [200, 'the blob']);
  assert.equal((await manage('/provision/manage/content/M57/F', 'POST', 'again')).status, 409);
  assert.equal((await manage('/provision/manage/content/M57/', 'POST', 'delete=true&id=F')).status, 205);
  assert.equal((await manage('/provision/manage/content/M57/F', 'GET')).status, 404);
});

test('vector 58: creating the same id twice is 409', async () => {
  const create = () => manage('/provision/manage/content/M58/', 'POST', 'id=F&meta=');
  assert.equal((await create()).status, 205);
  assert.equal((await create()).status, 409);
});

/** What the server sends back for these very bytes, until it closes. */
function raw(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(platform.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    socket.write(request);
  });
}
