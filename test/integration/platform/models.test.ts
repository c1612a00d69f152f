/**
 * Models and serial numbers by the management API, and the RPC that command lines of the protocol use (one-platform.md
 * §2.4).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const MODELS = '/provision/manage/model/';
let platform: TestPlatform;

before(async () => {
  platform = await startPlatform();
});
after(() => platform.close());

async function manage(method: string, path: string, body?: string, type?: string): Promise<[number, string]> {
  const reply = await httpRequest(platform.url + path, {
    method,
    headers: { 'X-Exosite-Token': platform.token, ...(type === undefined ? {} : { 'Content-Type': type }) },
    ...(body === undefined ? {} : { body }),
  });
  return [reply.status, reply.body];
}

async function reason(method: string, path: string, body?: string): Promise<string> {
  const headers = { 'X-Exosite-Token': platform.token };
  const reply = await httpRequest(platform.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  assert.ok(reply.status >= 400, `${reply.status}`);
  return String(reply.headers['x-gwe-reason']);
}

describe('models', () => {
  test('are created once, listed, and none is answered for by another', async () => {
    assert.deepEqual(await manage('POST', MODELS, 'model=m1&rid=abc'), [205, '']);
    assert.deepEqual(await manage('POST', MODELS, 'model=m1&rid=abc'), [409, 'HTTP/1.1 409 Conflict']);
    assert.match((await manage('GET', MODELS))[1], /(^|\r\n)m1($|\r\n)/);
    assert.equal((await manage('GET', `${MODELS}?show=shared`))[0], 204);
    assert.match(await reason('GET', `${MODELS}nothing/`), /no such model/);
  });

  test('have no template and are not deleted whole: refused in words', async () => {
    await manage('POST', MODELS, 'model=m2');
    assert.match(await reason('GET', `${MODELS}m2`), /clone template/);
    assert.match(await reason('DELETE', `${MODELS}m2`), /delete its serial numbers/);
    assert.match(await reason('POST', MODELS, 'delete=true&model=m2'), /delete its serial numbers/);
    assert.match(await reason('GET', '/provision/manage/group/m2/'), /cannot manage a group/);
    assert.match(await reason('GET', '/provision/manage/share/m2/'), /cannot manage a share/);
  });
});

describe('serial numbers', () => {
  const list = `${MODELS}s/`;
  before(() => manage('POST', MODELS, 'model=s'));

  test('are added one by one, as a list and as CSV; one that is there adds none', async () => {
    assert.deepEqual(await manage('POST', list, 'sn=a1&extra=first'), [205, '']);
    assert.deepEqual(await manage('POST', list, 'add=true&sn[]=a2&sn[]=a3'), [205, '']);
    assert.deepEqual(await manage('POST', list, 'a4,x,y\r\na5\r\n', 'text/csv; charset=utf-8'), [205, '']);
    assert.equal((await manage('POST', list, 'sn[]=a6&sn[]=a1'))[0], 409);
    assert.deepEqual(await manage('GET', list), [200, 'a1,,first\r\na2,,\r\na3,,\r\na4,,x,y\r\na5,,']);
  });

  test('are listed in pages of 5 to 1000', async () => {
    const [, page] = await manage('GET', `${list}?offset=1&limit=2`);
    assert.equal(page.split('\r\n').length, 4);
    assert.match(await reason('GET', `${list}?limit=x`), /whole number as limit/);
    assert.deepEqual(await manage('GET', `${list}?show=ranges`), [200, '{"ranges":[]}']);
  });

  test('that were never enabled are unused, and nobody activates as one', async () => {
    assert.equal((await manage('GET', `${list}a1`))[0], 204);
    const body = 'vendor=s&model=s&sn=a1';
    const reply = await httpRequest(`${platform.url}/provision/activate`, { method: 'POST', body });
    assert.equal(reply.status, 409);
  });

  test('once enabled and activated tell so, with their extra and their log', async () => {
    assert.match((await manage('POST', `${list}a1`, 'enable=true&owner=abc'))[1], /^[0-9a-f]{40}$/);
    await platform.activate('s', 'a1');
    assert.match((await manage('GET', `${list}a1`))[1], /^activated,[0-9a-f]{40},first$/);
    assert.equal((await manage('GET', `${list}a1?show=groups`))[0], 204);
    const [, log] = await manage('GET', `${list}a1?show=log`);
    assert.deepEqual(
      log.split('\r\n').map((line) => line.replace(/^\d{10},127\.0\.0\.1,/, '')),
      ['refused: it is unused', 'enabled', 'activated'],
    );
    assert.match(await reason('GET', `${list}a1?show=everything`), /expected groups or log/);
  });

  test('are removed with their key and values, one by one or many, all or none', async () => {
    await manage('POST', `${list}a2`, 'enable=true');
    const cik = await platform.activate('s', 'a2');
    const headers = { 'X-Exosite-CIK': cik };
    await httpRequest(`${platform.url}/onep:v1/stack/alias`, { method: 'POST', headers, body: 'a=1' });
    assert.deepEqual(await manage('DELETE', `${list}a2`), [205, '']);
    assert.equal((await httpRequest(`${platform.url}/onep:v1/stack/alias?a`, { headers })).status, 401);
    assert.equal((await manage('POST', list, 'delete=true&sn[]=a3&sn[]=a9'))[0], 404);
    assert.match((await manage('GET', list))[1], /a3/);
    assert.deepEqual(await manage('POST', list, 'remove=true&sn=a3'), [205, '']);
    assert.deepEqual(await manage('DELETE', list, 'a4\na5\n', 'text/csv'), [205, '']);
    assert.match((await manage('GET', list))[1], /^a1,[0-9a-f]{40},first$/);
  });
});

describe('JSON RPC', () => {
  let cik = '';
  before(async () => {
    await platform.addDevice('r', 'dev');
    cik = await platform.activate('r', 'dev');
  });
  const rpc = async (...calls: [procedure: string, ...args: unknown[]][]) => {
    const body = JSON.stringify({
      auth: { cik },
      calls: calls.map(([procedure, ...args], id) => ({ id, procedure, arguments: args })),
    });
    const reply = await httpRequest(`${platform.url}/onep:v1/rpc/process`, { method: 'POST', body });
    assert.equal(reply.status, 200, reply.body);
    return JSON.parse(reply.body) as { id: number; status: string; result?: unknown }[];
  };
  const resultOf = <T>(answer: { result?: unknown } | undefined): T => answer?.result as T;
  const ENGINE_FETCH = { alias: 'engine_fetch' };
  const COMMAND = '{"install": [{"name": "app.v1.tar.gz"}]}';

  test('a command written by it is what the gateway reads', async () => {
    assert.deepEqual(await rpc(['write', ENGINE_FETCH, COMMAND]), [{ id: 0, status: 'ok' }]);
    assert.equal(await platform.read('r', 'dev', 'engine_fetch'), COMMAND);
    const [read] = await rpc(['read', ENGINE_FETCH, { limit: 1, sort: 'desc' }]);
    assert.deepEqual(
      resultOf<[number, string][]>(read).map(([, value]) => value),
      [COMMAND],
    );
  });

  test('describes the device and its aliases, by alias and by id', async () => {
    const [lookup, listing, info, device] = await rpc(
      ['lookup', 'alias', 'engine_fetch'],
      ['listing', ['dataport', 'client'], {}],
      ['info', ENGINE_FETCH, {}],
      ['info', { alias: '' }, {}],
    );
    const rid = String(lookup?.result);
    assert.match(rid, /^[0-9a-f]{40}$/);
    assert.deepEqual(listing?.result, { dataport: [rid], client: [] });
    assert.equal(resultOf<{ description: { name: string } }>(info).description.name, 'engine_fetch');
    assert.deepEqual(resultOf<{ aliases: unknown }>(device).aliases, { [rid]: ['engine_fetch'] });
    const [byId] = await rpc(['read', rid, {}]);
    assert.equal(resultOf<[number, string][]>(byId)[0]?.[1], COMMAND);
  });

  test('says of each call what is wrong with it, and goes on with the next', async () => {
    const answers = await rpc(
      ['drop', 'x'],
      ['read', { alias: 'never' }, { limit: 0 }],
      ['write', 'f'.repeat(40), 'x'],
      ['write', { alias: 'a\nb' }, 'x'],
      ['lookup', 'alias', 'never'],
      ['write', { alias: 'led' }, 5],
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      ['restricted', 'invalid', 'invalid', 'invalid', 'invalid', 'ok'],
    );
    assert.equal(await platform.read('r', 'dev', 'led'), '5');
  });

  for (const [what, body, status] of [
    ['no key', '{"calls":[]}', 401],
    ['a wrong key', `{"auth":{"cik":"${'a'.repeat(40)}"},"calls":[]}`, 401],
    ['no JSON', 'x', 400],
    ['no calls', '{"auth":{}}', 400],
  ] as const) {
    test(`with ${what} is refused whole`, async () => {
      const reply = await httpRequest(`${platform.url}/onep:v1/rpc/process`, { method: 'POST', body });
      assert.equal(reply.status, status);
    });
  }
});
