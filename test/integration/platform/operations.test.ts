/** What an operator runs a platform by: its health, its numbers, its log, and its end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createLogger } from '../../../src/base/log.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { type StartOptions, startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

interface Operated extends TestPlatform {
  adminUrl: string;
  lines: Record<string, unknown>[];
  cik: string;
}

/** A platform with a listener of the operators' own, one activated device, and its log in JSON. */
async function operated(t: TestContext, options: StartOptions = {}): Promise<Operated> {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => {
    lines.push(JSON.parse(line));
  };
  const clock = createSystemClock();
  const platform = await startPlatform({
    admin: { host: '127.0.0.1', port: 0 },
    log: createLogger({ level: 'debug', format: 'json', clock, write }),
    ...options,
  });
  t.after(() => platform.close());
  const { token, adminUrl } = platform;
  const headers = { 'X-Exosite-Token': token };
  const enable = `${adminUrl}/provision/manage/model/P/gw`;
  await httpRequest(enable, { method: 'POST', headers, body: 'enable=true' });
  const body = 'vendor=P&model=P&sn=gw';
  const cik = (await httpRequest(`${platform.url}/provision/activate`, { method: 'POST', body })).body;
  return { ...platform, adminUrl, lines, cik };
}

/** `gwe_x{a="b"} 3` -> 3. */
function value(text: string, series: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test('the numbers tell of check-ins, refusals, connections, gateways and writes', async (t) => {
  const { url, adminUrl, token, cik } = await operated(t);
  const device = { 'X-Exosite-CIK': cik };
  const alias = `${url}/onep:v1/stack/alias?engine_fetch`;
  await httpRequest(alias, { headers: device });
  await httpRequest(alias, { method: 'POST', headers: device, body: 'a=1' });
  await httpRequest(alias, { headers: { 'X-Exosite-CIK': 'x'.repeat(40) } });
  await httpRequest(`${adminUrl}/gwe/v1/products/P/content/c`, {
    method: 'PUT',
    headers: { 'X-Exosite-Token': token },
    body: 'five!',
  });
  const { status, body, headers } = await httpRequest(`${adminUrl}/metrics`);
  assert.equal(status, 200);
  assert.match(headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(value(body, 'gwe_requests_total{route="read",status="204"}'), 1);
  assert.equal(value(body, 'gwe_requests_total{route="read",status="401"}'), 1);
  assert.equal(value(body, 'gwe_requests_total{route="write",status="204"}'), 1);
  assert.equal(value(body, 'gwe_checkins_total'), 2);
  assert.equal(value(body, 'gwe_refused_total{reason="unauthorized"}'), 1);
  assert.equal(value(body, 'gwe_long_polls'), 0);
  assert.equal(value(body, 'gwe_connections{listener="operators",limit="500"}'), 1);
  assert.equal(value(body, 'gwe_devices{product="P",state="activated"}'), 1);
  assert.equal(value(body, 'gwe_devices_late'), 0);
  assert.equal(value(body, 'gwe_objects_bytes'), 5);
  assert.equal(value(body, 'gwe_request_seconds_count{route="write"}'), 1);
  assert.equal(value(body, 'gwe_request_seconds_bucket{route="write",le="+Inf"}'), 1);
  assert.ok((value(body, 'gwe_storage_seconds_count{op="checkIn"}') ?? 0) >= 2);
  assert.ok((value(body, 'gwe_commit_batch_size_count') ?? 0) > 0);
  assert.ok((value(body, 'process_resident_memory_bytes') ?? 0) > 1e7);
  for (const line of body.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"\n]*",?)*\})? -?[\d.e+-]+)$/);
});

test('the numbers are for operators: not on the listener of devices, and with the token where there is one listener', async (t) => {
  const { url } = await operated(t);
  assert.equal((await httpRequest(`${url}/metrics`)).status, 404);
  const shared = await startPlatform();
  t.after(() => shared.close());
  assert.equal((await httpRequest(`${shared.url}/metrics`)).status, 401);
  const headers = { Authorization: `Bearer ${shared.token}` };
  assert.equal((await httpRequest(`${shared.url}/metrics`, { headers })).status, 200);
});

test('a label that comes from outside ends no line of the numbers', async (t) => {
  const { adminUrl, token } = await operated(t);
  const name = encodeURIComponent('a"\\b');
  await httpRequest(`${adminUrl}/provision/manage/model/${name}/gw`, {
    method: 'POST',
    headers: { 'X-Exosite-Token': token },
    body: 'enable=true',
  });
  const { body } = await httpRequest(`${adminUrl}/metrics`);
  assert.ok(body.includes('gwe_devices{product="a\\"\\\\b",state="notactivated"} 1\n'), body);
});

test('an operator finds his request in the log by the id in the answer, his own id if it is a plain one', async (t) => {
  const { adminUrl, token, lines, url, cik } = await operated(t);
  const headers = { 'X-Exosite-Token': token };
  const missing = await httpRequest(`${adminUrl}/gwe/v1/products/P/devices/nobody/values?a`, { headers });
  const id = String(missing.headers['x-request-id']);
  assert.match(id, /^[\w-]{6,40}$/);
  assert.ok(missing.body.endsWith(`\nrequest ${id}`), missing.body);
  const told = lines.find(({ request }) => request === id);
  assert.deepEqual([told?.event, told?.status, told?.route], ['platform.refused', 404, 'v1']);

  const problem = await httpRequest(`${adminUrl}/gwe/v2/nothing`, {
    headers: { ...headers, 'X-Request-Id': 'mine.1' },
  });
  assert.equal(problem.headers['x-request-id'], 'mine.1');
  assert.equal(JSON.parse(problem.body).request, 'mine.1');
  const forged = { ...headers, 'X-Request-Id': 'a b' };
  const own = await httpRequest(`${adminUrl}/gwe/v2/nothing`, { headers: forged });
  assert.match(String(own.headers['x-request-id']), /^[\w-]{6,40}$/);

  const idle = await httpRequest(`${url}/onep:v1/stack/alias?a`, { headers: { 'X-Exosite-CIK': cik } });
  assert.equal(idle.headers['x-request-id'], undefined, 'a gateway pays for every byte');
});

test('what an operator changes is one line of the log, what a gateway does is none', async (t) => {
  const { adminUrl, token, lines, url, cik } = await operated(t);
  lines.length = 0;
  const body = 'engine_fetch=x';
  await httpRequest(`${adminUrl}/gwe/v1/products/P/devices/gw/values`, {
    method: 'POST',
    headers: { 'X-Exosite-Token': token },
    body,
  });
  await httpRequest(`${url}/onep:v1/stack/alias?engine_fetch`, { headers: { 'X-Exosite-CIK': cik } });
  const told = lines.filter(({ level }) => level !== 'debug');
  assert.equal(told.length, 1, JSON.stringify(told));
  const { event, method, route, status, address } = told[0] ?? {};
  assert.deepEqual(
    [event, method, route, status, address],
    ['platform.request', 'POST', 'v1', 204, '127.0.0.1'],
  );
});

test('at its end it answers long polls, lets an upload finish, and says meanwhile that it is not ready', async (t) => {
  const { url, adminUrl, token, cik, lines, close } = await operated(t, { drainMs: 60_000 });
  assert.equal((await httpRequest(`${adminUrl}/healthz`)).status, 200);
  assert.equal((await httpRequest(`${adminUrl}/readyz`)).body, 'ready\n');
  const headers = { 'X-Exosite-CIK': cik, 'Request-Timeout': '300000' };
  const poll = httpRequest(`${url}/onep:v1/stack/alias?engine_fetch`, { headers });
  await until(async () => {
    const { body } = await httpRequest(`${adminUrl}/metrics`);
    return value(body, 'gwe_long_polls') === 1;
  });
  const upload = http.request(`${adminUrl}/gwe/v1/products/P/content/late`, {
    method: 'PUT',
    headers: { 'X-Exosite-Token': token, 'Content-Length': '10' },
  });
  const answered = once(upload, 'response');
  upload.write('12345');
  await once(upload, 'socket');
  await until(
    async () => (await httpRequest(`${adminUrl}/metrics`)).body.includes('op="hasProduct"') || true,
  );
  const closing = close();
  assert.equal((await poll).status, 304);
  const ready = await httpRequest(`${adminUrl}/readyz`);
  assert.deepEqual([ready.status, ready.body], [503, 'draining\n']);
  assert.equal((await httpRequest(`${adminUrl}/healthz`)).status, 200);
  const late = await httpRequest(`${adminUrl}/gwe/v1/products/P/content`, {
    headers: { 'X-Exosite-Token': token },
  });
  assert.deepEqual([late.status, late.headers['retry-after']], [503, '5']);
  await assert.rejects(httpRequest(`${url}/timestamp`), { code: 'ECONNREFUSED' });
  upload.end('67890');
  const [reply] = await answered;
  assert.equal(reply.statusCode, 200);
  assert.equal(reply.headers.connection, 'close');
  reply.resume();
  await closing;
  assert.equal(lines.filter(({ event }) => event === 'platform.cut-off').length, 0);
});

test('an upload that does not finish in time is cut off, and the log says so', async (t) => {
  const { adminUrl, token, lines, close } = await operated(t, { drainMs: 50 });
  const upload = http.request(`${adminUrl}/gwe/v1/products/P/content/late`, {
    method: 'PUT',
    headers: { 'X-Exosite-Token': token, 'Content-Length': '10', Expect: '100-continue' },
  });
  const ended = once(upload, 'error');
  upload.flushHeaders();
  await once(upload, 'continue');
  await close();
  await ended;
  assert.equal(lines.filter(({ event }) => event === 'platform.cut-off').length, 1);
});
