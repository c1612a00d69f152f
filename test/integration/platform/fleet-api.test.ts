/** `/gwe/v2` as an operator's program calls it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { verifyAudit } from '../../../src/fleet/people/audit.ts';
import { API_CALLS } from '../../../src/fleet-api/fleet-api.ts';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { openStream } from '../../helpers/event-stream.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

interface Reply {
  status: number;
  type: string;
  etag: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  body: any;
}

interface Rig {
  platform: TestPlatform;
  keys: string[];
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Reads the command of a gateway. */
  reads(at: number): Promise<string>;
  writes(at: number, values: Record<string, unknown>): Promise<void>;
}

async function openRig(t: TestContext, count = 2): Promise<Rig> {
  const platform = await startPlatform();
  t.after(() => platform.close());
  const keys: string[] = [];
  for (let at = 0; at < count; at++) {
    await platform.addDevice('p', `gw-${at}`);
    keys.push(await platform.activate('p', `gw-${at}`));
  }
  const alias = async (at: number, init: RequestInit): Promise<string> => {
    const reply = await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
      ...init,
      headers: {
        'X-Exosite-CIK': keys[at] ?? '',
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
      },
    });
    return new URLSearchParams(await reply.text()).get('engine_fetch') ?? '';
  };
  return {
    platform,
    keys,
    async call(method, path, body, headers = {}) {
      const reply = await fetch(`${platform.url}/gwe/v2${path}`, {
        method,
        headers: { 'X-Exosite-Token': platform.token, ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await reply.text();
      const type = reply.headers.get('content-type') ?? '';
      return { status: reply.status, type, etag: reply.headers.get('etag') ?? '', body: JSON.parse(text) };
    },
    reads: (at) => alias(at, {}),
    async writes(at, values) {
      const form = Object.entries(values).map(([name, value]): [string, string] => [
        name,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      await alias(at, { method: 'POST', body: encodeForm(form) });
    },
  };
}

const running = (version: string, previous = '1.0') => ({
  apps: [{ hello: { version, previous, status: 'RUNNING' } }],
});

test('a refusal is a problem in JSON, and nothing is shown without a token', async (t) => {
  const { call, platform } = await openRig(t, 1);
  const unknown = await call('GET', '/products/q/devices');
  assert.deepEqual([unknown.status, unknown.type], [404, 'application/problem+json']);
  const { request, ...body } = unknown.body;
  assert.deepEqual(body, { type: 'about:blank', title: 'Not Found', status: 404, detail: 'no such product' });
  assert.match(String(request), /^[\w-]{6,40}$/, 'by which it is found in the log');
  const stranger = await fetch(`${platform.url}/gwe/v2/products/p/devices`, {
    headers: { 'X-Exosite-Token': 'wrong' },
  });
  assert.equal(stranger.status, 401);
  assert.equal((await call('PATCH', '/products/p/devices')).status, 405);
  assert.equal((await call('GET', '/nothing')).status, 404);
  const filter = await call('GET', `/products/p/devices?filter=${encodeURIComponent('seen>1x')}`);
  assert.deepEqual(
    [filter.status, filter.body.detail],
    [
      400,
      "cannot read the filter at character 6: found '1x', expected a time such as 90s, 15m, 4h, 2d or 1w",
    ],
  );
});

test('gateways are found by what they report, by tags and by groups, in pages', async (t) => {
  const { call, writes } = await openRig(t, 3);
  await writes(1, { engine_report: running('2.0'), device_info: { gwe: '2.1.0', interval: 60 } });
  await call('PATCH', '/products/p/devices/gw-1/tags', { site: 'berlin' });
  await call('PATCH', '/products/p/devices/gw-2/tags', { site: 'berlin', old: 'x' });
  const tagged = await call('PATCH', '/products/p/devices/gw-2/tags', { old: null });
  assert.deepEqual(tagged.body.tags, { site: 'berlin' });
  const found = await call('GET', `/products/p/devices?filter=${encodeURIComponent('app.hello<2.1')}`);
  assert.deepEqual(
    found.body.devices.map(({ serial }: { serial: string }) => serial),
    ['gw-1'],
  );
  assert.equal((await call('PUT', '/products/p/groups/berlin', { filter: 'tag.site=berlin' })).status, 200);
  const first = await call('GET', '/products/p/devices?group=berlin&limit=1');
  assert.deepEqual([first.body.devices[0].serial, first.body.next], ['gw-1', 'gw-1']);
  const second = await call('GET', '/products/p/devices?group=berlin&limit=1&after=gw-1');
  assert.deepEqual([second.body.devices[0].serial, second.body.next], ['gw-2', null]);
  assert.equal((await call('PUT', '/products/p/groups/bad', { filter: 'tag.site=' })).status, 400);
  const status = await call('GET', '/products/p/status');
  assert.deepEqual([status.body.gateways, status.body.apps], [3, { hello: { '2.0': 1 } }]);
});

test('what a schema does not allow is refused with its place', async (t) => {
  const { call } = await openRig(t, 1);
  const tags = await call('PATCH', '/products/p/devices/gw-0/tags', { 'a b': 'x' });
  assert.deepEqual([tags.status, tags.body.status], [422, 422]);
  const spec = await call('POST', '/products/p/rollouts', {
    artifacts: ['hello.v2.1.tar.gz'],
    waves: [{ share: 2 }],
  });
  assert.match(spec.body.detail, /waves\.0/);
  assert.equal((await call('POST', '/products/p/rollouts', '{')).status, 400);
});

test('a rollout is planned, started, paused by its ETag, resumed and undone', async (t) => {
  const { call, reads, writes, platform } = await openRig(t, 2);
  for (const version of ['1.0', '2.1'])
    await platform.putContent('p', `hello.v${version}.tar.gz`, Buffer.alloc(700));
  for (const at of [0, 1])
    await writes(at, { engine_report: running('1.0', '0.9'), device_info: { interval: 60 } });
  const spec = { artifacts: ['hello.v2.1.tar.gz'], waves: [{ count: 1 }, { share: 1 }], soakS: 0 };
  const plan = await call('POST', '/products/p/rollouts/plan', spec);
  assert.deepEqual(
    [plan.body.gateways, plan.body.waves, plan.body.ways.whole],
    [2, [1, 1], { gateways: 2, bytes: 1400 }],
  );
  const missing = await call('POST', '/products/p/rollouts/plan', { artifacts: ['hello.v9.tar.gz'] });
  assert.match(missing.body.detail, /not in the content area/);
  const started = await call('POST', '/products/p/rollouts', spec);
  assert.deepEqual([started.status, started.body.state, started.body.name], [201, 'running', 'hello 2.1']);
  const path = `/products/p/rollouts/${started.body.id}`;
  const read = await call('GET', path);
  const paused = await call('POST', `${path}/pause`, { reason: 'lunch' }, { 'If-Match': read.etag });
  assert.deepEqual(
    [paused.body.state, paused.body.waitsFor],
    ['paused', 'somebody to resume or abort it (paused by admin-token: lunch)'],
  );
  const late = await call('POST', `${path}/resume`, {}, { 'If-Match': read.etag });
  assert.equal(late.status, 412);
  assert.match(late.body.detail, /It is paused now, by admin-token: lunch\. Nothing was done/);
  assert.equal(await reads(0), '');
  assert.equal((await call('POST', `${path}/resume`)).body.state, 'running');
  assert.equal((await call('POST', `${path}/go-on`)).status, 409);
  const shown = [await reads(0), await reads(1)];
  const at = shown.findIndex((text) => text !== '');
  assert.deepEqual(JSON.parse(shown[at] ?? ''), {
    id: `${started.body.id}.1`,
    install: [{ name: 'hello.v2.1.tar.gz' }],
  });
  assert.equal(shown[1 - at], '');
  await writes(at, { engine_fetch: '' });
  const end = {
    name: 'hello',
    version: '2.1',
    outcome: 'installed',
    tx: 't-00',
    command: `${started.body.id}.1`,
  };
  await writes(at, { fetch_status: end, engine_report: running('2.1') });
  assert.equal((await call('GET', path)).body.waves[0].counts.succeeded, 1);
  const undone = await call('POST', `${path}/undo`);
  assert.deepEqual(undone.body.rollouts[0].artifacts, [{ app: 'hello', version: '1.0' }]);
  assert.match(await reads(at), /hello\.v1\.0\.tar\.gz/);
  assert.equal((await call('GET', path)).body.state, 'aborted');
  const { entries } = (await call('GET', '/audit')).body;
  const actions = entries.map(({ action }: { action: string }) => action);
  for (const action of ['rollout.start', 'rollout.pause', 'rollout.resume', 'rollout.undo'])
    assert.ok(actions.includes(action), action);
  assert.equal('kind' in verifyAudit(entries), false);
  const events = await call('GET', '/products/p/events');
  assert.deepEqual(
    events.body.events.map(({ kind }: { kind: string }) => kind),
    ['taken', 'update'],
  );
});

test('a rollout follows a filter until it is finished, or until a newer one of the app begins', async (t) => {
  const { call, reads, writes, platform } = await openRig(t, 3);
  for (const version of ['2.1', '2.2'])
    await platform.putContent('p', `hello.v${version}.tar.gz`, Buffer.alloc(700));
  const start = (version: string, more: object, headers: Record<string, string> = {}) =>
    call('POST', '/products/p/rollouts', { artifacts: [`hello.v${version}.tar.gz`], ...more }, headers);
  const none = await start('2.1', { filter: 'tag.site=berlin' });
  assert.deepEqual([none.status, /no gateway is in it/.test(none.body.detail)], [409, true]);
  const listed = await start('2.1', { follow: true, serials: ['gw-0'] });
  assert.match(listed.body.detail, /cannot follow a list of serial numbers: expected a filter or a group/);
  await call('PUT', '/products/p/groups/north', { filter: 'tag.site=berlin' });
  const first = await start('2.1', { follow: true, group: 'north', filter: 'app.hello', soakS: 0 });
  assert.deepEqual([first.status, first.body.policy.follow], [201, '(tag.site=berlin) and (app.hello)']);
  await writes(1, { engine_report: running('1.0'), device_info: { interval: 60 } });
  await call('PATCH', '/products/p/devices/gw-1/tags', { site: 'berlin' });
  const path = `/products/p/rollouts/${first.body.id}`;
  await until(async () => /hello\.v2\.1/.test(await reads(1)));
  const made = await call('POST', '/tokens', { name: 'olga', role: 'operator', product: 'p', days: 1 });
  const olga = { Authorization: `Bearer ${made.body.text}`, 'X-Exosite-Token': '' };
  const asked = await start('2.2', { follow: true }, olga);
  assert.equal(asked.body.state, 'awaiting-approval', 'who it will touch is not known');
  assert.notEqual((await call('GET', path)).body.policy.follow, undefined, 'the newer one has not begun');
  await call('POST', `/products/p/rollouts/${asked.body.id}/approve`);
  assert.equal((await call('GET', path)).body.policy.follow, undefined, 'a newer one has begun');
  const finished = await call('POST', `/products/p/rollouts/${asked.body.id}/finish`, { reason: 'enough' });
  assert.deepEqual([finished.status, finished.body.policy.follow], [200, undefined]);
  const again = await call('POST', `${path}/finish`);
  assert.match(again.body.detail, /cannot finish rollout .*: it follows no gateways, and ends by itself/);
});

test('a token may what its role may, in its product, until it is revoked; its secret is kept nowhere', async (t) => {
  const { call } = await openRig(t, 1);
  const made = await call('POST', '/tokens', { name: 'vera', role: 'viewer', product: 'p', days: 1 });
  const bearer = { Authorization: `Bearer ${made.body.text}`, 'X-Exosite-Token': '' };
  assert.equal((await call('GET', '/products/p/devices', undefined, bearer)).status, 200);
  const refused = await call('PATCH', '/products/p/devices/gw-0/tags', { a: 'b' }, bearer);
  assert.deepEqual(
    [refused.status, refused.body.detail],
    [403, 'cannot gateway.tag in p: vera has no role that may'],
  );
  assert.equal((await call('GET', '/products/q/devices', undefined, bearer)).status, 403);
  assert.equal((await call('GET', '/audit', undefined, bearer)).status, 403);
  const listed = await call('GET', '/tokens');
  assert.equal(listed.body.tokens.length, 1);
  assert.doesNotMatch(
    JSON.stringify([listed.body, (await call('GET', '/audit')).body]),
    new RegExp(made.body.text.split('_')[2]),
  );
  assert.equal((await call('DELETE', `/tokens/${made.body.id}`)).status, 200);
  assert.equal((await call('GET', '/products/p/devices', undefined, bearer)).status, 401);
});

test('the description has every call of the table, each with its body', async (t) => {
  const { call } = await openRig(t, 0);
  const { body } = await call('GET', '/openapi.json');
  assert.equal(body.openapi, '3.1.0');
  const { valid, errors } = await new Validator().validate(body);
  assert.ok(valid, JSON.stringify(errors));
  for (const { method, path, schema, takes } of API_CALLS) {
    const found = body.paths[path]?.[method.toLowerCase()];
    assert.ok(found !== undefined, `${method} ${path}`);
    assert.equal(found.requestBody !== undefined, (schema ?? takes) !== undefined, `${method} ${path}`);
  }
});

test('events come as they happen, to who accepts a stream, and go on from the last one that was seen', async (t) => {
  const { platform, writes } = await openRig(t, 2);
  const report = (tx: string) => ({
    fetch_status: { name: 'hello', version: '1', outcome: 'installed', tx },
  });
  await writes(0, report('t-before'));
  const stream = await openStream(platform, {});
  t.after(() => stream.end());
  await writes(0, report('t-one'));
  await writes(1, report('t-two'));
  const found = [await stream.next(), await stream.next()];
  assert.deepEqual(
    found.map(({ data }) => [data.serial, data.kind]),
    [
      ['gw-0', 'update'],
      ['gw-1', 'update'],
    ],
    'what was there before is not told',
  );
  assert.deepEqual(
    found.map(({ id, data }) => Number(id) - data.id),
    [0, 0],
  );
  const again = await openStream(platform, { 'Last-Event-ID': found[0]?.id ?? '' });
  t.after(() => again.end());
  assert.equal((await again.next()).id, found[1]?.id);
  const bad = await fetch(`${platform.url}/gwe/v2/products/p/events`, {
    headers: { 'X-Exosite-Token': platform.token, Accept: 'text/event-stream', 'Last-Event-ID': 'x' },
  });
  assert.equal(bad.status, 400);
});
