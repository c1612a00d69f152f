/** The platform against names, values, tokens and devices that mean harm. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import * as http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addressKey } from '../../../src/platform/http/client-address.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

const ALIAS = '/onep:v1/stack/alias';
let platform: TestPlatform;
let cik: string;

before(async () => {
  platform = await startPlatform();
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

async function assertAlive(): Promise<void> {
  assert.equal((await httpRequest(`${platform.url}/timestamp`)).status, 200);
}

test('a value of 1 MiB is stored, one of a byte more is 413', async () => {
  const value = '"'.repeat(1024 * 1024);
  const body = `big=${encodeURIComponent(value)}`;
  assert.equal((await call(ALIAS, { body })).status, 204);
  assert.equal(await platform.read('P', 'dev', 'big'), value);
  assert.equal((await call(ALIAS, { body: `${body}%22` })).status, 413);
  assert.equal(await platform.read('P', 'dev', 'big'), value);
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
  await until(() => uploads() === 1);
  request.destroy();
  await until(() => uploads() === 0);
  await assertAlive();
  assert.equal((await call('/provision/download?id=given-up')).status, 404);
});

test('wrong tokens are refused, and after ten the address has to wait', async (t) => {
  const own = await startPlatform();
  t.after(() => own.close());
  const guess = (token: string) =>
    httpRequest(`${own.url}/provision/manage/content/P/`, { headers: { 'X-Exosite-Token': token } });
  for (let n = 0; n < 10; n++) assert.equal((await guess(`guess-${n}`)).status, 401);
  const limited = await guess('one more');
  assert.equal(limited.status, 429);
  assert.ok(Number(limited.headers['retry-after']) > 0);
  assert.notEqual((await guess(own.token)).status, 429, 'who has the token is not kept out by others');
  assert.equal((await httpRequest(`${own.url}/timestamp`)).status, 200);
});

test('SQL in a name is a name: of a product, device, vendor, alias, content, key or token', async () => {
  const evil = "x'); DELETE FROM device; --";
  const names = [evil, "' OR '1'='1", '"; DROP TABLE content; --', "%' ESCAPE '", "a''b"];
  const devices = async () => (await manage('/gwe/v1/products/P/devices', 'GET')).body;
  const before = await devices();
  for (const name of names) {
    await platform.addDevice(name, name);
    const reply = await call('/provision/activate', {
      body: new URLSearchParams({ vendor: name, model: name, sn: name }).toString(),
    });
    assert.match(reply.body, /^[0-9a-f]{40}$/, name);
    const headers = { 'X-Exosite-CIK': reply.body };
    const alias = encodeURIComponent(name);
    assert.equal((await call(ALIAS, { body: `${alias}=${alias}`, headers })).status, 204);
    assert.equal((await call(`${ALIAS}?${alias}`, { headers })).status, 200);
    assert.deepEqual(
      (await platform.history(name, name, name)).map(({ value }) => value),
      [name],
    );
    await platform.putContent(name, name, Buffer.from('x'), 'meta');
    assert.equal((await call(`/provision/download?id=${alias}`, { headers })).body, 'x');
    assert.equal((await call(`${ALIAS}?${alias}`, { headers: { 'X-Exosite-CIK': name } })).status, 401);
  }
  assert.equal(await devices(), before);
  assert.equal((await call(`${ALIAS}?x`)).status, 204, 'the first device still has its key');
});

test("a device's key opens nothing of another device, of another product or of the operator", async () => {
  const other = await platform.addDevice('Q', 'other').then(() => platform.activate('Q', 'other'));
  await platform.write('Q', 'other', 'secret', 'of Q');
  await platform.write('P', 'dev', 'mine', 'of P');
  await platform.putContent('Q', 'only-q', Buffer.from('of Q'));
  for (const query of [
    'id=only-q',
    'id=only-q&info=true',
    'model=Q&vendor=Q&id=only-q',
    'model=Q&vendor=Q',
  ]) {
    assert.ok([400, 403, 404].includes((await call(`/provision/download?${query}`)).status), query);
  }
  assert.equal((await call('/provision/download?vendor=Q&id=only-q&info=true')).status, 400);
  assert.doesNotMatch((await call('/provision/download')).body, /only-q/);
  assert.equal((await call(`${ALIAS}?secret`)).status, 204);
  // Whatever else in a request names a device: the key alone counts.
  const mixed = await call(`${ALIAS}?mine&secret`, {
    headers: { 'X-Exosite-Token': other, Cookie: `cik=${other}`, Authorization: `token ${other}` },
  });
  assert.equal(mixed.body, 'mine=of%20P');
  for (const path of [
    '/gwe/v1/products/P/devices',
    '/gwe/v1/products/P/devices/dev/history?alias=mine',
    '/provision/manage/content/P/',
    '/provision/manage/model/P/dev',
  ]) {
    assert.equal((await call(path)).status, 401, path);
  }
});

test('what all values of a device take is bounded, and so is its longest answer', async () => {
  await platform.addDevice('P', 'hoarder');
  const headers = { 'X-Exosite-CIK': await platform.activate('P', 'hoarder') };
  const value = 'x'.repeat(1024 * 1024);
  for (const name of 'abcd') {
    assert.equal((await call(ALIAS, { body: `${name}=${value}`, headers })).status, 204, name);
  }
  const refused = await call(ALIAS, { body: 'a=1&e=12', headers });
  assert.equal(refused.status, 204, 'a smaller value in the place of a big one makes room');
  assert.equal((await call(ALIAS, { body: `f=${value}`, headers })).status, 413);
  assert.equal((await call('/onep:v1/stack/alias/f', { body: `1400000000=${value}`, headers })).status, 413);
  assert.equal((await call(`${ALIAS}?f`, { headers })).status, 204);
});

test('tokens are compared by the digest, in constant time, and by nothing else', async (t) => {
  const own = await startPlatform();
  t.after(() => own.close());
  const compared: number[][] = [];
  let verdict = false;
  t.mock.method(crypto, 'timingSafeEqual', (a: Buffer, b: Buffer) => {
    compared.push([a.length, b.length]);
    return verdict;
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const status = async (token: string) =>
    (await httpRequest(`${own.url}/gwe/v1/products/P/devices`, { headers: { 'X-Exosite-Token': token } }))
      .status;
  assert.equal(await status(own.token), 401, 'the right one, when the comparison says no');
  for (const token of ['', own.token.slice(0, -1), `${own.token}x`]) assert.equal(await status(token), 401);
  verdict = true;
  assert.equal(await status('wrong'), 404, 'a wrong one, when it says yes: there is no product P');
  assert.deepEqual(compared, Array(5).fill([32, 32]));
});

test('names of devices cannot be tried out fast, and who has a key is not held up', async (t) => {
  const own = await startPlatform();
  t.after(() => own.close());
  await own.addDevice('P', 'known');
  const headers = { 'X-Exosite-CIK': await own.activate('P', 'known') };
  const attempt = (serial: string) =>
    httpRequest(`${own.url}/provision/activate`, { method: 'POST', body: `vendor=P&model=P&sn=${serial}` });
  for (let n = 0; n < 31; n++) assert.equal((await attempt(`guess-${n}`)).status, 404);
  await own.addDevice('P', 'fresh');
  assert.equal((await attempt('fresh')).status, 200, 'a gateway behind the same address is admitted');
  for (let n = 0; n < 10; n++) await attempt('same');
  const limited = await attempt('same');
  assert.equal(limited.status, 429);
  assert.ok(Number(limited.headers['retry-after']) > 0);
  let attempts = 41;
  while ((await attempt(`more-${attempts}`)).status === 404) attempts++;
  assert.ok(attempts > 500 && attempts <= 600, `${attempts} names in a minute`);
  assert.equal((await httpRequest(`${own.url}${ALIAS}?x`, { headers })).status, 204);
});

test('all addresses of one IPv6 network count as one', () => {
  assert.equal(addressKey('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2');
  assert.equal(addressKey('2001:db8:1:2::9'), '2001:db8:1:2');
  assert.equal(addressKey('2001:db8::9'), '2001:db8:0:0');
  assert.equal(addressKey('::1'), '0:0:0:0');
  assert.equal(addressKey('fe80::1%eth0'), 'fe80:0:0:0');
  assert.equal(addressKey('::ffff:10.0.0.1'), '::ffff:10.0.0.1');
  assert.equal(addressKey('10.0.0.1'), '10.0.0.1');
});
