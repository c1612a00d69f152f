import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import { after, before, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const ALIAS = '/onep:v1/stack/alias';
let platform: TestPlatform;
/** Moved on by tests that need another day; never back. */
let skewMs = 0;

before(async () => {
  const clock = createSystemClock();
  platform = await startPlatform({ clock: { ...clock, wallMs: () => clock.wallMs() + skewMs } });
});
after(() => platform.close());

async function device(product: string, serial: string) {
  await platform.addDevice(product, serial);
  const cik = await platform.activate(product, serial);
  return (path: string, body?: string, headers: Record<string, string> = {}) =>
    httpRequest(platform.url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'X-Exosite-CIK': cik, ...headers },
      ...(body === undefined ? {} : { body }),
    });
}

test("one device never sees another's values, history or records", async () => {
  const one = await device('iso', 'one');
  const two = await device('iso', 'two');
  await one(ALIAS, 'secret=1');
  await one(`${ALIAS}/past`, '1400000000=1');
  assert.equal((await two(`${ALIAS}?secret&past`)).status, 204);
  await two(ALIAS, 'secret=2');
  assert.equal((await two(`${ALIAS}/past`, '1400000000=2')).status, 204);
  assert.equal((await one(`${ALIAS}?secret&past`)).body, 'secret=1&past=1');
  assert.deepEqual(
    (await platform.history('iso', 'one', 'secret')).map((entry) => entry.value),
    ['1'],
  );
});

test('when a device was heard of last is kept, to the minute, also where it only reads', async () => {
  const quiet = await device('seen', 'quiet');
  await platform.addDevice('seen', 'silent');
  const seen = async (): Promise<Record<string, number>> => {
    const reply = await httpRequest(`${platform.url}/gwe/v1/products/seen/devices`, {
      method: 'GET',
      headers: { 'X-Exosite-Token': platform.token },
    });
    const devices = JSON.parse(reply.body) as { serial: string; lastSeenAt: number }[];
    return Object.fromEntries(devices.map(({ serial, lastSeenAt }) => [serial, lastSeenAt]));
  };
  assert.deepEqual(await seen(), { quiet: 0, silent: 0 });
  await quiet(`${ALIAS}?engine_fetch`);
  const first = await seen();
  assert.ok(Math.abs(Number(first.quiet) - (Date.now() + skewMs) / 1000) < 60);
  await quiet(`${ALIAS}?engine_fetch`);
  assert.deepEqual(await seen(), first, 'the same minute is written once');
  skewMs += 61_000;
  await quiet(`${ALIAS}?engine_fetch`);
  assert.ok(Number((await seen()).quiet) - Number(first.quiet) >= 61);
  assert.equal(first.silent, 0);
});

test("a write to one device does not end another's long poll", async () => {
  const one = await device('iso', 'poll-one');
  await device('iso', 'poll-two');
  const poll = one(`${ALIAS}?x`, undefined, { 'Request-Timeout': '200' });
  await platform.write('iso', 'poll-two', 'x', '1');
  assert.equal((await poll).status, 304);
});

test("one product's content is not another's", async () => {
  const a = await device('content-a', 'd');
  const b = await device('content-b', 'd');
  await platform.putContent('content-a', 'same-id', Buffer.from('of a'));
  assert.equal((await b('/provision/download?id=same-id')).status, 404);
  assert.equal((await b('/provision/download')).status, 204);
  await platform.putContent('content-b', 'same-id', Buffer.from('of b'));
  assert.equal((await a('/provision/download?id=same-id')).body, 'of a');
  assert.equal((await b('/provision/download?id=same-id')).body, 'of b');
  await platform.deleteContent('content-b', 'same-id');
  assert.equal((await a('/provision/download?id=same-id')).body, 'of a');
});

test('protected content is for no device, and not listed', async () => {
  const call = await device('guarded', 'd');
  const headers = { 'X-Exosite-Token': platform.token };
  const path = `${platform.url}/provision/manage/content/guarded/`;
  await httpRequest(path, { method: 'POST', headers, body: 'id=F&meta=&protected=true' });
  await httpRequest(`${path}F`, { method: 'POST', headers, body: 'secret' });
  assert.equal((await call('/provision/download')).status, 204);
  assert.equal((await call('/provision/download?id=F')).status, 403);
  assert.equal((await call('/provision/download?id=F&info=true')).status, 403);
  assert.equal((await httpRequest(`${path}?sn=d`, { headers })).status, 204);
  assert.match((await httpRequest(`${path}F`, { headers })).body, /,true$/);
});

test('a long poll is answered by the write it waits for', async () => {
  const call = await device('poll', 'd');
  await platform.write('poll', 'd', 'x', 'old');
  const poll = call(`${ALIAS}?x`, undefined, { 'Request-Timeout': '20000' });
  let isDone = false;
  void poll.then(() => {
    isDone = true;
  });
  await platform.write('poll', 'd', 'other', '1');
  for (let n = 0; !isDone && n < 200; n++) await platform.write('poll', 'd', 'x', 'new');
  const reply = await poll;
  assert.deepEqual([reply.status, reply.body], [200, 'x=new']);
  assert.ok(!Number.isNaN(Date.parse(reply.headers['last-modified'] ?? '')));
});

test('a write between a read and the long poll after it is not missed', async () => {
  const call = await device('poll', 'gap');
  for (let n = 0; n < 5; n++) {
    await platform.write('poll', 'gap', 'x', `first ${n}`);
    const read = await call(`${ALIAS}?x`);
    const since = read.headers['last-modified'] ?? '';
    await platform.write('poll', 'gap', 'x', `second ${n}`);
    for (const form of [since, String(Date.parse(since) / 1000)]) {
      const headers = { 'Request-Timeout': '5000', 'If-Modified-Since': form };
      const reply = await call(`${ALIAS}?x`, undefined, headers);
      assert.equal(reply.body, `x=second%20${n}`);
      const again = { 'Request-Timeout': '20', 'If-Modified-Since': reply.headers['last-modified'] ?? '' };
      assert.equal((await call(`${ALIAS}?x`, undefined, again)).status, 304);
    }
  }
});

test('a ninth long poll of one device is 429, and the others go on', async () => {
  const call = await device('poll', 'many');
  const open = Array.from({ length: 9 }, () => call(`${ALIAS}?x`, undefined, { 'Request-Timeout': '400' }));
  const statuses = (await Promise.all(open)).map((reply) => reply.status).sort();
  assert.deepEqual(statuses, [...Array(8).fill(304), 429]);
  assert.equal((await call(`${ALIAS}?x`, undefined, { 'Request-Timeout': '1' })).status, 304);
});

test('closing the platform ends its long polls at once', async () => {
  const own = await startPlatform();
  await own.addDevice('P', 'd');
  const headers = { 'X-Exosite-CIK': await own.activate('P', 'd'), 'Request-Timeout': '60000' };
  const poll = httpRequest(`${own.url}${ALIAS}?x`, { headers });
  await httpRequest(`${own.url}${ALIAS}?x`, { headers: { ...headers, 'Request-Timeout': '50' } });
  const started = performance.now();
  await own.close();
  assert.equal((await poll).status, 304);
  assert.ok(performance.now() - started < 30_000);
});

test('the older path prefix is the same resource', async () => {
  const call = await device('synonym', 'd');
  assert.equal((await call('/api:v1/stack/alias', 'x=1')).status, 204);
  assert.equal((await call(`${ALIAS}?x`)).body, 'x=1');
  assert.equal((await call('/api%3Av1/stack/alias?x')).body, 'x=1');
});

test('an empty value is a value: read as `alias=` and kept in the history', async () => {
  const call = await device('empty', 'd');
  await platform.write('empty', 'd', 'engine_fetch', '{}');
  const reply = await call(`${ALIAS}?engine_fetch`, 'engine_fetch=');
  assert.deepEqual([reply.status, reply.body], [200, 'engine_fetch=']);
  const history = await platform.history('empty', 'd', 'engine_fetch');
  assert.deepEqual(
    history.map((entry) => [entry.value, entry.writer]),
    [
      ['', 'device'],
      ['{}', 'operator'],
    ],
  );
});

test('a recorded point of the past does not replace the current value', async () => {
  const call = await device('record', 'd');
  await call(ALIAS, 'x=now');
  assert.equal((await call('/onep:v1/stack/record', 'alias=x&1400000000=then')).status, 204);
  assert.equal((await call(`${ALIAS}?x`)).body, 'x=now');
  const history = await platform.history('record', 'd', 'x');
  assert.deepEqual(
    history.map((entry) => entry.value),
    ['now', 'then'],
  );
});

test('history keeps the newest 1000 values of an alias', async () => {
  const call = await device('bounded', 'd');
  const points = (from: number, count: number) =>
    Array.from({ length: count }, (_, n) => `${1400000000 + from + n}=${from + n}`).join('&');
  await call(`${ALIAS}/x`, points(0, 600));
  await call(`${ALIAS}/x`, points(600, 600));
  const values = (await platform.history('bounded', 'd', 'x')).map((entry) => entry.value);
  assert.deepEqual([values.length, values[0], values.at(-1)], [1000, '1199', '200']);
  for (let n = 0; n < 10; n++) await call(ALIAS, `big=${'x'.repeat(1024 * 1024 - 1)}${n}`);
  assert.equal((await platform.history('bounded', 'd', 'big')).length, 8);
});

test('an identity that several products have needs the triple, or the product in the host name', async () => {
  await platform.addDevice('twin-a', 'same');
  await platform.addDevice('twin-b', 'same');
  const activate = (host?: string) =>
    httpRequest(`${platform.url}/provision/activate`, {
      method: 'POST',
      body: 'id=same',
      headers: host === undefined ? {} : { Host: host },
    });
  assert.equal((await activate()).status, 409);
  assert.equal((await activate('twin-b.m2.example')).status, 200);
  assert.equal((await activate('twin-b.m2.example')).status, 409);
  assert.match(await platform.activate('twin-a', 'same'), /^[0-9a-f]{40}$/);
});

test('content goes out by range whatever the range, and several are ignored', async () => {
  const call = await device('ranges', 'd');
  await platform.putContent('ranges', 'ten', Buffer.from('0123456789'));
  await platform.putContent('ranges', 'none', Buffer.alloc(0));
  const get = async (id: string, range: string) => {
    const reply = await call(`/provision/download?id=${id}`, undefined, { Range: range });
    return [reply.status, reply.status === 416 ? reply.headers['content-range'] : reply.body];
  };
  assert.deepEqual(await get('ten', 'bytes=9-9'), [206, '9']);
  assert.deepEqual(await get('ten', 'bytes=5-999'), [206, '56789']);
  assert.deepEqual(await get('ten', 'bytes=-999'), [206, '0123456789']);
  assert.deepEqual(await get('ten', 'bytes=10-'), [416, 'bytes */10']);
  assert.deepEqual(await get('ten', 'bytes=-0'), [416, 'bytes */10']);
  for (const range of ['bytes=0-1,3-4', 'bytes=5-1', 'bytes=-', 'lines=1-2', 'bytes=a-b']) {
    assert.deepEqual(await get('ten', range), [200, '0123456789'], range);
  }
  assert.deepEqual(await get('none', 'bytes=0-'), [416, 'bytes */0']);
  assert.equal((await call('/provision/download?id=none')).headers['content-length'], '0');
});

test('a reader of content that is replaced gets the old bytes to their end', async () => {
  const call = await device('replace', 'd');
  // More than the buffers between the two ends hold.
  const old = Buffer.alloc(24 * 1024 * 1024, 1);
  await platform.putContent('replace', 'app', old);
  const info = async () => (await call('/provision/download?id=app&info=true')).body.split(',');
  const [, , before] = await info();
  const headers = { 'X-Exosite-Token': platform.token };
  const url = `${platform.url}/provision/manage/content/replace/app?download=true`;
  const [reading] = await once(http.get(url, { headers }), 'response');
  await platform.putContent('replace', 'app', Buffer.from('new'));
  const hash = createHash('sha256');
  for await (const chunk of reading) hash.update(chunk);
  assert.equal(hash.digest('hex'), createHash('sha256').update(old).digest('hex'));
  assert.equal((await call('/provision/download?id=app')).body, 'new');
  const [, , later] = await info();
  assert.ok(Number(later) > Number(before));
});

test('a serial number that is remapped loses its key and keeps its values', async () => {
  const call = await device('remap', 'old');
  await call(ALIAS, 'x=1');
  const path = `${platform.url}/provision/manage/model/remap/new`;
  const headers = { 'X-Exosite-Token': platform.token };
  const reply = await httpRequest(path, { method: 'POST', headers, body: 'enable=true&oldsn=old' });
  assert.equal(reply.status, 205);
  assert.equal((await call(`${ALIAS}?x`)).status, 401);
  await platform.activate('remap', 'new');
  assert.equal(await platform.read('remap', 'new', 'x'), '1');
});

test('a serial number that is not activated within 24 hours is expired', async () => {
  await platform.addDevice('window', 'late');
  const status = async () =>
    (
      await httpRequest(`${platform.url}/provision/manage/model/window/late`, {
        headers: { 'X-Exosite-Token': platform.token },
      })
    ).body;
  assert.match(await status(), /^notactivated,/);
  skewMs += 24 * 3600_000 + 2000;
  assert.match(await status(), /^expired,/);
  await assert.rejects(platform.activate('window', 'late'), /409/);
  await platform.addDevice('window', 'late');
  assert.match(await platform.activate('window', 'late'), /^[0-9a-f]{40}$/);
  skewMs += 48 * 3600_000;
  assert.match(await status(), /^activated,/);
});
