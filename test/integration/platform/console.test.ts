/** What the platform sends to a browser, and whom it takes a session's calls from. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { consoleFiles } from '../../../src/packaging/console.mjs';
import { type HttpReply, httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

async function open(t: TestContext): Promise<TestPlatform> {
  const files = await consoleFiles();
  const platform = await startPlatform({ operatorPages: () => files });
  t.after(() => platform.close());
  return platform;
}

async function signIn({
  url,
  token,
}: TestPlatform): Promise<{ cookie: string; changeToken: string; set: string }> {
  const reply = await httpRequest(`${url}/gwe/v2/session`, {
    method: 'POST',
    headers: { 'x-exosite-token': token },
  });
  assert.equal(reply.status, 201, reply.body);
  const [set = ''] = reply.headers['set-cookie'] ?? [];
  return { cookie: set.split(';')[0] ?? '', set, changeToken: JSON.parse(reply.body).changeToken };
}

test('the page comes with a policy that runs nothing but its own files, and is sent once', async (t) => {
  const { url } = await open(t);
  const page = await httpRequest(`${url}/`);
  assert.equal(page.status, 200);
  assert.match(page.body, /^<!doctype html>/);
  assert.doesNotMatch(page.body, /<script(?![^>]* src=)|<style|\son\w+=/);
  const policy = String(page.headers['content-security-policy']);
  for (const part of ["default-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"])
    assert.ok(policy.includes(part), policy);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(page.headers['x-content-type-options'], 'nosniff');
  const etag = String(page.headers.etag);
  const again = await httpRequest(`${url}/`, { headers: { 'if-none-match': etag } });
  assert.deepEqual([again.status, again.body], [304, '']);
  const script = await httpRequest(`${url}/console/main.js`, { headers: { 'accept-encoding': 'gzip' } });
  assert.deepEqual(
    [script.headers['content-encoding'], script.headers['content-type']],
    ['gzip', 'text/javascript; charset=utf-8'],
  );
  for (const path of ['/console/nothing', '/console/../main.js', '/console/__proto__', '/nothing'])
    assert.equal((await httpRequest(url + path)).status, 404, path);
  assert.equal((await httpRequest(`${url}/`, { method: 'POST' })).status, 405);
});

test('the whole console is small, and what the first page needs is smaller: it draws no plot', async () => {
  const files = Object.entries(await consoleFiles());
  const sum = (some: typeof files): number =>
    some.reduce((before, [, { gzip }]) => before + Buffer.from(gzip, 'base64').length, 0);
  const later = files.filter(([path]) => path.endsWith('.js') && path !== 'console/main.js');
  assert.deepEqual(
    later.map(([path]) => path),
    ['console/plot-canvas.js'],
  );
  const first = sum(files) - sum(later);
  assert.ok(first <= 60_000, `${first} bytes that the first page loads`);
  assert.ok(sum(files) <= 120_000, `${sum(files)} bytes in all`);
});

test('where operators have an address of their own, devices see no console', async (t) => {
  const files = await consoleFiles();
  const admin = { host: '127.0.0.1', port: 0 };
  const platform = await startPlatform({ operatorPages: () => files, admin });
  t.after(() => platform.close());
  assert.equal((await httpRequest(`${platform.url}/`)).status, 404);
});

test('a session reads by its cookie alone, and changes nothing without its token', async (t) => {
  const platform = await open(t);
  await platform.addDevice('p', 'gw-1');
  const { cookie, set, changeToken } = await signIn(platform);
  assert.match(set, /; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
  assert.ok(!set.includes(platform.token));
  const call = (method: string, path: string, headers: Record<string, string>): Promise<HttpReply> =>
    httpRequest(`${platform.url}/gwe/v2${path}`, {
      method,
      headers: { cookie, ...headers },
      body: '{"site":"b"}',
    });
  const session = await httpRequest(`${platform.url}/gwe/v2/session`, { headers: { cookie } });
  const shown = JSON.parse(session.body);
  assert.deepEqual([shown.name, shown.products], ['admin-token', ['p']]);
  const tags = '/products/p/devices/gw-1/tags';
  assert.equal((await call('PATCH', tags, {})).status, 403);
  assert.equal((await call('PATCH', tags, { 'x-gwe-change': changeToken.replace(/./, 'g') })).status, 403);
  assert.equal((await call('PATCH', tags, { 'x-gwe-change': changeToken })).status, 200);
  const foreign = { 'x-gwe-change': changeToken, origin: 'http://elsewhere.example' };
  assert.equal((await call('PATCH', tags, foreign)).status, 403);
  const forged = cookie.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  assert.equal((await call('PATCH', tags, { cookie: forged, 'x-gwe-change': changeToken })).status, 401);
});

test('a session ends with the token that it was made from, and knows no more than it', async (t) => {
  const platform = await open(t);
  await platform.addDevice('p', 'gw-1');
  await platform.addDevice('q', 'gw-1');
  const asAdmin = { 'x-exosite-token': platform.token };
  const made = await httpRequest(`${platform.url}/gwe/v2/tokens`, {
    method: 'POST',
    headers: asAdmin,
    body: JSON.stringify({ name: 'vera', role: 'viewer', product: 'p', days: 1 }),
  });
  const { text, id } = JSON.parse(made.body);
  const { cookie } = await signIn({ ...platform, token: text });
  const read = async (path: string) =>
    (await httpRequest(`${platform.url}/gwe/v2${path}`, { headers: { cookie } })).status;
  assert.deepEqual([await read('/products/p/devices'), await read('/products/q/devices')], [200, 403]);
  await httpRequest(`${platform.url}/gwe/v2/tokens/${id}`, { method: 'DELETE', headers: asAdmin });
  assert.equal(await read('/products/p/devices'), 401);
});

test('a session over TLS is for TLS alone', async (t) => {
  const files = await consoleFiles();
  const platform = await startPlatform({ operatorPages: () => files, tls: true });
  t.after(() => platform.close());
  const reply = await httpRequest(`${platform.url}/gwe/v2/session`, {
    method: 'POST',
    headers: { 'x-exosite-token': platform.token },
    caFile: platform.caFile,
  });
  assert.match(String(reply.headers['set-cookie']), /; Secure$/);
});
