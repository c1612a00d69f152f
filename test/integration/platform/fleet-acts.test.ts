/** What people do with content and with many gateways through `/gwe/v2`, and what they are told of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { makeTarball } from '../../helpers/tarball.ts';

interface Rig {
  platform: TestPlatform;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  call(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: any }>;
  writes(serial: string, values: Record<string, unknown>): Promise<void>;
}

async function openRig(t: TestContext, serials: readonly string[] = ['gw-0', 'gw-1']): Promise<Rig> {
  const platform = await startPlatform();
  t.after(() => platform.close());
  const keys = new Map<string, string>();
  for (const serial of serials) {
    await platform.addDevice('p', serial);
    keys.set(serial, await platform.activate('p', serial));
  }
  return {
    platform,
    async call(method, path, body, token = platform.token) {
      const reply = await fetch(`${platform.url}/gwe/v2${path}`, {
        method,
        headers: { 'X-Exosite-Token': token },
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body) }),
      });
      return { status: reply.status, body: await reply.json() };
    },
    async writes(serial, values) {
      const form = Object.entries(values).map(([name, value]): [string, string] => [
        name,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      const reply = await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
        method: 'POST',
        headers: {
          'X-Exosite-CIK': keys.get(serial) ?? '',
          'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
        },
        body: encodeForm(form),
      });
      assert.ok(reply.ok);
    },
  };
}

/** A token of this role in `p`. */
async function tokenOf({ call }: Rig, role: string): Promise<string> {
  return (await call('POST', '/tokens', { name: role, role, product: 'p', days: 1 })).body.text;
}

/** Of a tar stream: what its first file holds. */
function firstEntry(stream: Buffer): Buffer {
  const sizeBytes = Number.parseInt(stream.subarray(124, 135).toString('latin1'), 8);
  return stream.subarray(512, 512 + sizeBytes);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('an upload counts when it is what was named, and the audit says whose it was', async (t) => {
  const rig = await openRig(t);
  const { call } = rig;
  const bytes = makeTarball({ 'install.sh': '#!/bin/sh\n' });
  const [releaser, viewer] = [await tokenOf(rig, 'releaser'), await tokenOf(rig, 'viewer')];
  const path = '/products/p/content/hello.v1.tar.gz';
  const wrong = await call('PUT', `${path}?sha256=${'0'.repeat(64)}`, bytes, releaser);
  assert.deepEqual([wrong.status, /received sha256/.test(wrong.body.detail)], [422, true]);
  assert.deepEqual((await call('GET', '/products/p/content')).body, { content: [], next: null });
  const put = await call('PUT', `${path}?sha256=${sha256(bytes)}`, bytes, releaser);
  assert.deepEqual(
    [put.status, put.body.app, put.body.version, put.body.sizeBytes, put.body.meta],
    [201, 'hello', '1', bytes.length, `SHA256:${sha256(bytes)}`],
  );
  assert.equal((await call('PUT', path, bytes, viewer)).status, 403);
  assert.equal((await call('DELETE', path, undefined, viewer)).status, 403);
  assert.equal((await call('GET', path, undefined, viewer)).body.index, null);
  assert.equal((await call('DELETE', path, undefined, releaser)).status, 200);
  assert.equal((await call('GET', path)).status, 404);
  const { entries } = (await call('GET', '/audit?limit=2&newest=true')).body;
  assert.deepEqual(
    entries.map(({ action, actor, target }: Record<string, string>) => [action, actor, target]),
    [
      ['content.put', 'releaser', 'p/hello.v1.tar.gz'],
      ['content.delete', 'releaser', 'p/hello.v1.tar.gz'],
    ],
  );
});

test('an item says who signed it, and a gateway finds the digest of its manifest beside it', async (t) => {
  const { call } = await openRig(t);
  const key = newKey();
  const bytes = await makeIndexed({ name: 'hello', version: '1' }, { 'install.sh': '#!/bin/sh\n' }, [key]);
  const digest = sha256(firstEntry(gunzipSync(bytes)));
  const path = '/products/p/content/hello.v1.tar.gz';
  const put = await call('PUT', path, bytes);
  assert.equal(put.body.meta, `SHA256:${sha256(bytes)} MANIFEST-SHA256:${digest}`);
  const shown = (await call('GET', path)).body.index;
  assert.deepEqual([shown.digest, shown.signatures], [digest, [key.keyId]]);
});

test('what a gateway runs is not deleted, and the reason is given', async (t) => {
  const { call, writes, platform } = await openRig(t);
  await platform.putContent('p', 'hello.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  await writes('gw-0', { engine_report: { apps: [{ hello: { version: '1', status: 'RUNNING' } }] } });
  const refused = await call('DELETE', '/products/p/content/hello.v1.tar.gz');
  assert.equal(refused.status, 409);
  assert.match(refused.body.detail, /1 gateways run it or may go back to it \(gw-0\)/);
});

test('many gateways are tagged, held, given an interval and a command; who is left out is listed with the reason', async (t) => {
  const { call, platform } = await openRig(t);
  const serials = ['gw-0', 'gw-1', 'gone'];
  const gone = { serial: 'gone', reason: 'no such device' };
  const tagged = await call('POST', '/products/p/devices/tags', { serials, tags: { site: 'b' } });
  assert.deepEqual(tagged.body, { done: 2, leftOut: [gone] });
  assert.deepEqual((await call('GET', '/products/p/devices/gw-1')).body.tags, { site: 'b' });
  const interval = await call('POST', '/products/p/devices/interval', { serials, seconds: 60 });
  assert.equal(interval.body.done, 2);
  assert.equal(await platform.read('p', 'gw-0', 'update_interval'), '60');
  const held = await call('POST', '/products/p/devices/hold', { serials: ['gw-1'], reason: 'under repair' });
  assert.equal(held.body.done, 1);
  const artifacts = ['hello.v1.tar.gz'];
  const unknown = await call('POST', '/products/p/devices/install', { serials, artifacts });
  assert.deepEqual([unknown.status, /in the content area/.test(unknown.body.detail)], [409, true]);
  await platform.putContent('p', 'hello.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const installed = await call('POST', '/products/p/devices/install', { serials, artifacts });
  assert.deepEqual(installed.body, {
    done: 1,
    leftOut: [{ serial: 'gw-1', reason: 'on hold: under repair' }, gone],
  });
  assert.equal(await platform.read('p', 'gw-0', 'engine_fetch'), '{"install":[{"name":"hello.v1.tar.gz"}]}');
  const { entries } = (await call('GET', '/audit?limit=1&newest=true')).body;
  assert.deepEqual([entries[0].action, entries[0].target], ['gateway.command', 'p/gw-0']);
});

test('an operator commands a hundred gateways, and needs a rollout for more', async (t) => {
  const rig = await openRig(t);
  const { call, platform } = rig;
  await platform.putContent('p', 'hello.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const body = { serials: ['gw-0'], artifacts: ['hello.v1.tar.gz'], of: 101 };
  const operator = await tokenOf(rig, 'operator');
  const refused = await call('POST', '/products/p/devices/install', body, operator);
  assert.deepEqual([refused.status, /start a rollout/.test(refused.body.detail)], [403, true]);
  assert.equal(
    (await call('POST', '/products/p/devices/install', { ...body, of: 100 }, operator)).status,
    200,
  );
  assert.equal((await call('POST', '/products/p/devices/install', body)).status, 200);
  const viewer = await tokenOf(rig, 'viewer');
  assert.equal((await call('POST', '/products/p/devices/install', body, viewer)).status, 403);
});

test('a log that was asked for is joined from its pieces, and says which have not come', async (t) => {
  const { call, writes, platform } = await openRig(t);
  const path = '/products/p/devices/gw-0/logs';
  assert.equal((await call('POST', path, { app: 'hello' })).status, 201);
  assert.equal(await platform.read('p', 'gw-0', 'engine_fetch'), '{"logs":[{"app":"hello"}]}');
  assert.equal((await call('POST', path, { app: 'hello' })).status, 409, 'it has not read the first');
  assert.deepEqual((await call('GET', path)).body, { logs: [], isAsked: true });
  const piece = (at: number, info: string) => ({
    fetch_status: {
      name: 'hello',
      version: '1',
      status: 'log',
      outcome: 'log',
      tx: 't-1',
      piece: at,
      pieces: 2,
      bytes: 8,
      info,
    },
  });
  await writes('gw-0', { engine_fetch: '', ...piece(2, 'two\n') });
  const half = (await call('GET', path)).body;
  assert.deepEqual([half.isAsked, half.logs[0].missing, half.logs[0].text], [false, [1], 'two\n']);
  await writes('gw-0', piece(1, 'one\n'));
  const [log] = (await call('GET', path)).body.logs;
  assert.deepEqual([log.app, log.missing, log.text], ['hello', [], 'one\ntwo\n']);
});

test('a product is made once, and its gateways come by a table', async (t) => {
  const { call } = await openRig(t, []);
  assert.deepEqual((await call('PUT', '/products/fresh')).body, { product: 'fresh', isNew: true });
  assert.deepEqual((await call('PUT', '/products/fresh')).body, { product: 'fresh', isNew: false });
  assert.deepEqual((await call('GET', '/session')).body.products, ['fresh']);
});

test('bytes of the month are summed by the ledgers of the gateways, and updates are counted by day and end', async (t) => {
  const { call, writes } = await openRig(t);
  const day = new Date().toISOString().slice(0, 10);
  const usage = (month_rx: number, report: number) => ({
    eth0: { top_consumer: 'gwe', gwe: { report: { tot_rx: report, tot_tx: 1, num: 1 } } },
    gwe_ledger: { since: day, day, month_rx, month_tx: 5 },
  });
  await writes('gw-0', { usage_report: usage(100, 10) });
  await writes('gw-1', { usage_report: usage(200, 20) });
  const { month, ...sums } = (await call('GET', '/products/p/traffic')).body;
  // The month may have ended since.
  if (month === day.slice(0, 7))
    assert.deepEqual(sums, {
      gateways: 2,
      reporting: 2,
      monthBytes: 310,
      purposes: { report: 32 },
      most: [
        { serial: 'gw-1', bytes: 205 },
        { serial: 'gw-0', bytes: 105 },
      ],
    });
  const end = (outcome: string, tx: string, more = {}) => ({
    fetch_status: { name: 'hello', version: '1', outcome, tx, ...more },
  });
  await writes('gw-0', end('installed', 't-1'));
  await writes('gw-1', end('rolled-back', 't-2', { code: 'INSTALL_FAILED' }));
  const { days, codes, isAll } = (await call('GET', '/products/p/updates?days=7')).body;
  const count = (kind: string): number =>
    days.reduce((sum: number, row: Record<string, number>) => sum + (row[kind] ?? 0), 0);
  assert.deepEqual(
    [days.length, count('good'), count('bad'), codes, isAll],
    [7, 1, 1, { INSTALL_FAILED: 1 }, true],
  );
  assert.equal((await call('GET', '/products/p/updates?days=0')).status, 400);
});

test('who is not signed in learns by what he may sign in', async (t) => {
  const { platform } = await openRig(t);
  const reply = await fetch(`${platform.url}/gwe/v2/sign-in`);
  assert.deepEqual(await reply.json(), { singleSignOn: false });
});
