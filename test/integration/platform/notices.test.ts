/** Who is told of what: by signed requests and by mail, once, again where it failed, and never this machine itself. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { createLogger } from '../../../src/base/log.ts';
import { isLocalAddress } from '../../../src/fleet-api/notices/addresses.ts';
import type { Target } from '../../../src/fleet-api/notices/notice.ts';
import { enqueue, listDeliveries, notifyOnce } from '../../../src/fleet-api/notices/notifier.ts';
import { sendNotice } from '../../../src/fleet-api/notices/send.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { removeRoot } from '../../helpers/remove-root.ts';
import { START_S, startedRollout } from '../../helpers/rollout-parts.ts';

const AUDIT = { at: START_S, actor: 'ann', request: 'q', action: 'test', target: 't', before: '', after: '' };

async function openRig(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-notices-'));
  const now = { s: START_S };
  const clock = {
    wallMs: () => now.s * 1000,
    monotonicMs: () => now.s * 1000,
    sleep: () => Promise.resolve(),
  };
  const storage = await openSqliteStorage({ directory, clock });
  t.after(async () => {
    await storage.close();
    removeRoot(directory);
  });
  const lines: string[] = [];
  const log = createLogger({ level: 'info', format: 'text', clock, write: (line) => lines.push(line) });
  return { storage, now, lines, context: { storage, clock, log } };
}

/** Keeps what it is sent, and answers as it is told. */
async function receiver(t: TestContext, statuses: number[]) {
  const received: { signature: string; body: string }[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    received.push({ signature: String(request.headers['x-gwe-signature']), body });
    response.writeHead(statuses.shift() ?? 200, { location: 'http://127.0.0.1:1/' }).end('words');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/hook`, received };
}

function targetOf(url: string, parts: Partial<Target> = {}): Target {
  const kinds = ['decision', 'silent', 'crash-loop', 'certificate', 'backup-failed'] as const;
  return { id: 't1', product: '*', url, kinds: [...kinds], silentAfterS: 3600, secret: 's3cret', ...parts };
}

test('a rollout that needs a decision causes one signed notice, tried again until it is taken', async (t) => {
  const { storage, now, context } = await openRig(t);
  const { url, received } = await receiver(t, [500, 302, 200]);
  const target = targetOf(url);
  await storage.changeRecord({ kind: 'target', key: 't1' }, () => ({
    result: 0,
    put: { body: JSON.stringify(target) },
  }));
  await storage.createProduct('p');
  const rollout = { ...startedRollout([1]), state: 'held' as const, reason: 'wave 1: too few' };
  await storage.createRollout({ product: 'p', name: 'hello 2', rollout }, [[]], AUDIT);
  const ways = { allowsLocal: true };
  await notifyOnce(context, ways);
  assert.equal(received.length, 1);
  await notifyOnce(context, ways);
  assert.equal(received.length, 1, 'not before its time');
  now.s += 61;
  await notifyOnce(context, ways);
  assert.equal(received.length, 2);
  now.s += 301;
  await notifyOnce(context, ways);
  now.s += 4000;
  await notifyOnce(context, ways);
  assert.equal(received.length, 3, 'taken is taken; a redirect is none');
  const [, , last] = received;
  const [, at = '', mac = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(last?.signature ?? '') ?? [];
  assert.equal(mac, createHmac('sha256', 's3cret').update(`${at}.${last?.body}`).digest('hex'));
  const told = JSON.parse(last?.body ?? '');
  assert.deepEqual(
    [told.kind, told.product, told.title],
    ['decision', 'p', 'rollout hello 2 needs a decision: held'],
  );
  assert.match(told.text, /wave 1: too few/);
});

test('silence, crash loops and the end of the certificate reach those whom they concern', async (t) => {
  const { storage, now, context } = await openRig(t);
  const { url, received } = await receiver(t, []);
  for (const [id, product] of [
    ['t1', 'p'],
    ['t2', 'q'],
  ] as const)
    await storage.changeRecord({ kind: 'target', key: id }, () => ({
      result: 0,
      put: { body: JSON.stringify(targetOf(url, { id, product })) },
    }));
  const keys: string[] = [];
  for (const serial of ['gw-1', 'gw-2']) {
    await storage.enableDevice({ product: 'p', serial, connection: '', unlessActivated: false });
    const active = await storage.activate({ product: 'p', serial, vendor: 'p', connection: '' });
    assert.ok(active.kind === 'activated');
    keys.push(active.cik);
    await storage.checkIn({ cik: active.cik, writes: [], reads: ['a'] });
  }
  const ways = { allowsLocal: true, certificateEndsAt: START_S + 30 * 86_400 };
  await notifyOnce(context, ways);
  assert.equal(received.length, 0);
  now.s += 4000;
  const report = { apps: [{ hello: { version: '1', status: 'BACKOFF', restarts: 9 } }] };
  await storage.checkIn({
    cik: keys[1] ?? '',
    writes: [['engine_report', JSON.stringify(report)]],
    reads: [],
  });
  await notifyOnce(context, ways);
  const texts = () => received.map(({ body }) => JSON.parse(body).text).sort();
  assert.deepEqual(texts(), [
    '1 gateway is silent for more than 1 h\ngw-1',
    'crash loop on gw-2: hello 1 was restarted 9 times',
  ]);
  now.s += 700;
  await notifyOnce(context, ways);
  assert.equal(received.length, 2, 'the same silence is not told again');
  now.s = START_S + 10 * 86_400;
  await notifyOnce(context, ways);
  assert.equal(texts().filter((text) => /certificate of the platform ends/.test(text)).length, 2, 'to both');
});

test('a silence whose notice could not be stored is reported at the next look', async (t) => {
  const { storage, now, context } = await openRig(t);
  const { url, received } = await receiver(t, []);
  await storage.changeRecord({ kind: 'target', key: 't1' }, () => ({
    result: 0,
    put: { body: JSON.stringify(targetOf(url)) },
  }));
  await storage.enableDevice({ product: 'p', serial: 'gw-1', connection: '', unlessActivated: false });
  const active = await storage.activate({ product: 'p', serial: 'gw-1', vendor: 'p', connection: '' });
  assert.ok(active.kind === 'activated');
  await storage.checkIn({ cik: active.cik, writes: [], reads: ['a'] });
  now.s += 4000;
  const failing = Object.create(storage, {
    changeRecord: {
      value: (which: { kind: string; key: string }, change: Parameters<typeof storage.changeRecord>[1]) =>
        which.kind === 'delivery'
          ? Promise.reject(new Error('the disk is full'))
          : storage.changeRecord(which, change),
    },
  });
  await assert.rejects(notifyOnce({ ...context, storage: failing }, { allowsLocal: true }), /disk is full/);
  assert.equal(received.length, 0);
  now.s += 4000;
  await notifyOnce(context, { allowsLocal: true });
  assert.match(received[0]?.body ?? '', /1 gateway is silent/);
});

test('a webhook goes neither to this machine nor to its link, by whatever name or spelling', async (t) => {
  const { url, received } = await receiver(t, []);
  const { port } = new URL(url);
  const notice = { key: 'k', kind: 'decision', product: 'p', at: 1, title: 't', text: 't' } as const;
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1', '2130706433', '[::ffff:7f00:1]'])
    await assert.rejects(
      sendNotice({ allowsLocal: false }, targetOf(`http://${host}:${port}/`), notice),
      { code: 'PROTOCOL_REFUSED', message: /--allow-local-webhooks/ },
      host,
    );
  assert.equal(received.length, 0);
  const local =
    '169.254.169.254 127.9.9.9 0.1.2.3 ::1 :: fe80::1 fe80::1%eth0 ::ffff:169.254.1.1 ::127.0.0.1 64:ff9b::7f00:1 224.0.0.1';
  for (const address of local.split(' ')) assert.equal(isLocalAddress(address), true, address);
  for (const address of ['192.0.2.1', '10.0.0.1', '2001:db8::1', 'fd00::1', 'example.com'])
    assert.equal(isLocalAddress(address), false, address);
});

test('what is never taken is given up after six tries, and said', async (t) => {
  const { storage, now, context, lines } = await openRig(t);
  const { url, received } = await receiver(t, Array<number>(20).fill(503));
  const target = targetOf(url);
  await storage.changeRecord({ kind: 'target', key: 't1' }, () => ({
    result: 0,
    put: { body: JSON.stringify(target) },
  }));
  const notice = {
    key: 'k',
    kind: 'backup-failed',
    product: '*',
    at: 1,
    title: 'no backup',
    text: 'x',
  } as const;
  assert.equal(await enqueue(storage, [target], notice), 1);
  assert.equal(await enqueue(storage, [target], notice), 0);
  for (let tries = 0; tries < 9; tries++) {
    await notifyOnce(context, { allowsLocal: true });
    now.s += 50_000;
  }
  assert.equal(received.length, 6);
  assert.deepEqual(
    (await listDeliveries(storage)).map(({ delivery }) => [delivery.state, delivery.attempts]),
    [['given-up', 6]],
  );
  assert.match(lines.join(''), /gave up.*answered 503/);
});

test('mail goes by a real server, and a text cannot make another header', async (t) => {
  const program = join(import.meta.dirname, '../../helpers/mail-server.mjs');
  const server = spawn(process.execPath, ['--no-warnings', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => server.kill());
  const lines = createInterface(server.stdout)[Symbol.asyncIterator]();
  const port = (await lines.next()).value;
  const mail = { url: `smtp://127.0.0.1:${port}`, from: 'gwe@example.com' };
  const title = 'silent\r\nBcc: eve@example.com';
  const notice = { key: 'k', kind: 'silent', product: 'p', at: 1, title, text: 'gw-1\ngw-2' } as const;
  await sendNotice({ allowsLocal: false, mail }, targetOf('mailto:ann@example.com'), notice);
  const sent = JSON.parse(String((await lines.next()).value));
  assert.deepEqual([sent.from, sent.to], ['gwe@example.com', ['ann@example.com']]);
  assert.match(sent.text, /^Subject: \[gwe p\] silent/m);
  assert.doesNotMatch(sent.text, /^Bcc:/m);
  assert.match(sent.text, /gw-1\r\ngw-2/);
  await assert.rejects(sendNotice({ allowsLocal: false }, targetOf('mailto:ann@example.com'), notice), {
    code: 'CONFIG_INVALID',
    message: /--smtp-url/,
  });
});
