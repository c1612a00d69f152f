/** What one of many may take of the platform, so that the others and the operator are heard. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as tls from 'node:tls';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createLogger } from '../../../src/base/log.ts';
import { createPlatformServer } from '../../../src/platform/server/server.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { type StartOptions, startPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { until } from '../../helpers/until.ts';

const ALIAS = '/onep:v1/stack/alias';

async function started(t: TestContext, options: StartOptions = {}) {
  const platform = await startPlatform(options);
  t.after(() => platform.close());
  return platform;
}

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-limits-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A GET from an address of this machine's own choice. */
async function getFrom(
  localAddress: string,
  url: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const request = http.get(url, { localAddress, headers, agent: false });
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}

test('one address that takes all that it can leaves others and the operator theirs, and the log says so', async (t) => {
  const lines: string[] = [];
  const clock = createSystemClock();
  const log = createLogger({ level: 'warn', format: 'text', clock, write: (line) => lines.push(line) });
  const platform = await started(t, { log });
  const { port } = new URL(platform.url);
  const sockets: net.Socket[] = [];
  t.after(() => sockets.map((socket) => socket.destroy()));
  let [open, ended] = [0, 0];
  for (let n = 0; n < 2100; n++) {
    const socket = net.connect({ port: Number(port), host: '127.0.0.1', localAddress: '127.0.0.9' });
    socket.on('error', () => undefined);
    socket.on('connect', () => open++);
    socket.on('close', () => ended++);
    socket.write('POST /provision/activate HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na');
    sockets.push(socket);
  }
  await until(() => ended >= 100);
  assert.ok(open >= 2000, `${open} were open`);
  assert.equal(await getFrom('127.0.0.8', `${platform.url}/timestamp`), 200);
  assert.match(lines.join(''), /WARN {2}platform\.full refused=1 .*one address/);
  assert.equal(lines.filter((line) => line.includes('platform.full')).length, 1, 'once a minute');
});

test('operators with a listener of their own call there alone, and devices do not', async (t) => {
  const directory = folder(t);
  const clock = createSystemClock();
  const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
  const at = { host: '127.0.0.1', port: 0 };
  const adminToken = 'token-of-the-operators';
  const server = await createPlatformServer({ directory, ...at, admin: at, adminToken, clock, log });
  t.after(() => server.close());
  assert.notEqual(server.url, server.adminUrl);
  const headers = { 'X-Exosite-Token': adminToken };
  const path = '/provision/manage/model/P/gw';
  const enable = (url: string) => httpRequest(url + path, { method: 'POST', headers, body: 'enable=true' });
  assert.equal((await enable(server.url)).status, 404);
  assert.equal((await enable(server.adminUrl)).status, 205);
  const activate = (url: string) =>
    httpRequest(`${url}/provision/activate`, { method: 'POST', body: 'vendor=P&model=P&sn=gw' });
  assert.equal((await activate(server.adminUrl)).status, 404);
  const { status, body: cik } = await activate(server.url);
  assert.equal(status, 200);
  const read = (url: string) => httpRequest(`${url}${ALIAS}?a`, { headers: { 'X-Exosite-CIK': cik } });
  assert.deepEqual([(await read(server.url)).status, (await read(server.adminUrl)).status], [204, 404]);
});

test('only a trusted proxy speaks for others, and only for whom it was called by', async (t) => {
  const activationsOf = async (platform: Awaited<ReturnType<typeof started>>, forwarded: string) => {
    await platform.addDevice('P', 'gw');
    const headers = { 'X-Forwarded-For': forwarded };
    const body = 'vendor=P&model=P&sn=gw';
    await httpRequest(`${platform.url}/provision/activate`, { method: 'POST', headers, body });
    const log = await httpRequest(`${platform.url}/provision/manage/model/P/gw?show=log`, {
      method: 'GET',
      headers: { 'X-Exosite-Token': platform.token },
    });
    return log.body.split('\r\n').at(-1)?.split(',')[1];
  };
  assert.equal(await activationsOf(await started(t), '192.0.2.7'), '127.0.0.1');
  const behind = await started(t, { trustedProxies: ['127.0.0.0/8', '2001:db8::/32'] });
  assert.equal(await activationsOf(behind, '192.0.2.7'), '192.0.2.7');
  assert.equal(await activationsOf(behind, '6.6.6.6, 192.0.2.7, 127.0.0.5'), '192.0.2.7');
  assert.equal(await activationsOf(behind, '2001:db8:1::1, 2001:db9:1:2:3::4, 127.0.0.5'), '2001:db9:1:2');
  assert.equal(await activationsOf(behind, 'nonsense'), '127.0.0.1');
  for (const proxy of ['10.0.0.0/33', 'example.com', '', '10.0.0.0/'])
    await assert.rejects(startPlatform({ trustedProxies: [proxy] }), { code: 'USAGE_BAD_VALUE' });
});

/** What an address activated from last, said in the PROXY protocol by `header`, which is sent a byte at a time. */
async function activatedBy(platform: Awaited<ReturnType<typeof started>>, header: Buffer): Promise<string> {
  await platform.addDevice('P', 'gw');
  const { port } = new URL(platform.url);
  const socket = net.connect(Number(port), '127.0.0.1');
  const body = 'vendor=P&model=P&sn=gw';
  const head =
    'POST /provision/activate HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\n';
  socket.setNoDelay();
  socket.on('error', () => undefined);
  for (const byte of header) {
    socket.write(Buffer.of(byte));
    await delay(0);
  }
  socket.end(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
  const answer = Buffer.concat(await socket.toArray().catch(() => [])).toString();
  if (!answer.startsWith('HTTP/1.1 200')) return answer.slice(0, 12);
  const log = await httpRequest(`${platform.url}/provision/manage/model/P/gw?show=log`, {
    method: 'GET',
    headers: { 'X-Exosite-Token': platform.token },
  });
  return log.body.split('\r\n').at(-1)?.split(',')[1] ?? '';
}

test('a trusted proxy may speak the PROXY protocol, 1 and 2, and nobody else', async (t) => {
  const behind = await started(t, { trustedProxies: ['127.0.0.1'] });
  const signature = '\r\n\r\n\0\r\nQUIT\n';
  const binary = (command: number, family: number, addresses: string) =>
    Buffer.concat([
      Buffer.from(signature, 'latin1'),
      Buffer.from([command, family, 0, addresses.length / 2]),
      Buffer.from(addresses, 'hex'),
    ]);
  const v6 = `20010db8000100020000000000000009${'0'.repeat(32)}00500050`;
  for (const [header, address] of [
    [Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n'), '192.0.2.7'],
    [Buffer.from('PROXY TCP6 2001:db8:1:2::9 ::1 56324 443\r\n'), '2001:db8:1:2'],
    [binary(0x21, 0x11, 'c0000207c000020100500050'), '192.0.2.7'],
    [binary(0x21, 0x21, v6), '2001:db8:1:2'],
    // It speaks for itself, or says nothing of the protocol: then its headers count.
    [binary(0x20, 0x00, ''), '6.6.6.6'],
    [Buffer.from('PROXY UNKNOWN\r\n'), '6.6.6.6'],
    [Buffer.alloc(0), '6.6.6.6'],
    [Buffer.from('PROXY TCP4 nonsense\r\n'), ''],
    [Buffer.from(`PROXY TCP4 ${'1'.repeat(120)}`), ''],
    [binary(0x31, 0x11, 'c0000207c000020100500050'), ''],
  ] as const)
    assert.equal(await activatedBy(behind, header), address, header.toString('latin1'));
  // Who is no proxy of ours has sent what is no HTTP: the end of the connection may be faster than the words.
  const open = await started(t);
  const header = Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n');
  assert.match(await activatedBy(open, header), /^(HTTP\/1\.1 400)?$/);
});

test('behind a proxy a stranger keeps neither the operator nor another gateway out', async (t) => {
  const platform = await started(t);
  const manage = (token: string) =>
    httpRequest(`${platform.url}/provision/manage/content/P/`, { headers: { 'X-Exosite-Token': token } });
  for (let n = 0; n < 12; n++) await manage('wrong');
  assert.equal((await manage('wrong')).status, 429);
  assert.notEqual((await manage(platform.token)).status, 429);
  const attempt = (serial: string) =>
    httpRequest(`${platform.url}/provision/activate`, {
      method: 'POST',
      body: `vendor=P&model=P&sn=${serial}`,
    });
  for (let n = 0; n < 60; n++) await attempt(`nobody-${n}`);
  await platform.addDevice('P', 'gw');
  assert.equal((await attempt('gw')).status, 200);
});

test('sixteen big forms of one device at once take little memory and hold nobody up', async (t) => {
  const directory = folder(t);
  const helper = join(import.meta.dirname, '../../helpers/platform-child.ts');
  const child = spawn(process.execPath, [helper, directory, 'token-of-forms'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  const url = String(line).trim();
  const headers = { 'X-Exosite-Token': 'token-of-forms' };
  await httpRequest(`${url}/provision/manage/model/P/gw`, { method: 'POST', headers, body: 'enable=true' });
  const body = 'vendor=P&model=P&sn=gw';
  const cik = (await httpRequest(`${url}/provision/activate`, { method: 'POST', body })).body;
  const form = 'a&'.repeat(2 * 1024 * 1024 - 10);
  const send = () =>
    httpRequest(url + ALIAS, { method: 'POST', headers: { 'X-Exosite-CIK': cik }, body: form })
      .then(({ status }) => status)
      // Who is refused before the end of his body may find the connection closed.
      .catch(() => 429);
  const peak = () =>
    Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
  const before = peak();
  for (let round = 0; round < 3; round++) {
    const statuses = await Promise.all(Array.from({ length: 16 }, send));
    assert.ok(statuses.includes(400), `${statuses}`);
    assert.ok(
      statuses.every((status) => status === 400 || status === 429),
      `${statuses}`,
    );
  }
  assert.ok(peak() - before < 160, `${peak() - before} MiB`);
  const small = await httpRequest(url + ALIAS, {
    method: 'POST',
    headers: { 'X-Exosite-CIK': cik },
    body: 'a=1',
  });
  assert.equal(small.status, 204);
});

test('the directory of a platform is its own, or it does not start', async (t) => {
  const directory = join(folder(t), 'data');
  const [host, port, adminToken] = ['127.0.0.1', 0, 'token-of-nobody-else'];
  const clock = createSystemClock();
  const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
  const start = () => createPlatformServer({ directory, host, port, adminToken, clock, log });
  mkdirSync(directory, { mode: 0o755 });
  const mode = (name = '') => (statSync(join(directory, name)).mode & 0o777).toString(8);
  await (await start()).close();
  assert.deepEqual([mode(), mode('platform.db')], ['700', '600']);
  chmodSync(join(directory, 'platform.db'), 0o644);
  const again = await start();
  assert.deepEqual([mode('platform.db'), mode('platform.db-wal')], ['600', '600']);
  await again.close();
  chmodSync(directory, 0o750);
  await assert.rejects(start(), {
    code: 'PLATFORM_STATE',
    message: /found mode 750, expected 700.*chmod 700/,
  });
  const token = join(directory, '..', 'token');
  writeFileSync(token, 'token-that-all-may-read', { mode: 0o644 });
  const words = ['--data', join(directory, '..', 'other'), '--token-file', token];
  await assert.rejects(runPlatformCli(['platform', 'serve', ...words]), /found mode 644, expected 600/);
});

async function connectTls(url: string, ca: Buffer, session?: Buffer) {
  const port = Number(new URL(url).port);
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    ca,
    ...(session === undefined ? {} : { session }),
  });
  const tickets: Buffer[] = [];
  socket.on('session', (ticket: Buffer) => tickets.push(ticket));
  await once(socket, 'secureConnect');
  const isReused = socket.isSessionReused();
  socket.end('GET /timestamp HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  return { tickets, isReused };
}

test('a TLS session goes on after a restart of the platform, and for seven days', async (t) => {
  const dir = join(folder(t), 'data');
  const first = await startPlatform({ tls: true, dir });
  const ca = readFileSync(first.caFile ?? '');
  const connect = (url: string, session?: Buffer) => connectTls(url, ca, session);
  const { tickets, isReused } = await connect(first.url);
  const [session] = tickets;
  assert.ok(session !== undefined && !isReused);
  await first.close();
  const second = await startPlatform({ tls: true, dir });
  t.after(() => second.close());
  assert.equal((await connect(second.url, session)).isReused, true);
  // In the session's own words (RFC 5077's hint, as OpenSSL stores it): an INTEGER under tag 9.
  assert.ok(session.includes(Buffer.from([0xa9, 0x05, 0x02, 0x03, 0x09, 0x3a, 0x80])), '604800 s');
});

test('the key of TLS tickets is changed every week while the platform runs, for all its processes', async (t) => {
  const system = createSystemClock();
  let laterMs = 0;
  let wake: () => void = () => undefined;
  const clock = {
    ...system,
    wallMs: () => system.wallMs() + laterMs,
    async sleep(ms: number, signal?: AbortSignal) {
      // The hour between two looks at the key ends when the test says so.
      if (ms !== 3600_000) return system.sleep(ms, signal);
      const woken = new AbortController();
      wake = () => woken.abort();
      await system.sleep(ms, AbortSignal.any([woken.signal, ...(signal === undefined ? [] : [signal])]));
    },
  };
  const platform = await startPlatform({ tls: true, clock });
  t.after(() => platform.close());
  const ca = readFileSync(platform.caFile ?? '');
  const [session] = (await connectTls(platform.url, ca)).tickets;
  wake();
  assert.equal((await connectTls(platform.url, ca, session)).isReused, true, 'the key is young');
  laterMs = 8 * 24 * 3600_000;
  let fresh = await connectTls(platform.url, ca, session);
  const deadline = performance.now() + 60_000;
  while (fresh.isReused) {
    assert.ok(performance.now() < deadline, 'the key was not changed within 60 s');
    wake();
    fresh = await connectTls(platform.url, ca, session);
  }
  assert.equal((await connectTls(platform.url, ca, fresh.tickets[0])).isReused, true);
});

test('a page of another origin, or under a name of its own, manages nothing', async (t) => {
  const platform = await started(t);
  const list = (headers: Record<string, string>) =>
    httpRequest(`${platform.url}/provision/manage/model/`, {
      headers: { 'X-Exosite-Token': platform.token, ...headers },
    });
  const { host, port } = new URL(platform.url);
  assert.equal((await list({})).status, 204);
  assert.equal((await list({ Host: `localhost:${port}` })).status, 204);
  assert.equal((await list({ Origin: `http://${host}` })).status, 204);
  assert.equal((await list({ Origin: 'https://evil.example' })).status, 403);
  assert.equal((await list({ Origin: 'null' })).status, 403);
  assert.equal((await list({ Host: 'evil.example' })).status, 403);
  assert.equal((await list({ Host: 'evil.example', Origin: 'http://evil.example' })).status, 403);
});

test('a list of devices comes in pages by a cursor, or whole as a stream', async (t) => {
  const platform = await started(t);
  const headers = { 'X-Exosite-Token': platform.token };
  const path = `${platform.url}/provision/manage/model/P/`;
  await httpRequest(`${platform.url}/provision/manage/model/`, { method: 'POST', headers, body: 'model=P' });
  const serials = Array.from({ length: 2500 }, (_, n) => `gw ${String(n).padStart(4, '0')},`.slice(0, 7));
  for (let at = 0; at < serials.length; at += 500)
    await httpRequest(path, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'text/csv' },
      body: serials.slice(at, at + 500).join('\n'),
    });
  const list = async (query: string) => {
    const reply = await httpRequest(`${platform.url}/gwe/v1/products/P/devices${query}`, { headers });
    return { ...reply, serials: reply.status === 200 ? namesIn(reply.body) : [] };
  };
  const whole = await list('');
  assert.deepEqual(whole.serials, serials);
  assert.equal(whole.headers['transfer-encoding'], 'chunked');
  const found: string[] = [];
  for (let query = '?limit=999'; ; ) {
    const page = await list(query);
    found.push(...page.serials);
    const next = page.headers['x-gwe-next'];
    if (next === undefined) break;
    query = `?limit=999&after=${next}`;
  }
  assert.deepEqual(found, serials);
  assert.deepEqual((await list('?limit=5&prefix=gw%20001')).serials, serials.slice(10, 15));
  assert.deepEqual((await list('?state=activated')).serials, []);
  for (const query of ['?limit=0', '?limit=x', '?state=odd', '?seen_before=-1'])
    assert.equal((await list(query)).status, 400, query);
});

function namesIn(body: string): string[] {
  const parsed: unknown = JSON.parse(body);
  assert.ok(Array.isArray(parsed));
  return parsed.map((one: { serial: string }) => one.serial);
}
