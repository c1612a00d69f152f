/** A platform in a directory moves to PostgreSQL while it serves, and back by a backup. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createConnection } from '../../../src/platform/storage/postgres/connection.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { copyPlatform } from '../../../src/platform/storage/transfer/copy.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { type ServedPlatform, servePlatform } from '../../helpers/served-platform.ts';
import { activated } from '../../helpers/storage-suite-context.ts';

const ALIAS = '/onep:v1/stack/alias';
const clock = createSystemClock();
const server = await startPostgres();
const home = mkdtempSync(join(tmpdir(), 'gwe-copy-'));
after(async () => {
  await server.end();
  rmSync(home, { recursive: true, force: true });
});

const run = (...words: string[]) => runPlatformCli(['platform', ...words]);
const folder = () => mkdtempSync(join(home, 'data-'));

async function serve(t: TestContext, ...words: string[]): Promise<ServedPlatform> {
  const own = mkdtempSync(join(home, 'token-'));
  const platform = await servePlatform(own, words);
  let isOpen = true;
  const close = async () => {
    if (isOpen) await platform.close();
    isOpen = false;
  };
  t.after(close);
  return { ...platform, close };
}

const get = (url: string, cik: string, path: string) =>
  httpRequest(url + path, { headers: { 'X-Exosite-CIK': cik } });
const post = (url: string, cik: string, body: string) =>
  httpRequest(`${url}${ALIAS}?engine_fetch`, { method: 'POST', headers: { 'X-Exosite-CIK': cik }, body });

test('all of a platform is in the database after the copy: keys, values, history, content, fleet; and the old one ends', async (t) => {
  const [data, url] = [folder(), server.freshUrl()];
  const old = await serve(t, '--data', data);
  await old.addDevice('P', 'gw');
  await old.addDevice('P', 'waits');
  const cik = await old.activate('P', 'gw');
  for (const value of ['1', '2', '\u0000\u{1f4a5}'])
    await post(old.url, cik, `a=${encodeURIComponent(value)}`);
  await old.write('P', 'gw', 'engine_fetch', 'A');
  const bytes = randomBytes(100_000);
  await old.putContent('P', 'app', bytes);
  const operator = { 'x-exosite-token': old.token, 'content-type': 'application/json' };
  const v2 = (platform: ServedPlatform, path: string, init = {}) =>
    httpRequest(`${platform.url}/gwe/v2/${path}`, { headers: operator, ...init });
  const tagged = await v2(old, 'products/P/devices/gw/tags', { method: 'PATCH', body: '{"site":"berlin"}' });
  assert.equal(tagged.status, 200, tagged.body);
  const history = await old.history('P', 'gw', 'a');
  const gateways = await v2(old, 'products/P/devices');

  const copied = await run('copy', '--from', data, '--to', url);
  assert.match(copied.stdout, /^copied and compared: 2 devices, \d+ rows, 0 objects; stop this platform/);
  const late = await post(old.url, cik, 'a=lost');
  assert.equal(late.status, 503);
  assert.match(String(late.headers['x-gwe-reason']), /the platform has moved to/);
  await old.close();
  await assert.rejects(run('serve', '--data', data, '--listen', '127.0.0.1:0'), {
    code: 'PLATFORM_STATE',
    message: /has moved to 127\.0\.0\.1:\d+\/gwe\d+, .*remove '.*moved'/,
  });

  const fresh = await serve(t, '--data', data, '--database', url);
  assert.equal((await get(fresh.url, cik, `${ALIAS}?engine_fetch`)).body, 'engine_fetch=A');
  assert.deepEqual(await fresh.history('P', 'gw', 'a'), history);
  assert.deepEqual((await get(fresh.url, cik, '/provision/download?id=app')).bytes, bytes);
  assert.deepEqual(JSON.parse((await v2(fresh, 'products/P/devices')).body), JSON.parse(gateways.body));
  await post(fresh.url, cik, 'a=3');
  assert.equal(
    (await fresh.history('P', 'gw', 'a')).length,
    4,
    'numbers go on behind those that were copied',
  );
  assert.notEqual(await fresh.activate('P', 'waits'), '');
});

test('while rows are copied gateways read, and what they are shown counts; writes are refused for so long', async () => {
  const [data, url] = [folder(), server.freshUrl()];
  const storage = await openSqliteStorage({ directory: data, clock });
  const { device, cik } = await activated(storage, 'p', 'gw');
  await storage.write(device.id, [['engine_fetch', 'A']], 'operator');
  const target = { url };
  const read = () => storage.checkIn({ cik, writes: [], reads: ['engine_fetch'] });
  let during: Promise<PromiseSettledResult<unknown>[]> = Promise.resolve([]);
  const progress = {
    clock,
    signal: new AbortController().signal,
    say: (text: string) => {
      // Its rows are there by now, as they were.
      if (text.startsWith('current:'))
        during = Promise.allSettled([read(), storage.write(device.id, [['a', '1']], 'operator')]);
    },
  };
  const id = '00112233445566778899aabbccddeeff';
  const freeze = () => storage.inside.freeze('being copied');
  const copying = copyPlatform({ ...storage.inside, id, freeze }, target, progress);
  await copying;
  const [shown, written] = await during;
  assert.ok(shown?.status === 'fulfilled');
  assert.deepEqual(
    (shown.value as { values: { value: string }[] }).values.map(({ value }) => value),
    ['A'],
  );
  assert.ok(written?.status === 'rejected' && written.reason.code === 'PLATFORM_READ_ONLY');
  const connection = createConnection(target);
  const [row] = await connection.query(
    "SELECT sequence, shown_sequence FROM current WHERE alias = 'engine_fetch'",
  );
  assert.equal(row?.shown_sequence, row?.sequence);
  await connection.close();
  await storage.close();
});

test('a copy that was broken off goes on where it was, and sees what was written in between', async () => {
  const [data, url] = [folder(), server.freshUrl()];
  const storage = await openSqliteStorage({ directory: data, clock });
  const serials = Array.from({ length: 2500 }, (_, n) => ({ serial: `gw-${n}`, extra: '' }));
  await storage.createProduct('p');
  await storage.addDevices('p', serials);
  const copy = async (stopAt: string): Promise<string[]> => {
    const said: string[] = [];
    const stop = new AbortController();
    const say = (text: string): void => {
      said.push(text);
      if (text.startsWith(stopAt)) stop.abort(new Error('broken off'));
    };
    const freeze = () => storage.inside.freeze('being copied');
    const id = '00112233445566778899aabbccddeeff';
    await copyPlatform({ ...storage.inside, id, freeze }, { url }, { clock, say, signal: stop.signal });
    return said;
  };
  await storage.secret('s', 16, 60);
  await assert.rejects(copy('device:'), /broken off/);
  await storage.createProduct('q');
  assert.equal(await storage.hasProduct('q'), true, 'it is written to again');
  await assert.rejects(
    run('migrate', '--database', url).then(() => serveOn(url)),
    {
      message: /a platform is being copied into it; go on with gwe platform copy/,
    },
  );
  const said = await copy('nothing');
  assert.ok(!said.some((text) => text.startsWith('device:')), `they were there: ${said}`);
  await assert.rejects(copy('nothing'), { message: /the database holds a platform, expected an empty one/ });
  await storage.close();
});

test('rows that changed between two tries are found by the comparison, and copied again', async () => {
  const [data, url] = [folder(), server.freshUrl()];
  const storage = await openSqliteStorage({ directory: data, clock });
  const { device, cik } = await activated(storage, 'p', 'gw');
  await storage.checkIn({ cik, writes: [['a', '1']], reads: [] });
  const copy = async (stopAt: string): Promise<string[]> => {
    const said: string[] = [];
    const stop = new AbortController();
    const say = (text: string): void => {
      said.push(text);
      if (text.startsWith(stopAt)) stop.abort(new Error('broken off'));
    };
    const freeze = () => storage.inside.freeze('being copied');
    const source = { ...storage.inside, id: '00112233445566778899aabbccddeeff', freeze };
    await copyPlatform(source, { url }, { clock, say, signal: stop.signal });
    return said;
  };
  await assert.rejects(copy('current:'), /broken off/);
  await storage.checkIn({ cik, writes: [['a', '2']], reads: [] });
  const said = await copy('nothing');
  assert.ok(
    said.some((text) => /differs .*: copying the rows again/.test(text)),
    String(said),
  );
  const connection = createConnection({ url });
  const [row] = await connection.query('SELECT value FROM current WHERE device = $1', device.id);
  assert.deepEqual(row?.value, Buffer.from('2'));
  await connection.close();
  await storage.close();
});

test('a platform in PostgreSQL is backed up while it serves, and restored to another database or to a directory', async (t) => {
  const [data, url] = [folder(), server.freshUrl()];
  const platform = await serve(t, '--data', data, '--database', url);
  await platform.addDevice('P', 'gw');
  const cik = await platform.activate('P', 'gw');
  await post(platform.url, cik, 'a=1');
  await platform.write('P', 'gw', 'engine_fetch', 'A');
  const bytes = randomBytes(50_000);
  await platform.putContent('P', 'app', bytes);
  await platform.addDevice('P', 'late');
  const backup = join(home, 'of-postgres');
  await run('backup', '--database', url, '--data', data, '--to', backup);
  await run('verify', '--from', backup);
  await platform.activate('P', 'late');

  const again = server.freshUrl();
  await assert.rejects(run('restore', '--from', backup, '--database', url, '--data', data), {
    message: /the database holds a platform, expected an empty one/,
  });
  const restored = await run(
    'restore',
    '--from',
    backup,
    '--database',
    again,
    '--data',
    data,
    '--reactivate',
    '72h',
  );
  assert.match(restored.stdout, /2 serial numbers may be activated once more/);
  const second = await serve(t, '--data', data, '--database', again);
  assert.equal((await get(second.url, cik, `${ALIAS}?engine_fetch`)).body, 'engine_fetch=A');
  const fresh = await second.activate('P', 'late');
  assert.equal((await get(second.url, fresh, `${ALIAS}?a`)).status, 204);
  const call = { vendor: 'P', model: 'P', sn: 'gw' };
  const taken = await httpRequest(`${second.url}/provision/activate`, {
    method: 'POST',
    body: new URLSearchParams(call).toString(),
  });
  assert.equal(taken.status, 409, 'it was heard with the key that is stored');

  const directory = join(home, 'embedded');
  mkdirSync(directory, { mode: 0o700 });
  await run('restore', '--from', backup, '--data', directory);
  const embedded = await serve(t, '--data', directory);
  assert.equal((await get(embedded.url, cik, `${ALIAS}?engine_fetch`)).body, 'engine_fetch=A');
  assert.deepEqual((await get(embedded.url, cik, '/provision/download?id=app')).bytes, bytes);
});

async function serveOn(url: string): Promise<void> {
  await run('serve', '--data', folder(), '--database', url, '--listen', '127.0.0.1:0');
}
