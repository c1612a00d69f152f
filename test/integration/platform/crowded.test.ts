/** One address, or one device, that takes all that it can get, and others at the same address (src/platform/README.md, "`gwe platform`"). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createLogger } from '../../../src/base/log.ts';
import { MAX_CONNECTIONS_PER_ADDRESS } from '../../../src/platform/bounds.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { type StartOptions, startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

const ALIAS = '/onep:v1/stack/alias';
/** Everybody's in these tests, as behind a NAT. */
const SHARED = '127.0.0.9';

async function started(t: TestContext, options: StartOptions = {}): Promise<TestPlatform> {
  const clock = createSystemClock();
  const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
  const platform = await startPlatform({ log, ...options });
  t.after(() => platform.close());
  return platform;
}

async function device(platform: TestPlatform, serial: string): Promise<Record<string, string>> {
  await platform.addDevice('P', serial);
  return { 'X-Exosite-CIK': await platform.activate('P', serial) };
}

/** A GET from the shared address; resolves with the status and the body. */
async function get(
  { url, caFile }: TestPlatform,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number | undefined; body: string }> {
  const common = { localAddress: SHARED, headers, agent: false } as const;
  const request =
    caFile === undefined
      ? http.get(url + path, common)
      : https.get(url + path, { ...common, ca: readFileSync(caFile) });
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  let body = '';
  for await (const chunk of response ?? []) body += String(chunk);
  return { status: response?.statusCode, body };
}

/** Opens connections from the shared address that send `bytes` and no more; how many were ended by the platform. */
async function crowd(t: TestContext, platform: TestPlatform, bytes: string, count: number) {
  const seen = { open: 0, ended: 0 };
  const sockets = Array.from({ length: count }, () => {
    const port = Number(new URL(platform.url).port);
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: SHARED }, () => seen.open++);
    socket.on('error', () => undefined);
    socket.on('close', () => seen.ended++);
    socket.resume();
    socket.write(bytes);
    return socket;
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until(() => seen.open === count);
  return seen;
}

const NEVER_ENDING = [
  {
    what: 'a body that does not come',
    isTls: false,
    bytes: 'POST /provision/activate HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na',
  },
  { what: 'nothing', isTls: false, bytes: '' },
  { what: 'a TLS handshake that goes no further', isTls: true, bytes: '\x16\x03\x01\x02\x00' },
];

for (const { what, isTls, bytes } of NEVER_ENDING)
  test(`thousands of connections of one address with ${what} keep no gateway and no operator at it out`, async (t) => {
    const platform = await started(t, { tls: isTls, headersTimeoutMs: 600_000 });
    const [polling, other] = [await device(platform, 'polling'), await device(platform, 'other')];
    const poll = get(platform, `${ALIAS}?engine_fetch`, { ...polling, 'Request-Timeout': '300000' });
    const isWaiting = /^gwe_long_polls 1$/m;
    const token = { 'X-Exosite-Token': platform.token };
    await until(async () => isWaiting.test((await get(platform, '/metrics', token)).body));
    const seen = await crowd(t, platform, bytes, MAX_CONNECTIONS_PER_ADDRESS + 50);
    for (let n = 0; n < 5; n++)
      assert.equal((await get(platform, `${ALIAS}?engine_fetch`, other)).status, 204);
    assert.equal((await get(platform, '/gwe/v1/products/P/devices', token)).status, 200);
    await until(() => seen.ended >= 50);
    await platform.write('P', 'polling', 'engine_fetch', '{}');
    assert.deepEqual(await poll, { status: 200, body: 'engine_fetch=%7B%7D' });
  });

interface Unread {
  status: number;
  socket: net.Socket;
}

/** Asks, and reads the status of the answer and no more of it. */
async function askUnread(t: TestContext, platform: TestPlatform, request: string): Promise<Unread> {
  const socket = net.connect(Number(new URL(platform.url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write(request);
  const [chunk] = await once(socket, 'data');
  socket.pause();
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(String(chunk))?.[1]), socket };
}

/** As long an answer as a device can have: three times that in the form that it is sent in. */
async function withLongValues(platform: TestPlatform, serial: string) {
  const headers = await device(platform, serial);
  for (const name of ['a', 'b', 'c']) await platform.write('P', serial, name, '"'.repeat(1024 * 1024));
  const request = `GET ${ALIAS}?a&b&c HTTP/1.1\r\nHost: a\r\nX-Exosite-CIK: ${headers['X-Exosite-CIK']}\r\n\r\n`;
  return { headers, request };
}

test('of long answers that a device does not read the platform holds one; short ones it has all the same', async (t) => {
  const platform = await started(t);
  const { headers, request } = await withLongValues(platform, 'deaf');
  const first = await askUnread(t, platform, request);
  assert.equal(first.status, 200);
  const more = await Promise.all(Array.from({ length: 15 }, () => askUnread(t, platform, request)));
  assert.deepEqual(new Set(more.map(({ status }) => status)), new Set([429]));
  assert.equal((await httpRequest(`${platform.url}${ALIAS}?nothing`, { headers })).status, 204);
  const other = await withLongValues(platform, 'other');
  const whole = await httpRequest(`${platform.url}${ALIAS}?a&b&c`, { headers: other.headers });
  assert.equal(whole.body.length, 'a=&b=&c='.length + 3 * 3 * 1024 * 1024);
  first.socket.destroy();
  await until(async () => (await httpRequest(`${platform.url}${ALIAS}?a&b&c`, { headers })).status === 200);
});

test('an answer of which nothing is read any more is ended', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'gwe-crowded-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const before = await startPlatform({ dir: join(home, 'platform') });
  const { request } = await withLongValues(before, 'stuck').finally(() => before.close());
  // Only now: the same time is given to forms, and those were long.
  const platform = await started(t, { dir: join(home, 'platform'), bodyTimeoutMs: 500 });
  const stuck = await askUnread(t, platform, request);
  assert.equal(stuck.status, 200);
  // Its connection is still open on this side, and nothing of it is read.
  await until(async () => {
    const { status, socket } = await askUnread(t, platform, request);
    socket.destroy();
    return status === 200;
  });
});

test('calls of one RPC request whose answers are too long together are not carried out', async (t) => {
  const platform = await started(t);
  const { headers } = await withLongValues(platform, 'many');
  const cik = headers['X-Exosite-CIK'];
  const calls: unknown[] = Array.from({ length: 50 }, (_, id) => ({
    id,
    procedure: 'read',
    arguments: [{ alias: 'a' }, {}],
  }));
  calls.push({ id: 'last', procedure: 'write', arguments: [{ alias: 'new' }, '1'] });
  const body = JSON.stringify({ auth: { cik }, calls });
  const reply = await httpRequest(`${platform.url}/onep:v1/rpc/process`, { method: 'POST', body });
  assert.equal(reply.status, 200);
  assert.ok(reply.body.length < 12 * 1024 * 1024, `${reply.body.length} bytes`);
  const answers: { id: unknown; status: string }[] = JSON.parse(reply.body);
  assert.equal(answers.length, 51);
  assert.deepEqual([answers[0]?.status, answers[50]?.status], ['ok', 'restricted']);
  assert.equal(await platform.read('P', 'many', 'new'), undefined);
});

test('forms that strangers of many addresses begin and do not end leave room for the forms of devices', async (t) => {
  const platform = await started(t);
  const headers = await device(platform, 'gw');
  const head = 'POST /onep:v1/rpc/process HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n{';
  const port = Number(new URL(platform.url).port);
  const statuses: number[] = [];
  let open = 0;
  for (let n = 0; n < 32; n++) {
    const localAddress = `127.0.1.${n + 1}`;
    const socket = net.connect({ port, host: '127.0.0.1', localAddress }, () => open++);
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => statuses.push(Number(/ (\d+)/.exec(String(chunk))?.[1])));
    socket.write(head);
  }
  // Four are waited for, in 16 MiB; all the others are told that there is no room.
  await until(() => open === 32 && statuses.length === 28);
  assert.deepEqual(new Set(statuses), new Set([429]));
  const body = `big=${'x'.repeat(1024 * 1024)}`;
  assert.equal((await httpRequest(platform.url + ALIAS, { method: 'POST', headers, body })).status, 204);
});
