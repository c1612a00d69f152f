/** The platform's answers as a client of 2016 on a small board reads them: one buffer of 200 bytes, names compared as printed. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const BUFFER_BYTES = 200;
const FORM = 'application/x-www-form-urlencoded; charset=utf-8';
const ALIAS = '/onep:v1/stack/alias';

let platform: TestPlatform;
let cik: string;

before(async () => {
  platform = await startPlatform();
  await platform.addDevice('P', 'dev');
  cik = await platform.activate('P', 'dev');
  await platform.putContent('P', 'a.bin', Buffer.from('0123456789'));
});
after(() => platform.close());

/** The bytes of everything that comes back on one connection. `isOver` says when there will be no more. */
function exchange(request: string, isOver: (answer: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(platform.url).port), '127.0.0.1', () => socket.write(request));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (isOver(answer)) socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(answer));
  });
}

interface SmallReply {
  status: number;
  body: string;
  bytes: number;
  head: string;
}

/** What fits the buffer is read, the rest is lost; the length is looked for by its printed name. */
function readAsSmallClient(answer: string): SmallReply {
  const buffer = answer.slice(0, BUFFER_BYTES);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(buffer)?.[1]);
  const at = buffer.indexOf('Content-Length:');
  assert.ok(at !== -1, `no Content-Length: in\n${buffer}`);
  const length = Number.parseInt(buffer.slice(at + 'Content-Length:'.length), 10);
  const start = buffer.indexOf('\r\n\r\n') + 4;
  assert.ok(start !== 3, `the header does not end within ${BUFFER_BYTES} bytes:\n${buffer}`);
  const body = buffer.slice(start);
  assert.equal(body.length, length, `the body does not fit:\n${buffer}`);
  return { status, body, bytes: answer.length, head: buffer.slice(0, start) };
}

const isWhole = (answer: string): boolean => {
  const head = answer.indexOf('\r\n\r\n');
  const length = Number(/^Content-Length: (\d+)/m.exec(answer)?.[1] ?? Number.NaN);
  return head !== -1 && answer.length >= head + 4 + length;
};

async function call(method: string, path: string, options: { body?: string; key?: string } = {}) {
  const { body, key } = options;
  const head = [
    `${method} ${path} HTTP/1.1`,
    'Host: m2.exosite.com',
    ...(key === undefined ? [] : [`X-Exosite-CIK: ${key}`]),
    ...(body === undefined ? [] : [`Content-Type: ${FORM}`, `Content-Length: ${body.length}`]),
  ];
  return readAsSmallClient(await exchange(`${head.join('\r\n')}\r\n\r\n${body ?? ''}`, isWhole));
}

describe('a client with a buffer of 200 bytes', () => {
  test('gets its key, in an answer of less than 150', async () => {
    await platform.addDevice('P', 'e1');
    const reply = await call('POST', '/provision/activate', { body: 'vendor=P&model=P&sn=e1' });
    assert.equal(reply.status, 200);
    assert.match(reply.body, /^[0-9a-f]{40}$/);
    assert.ok(reply.bytes < 150, `${reply.bytes} bytes`);
  });

  test('is told of a write by a 204 with a length of 0', async () => {
    const reply = await call('POST', ALIAS, { key: cik, body: 'heat=5' });
    assert.deepEqual([reply.status, reply.body], [204, '']);
  });

  test('reads a value, in an answer of less than 170', async () => {
    const reply = await call('GET', `${ALIAS}?heat`, { key: cik });
    assert.deepEqual([reply.status, reply.body], [200, 'heat=5']);
    assert.ok(reply.bytes < 170, `${reply.bytes} bytes`);
  });

  test('reads what was never written as a 204 with a length of 0', async () => {
    assert.equal((await call('GET', `${ALIAS}?never`, { key: cik })).status, 204);
  });

  test('learns the time, the content list and a part of a blob', async () => {
    assert.match((await call('GET', '/timestamp')).body, /^\d{10}$/);
    const list = await call('GET', '/provision/download?vendor=P&model=P', { key: cik });
    assert.equal(list.body, 'a.bin');
    const info = await call('GET', '/provision/download?vendor=P&model=P&id=a.bin&info=true', { key: cik });
    assert.match(info.body, /^application\/octet-stream,10,\d{10},/);
    const part = await call('GET', '/provision/download?vendor=P&model=P&id=a.bin', { key: cik });
    assert.equal(part.body, '0123456789');
  });

  const unknownKey = 'a'.repeat(40);
  const refusals: [what: string, status: string, reply: () => Promise<SmallReply>][] = [
    [
      'a serial number that nobody knows',
      '404 Not Found',
      () => call('POST', '/provision/activate', { body: 'vendor=P&model=P&sn=nobody' }),
    ],
    [
      'a second activation',
      '409 Conflict',
      () => call('POST', '/provision/activate', { body: 'vendor=P&model=P&sn=dev' }),
    ],
    ['a key that nobody has', '401 Unauthorized', () => call('GET', `${ALIAS}?heat`, { key: unknownKey })],
    ['a read without a name', '400 Bad Request', () => call('GET', ALIAS, { key: cik })],
    ['another method', '405 Method Not Allowed', () => call('PUT', ALIAS, { key: cik, body: 'a=1' })],
    [
      'content that is not there',
      '404 Not Found',
      () => call('GET', '/provision/download?id=none', { key: cik }),
    ],
    ['a path that is not there', '404 Not Found', () => call('GET', '/onep:v1/nothing', { key: cik })],
  ];
  for (const [what, status, reply] of refusals) {
    test(`reads the status line of '${what}' in the body too, and why in a header`, async () => {
      const found = await reply();
      assert.equal(found.body, `HTTP/1.1 ${status}`);
      assert.match(found.head, /^X-Gwe-Reason: cannot .+\r$/m);
      assert.ok(found.bytes <= BUFFER_BYTES, `${found.bytes} bytes`);
    });
  }

  test('finds every header name as the documents print it, and none that they do not show', async () => {
    const known =
      /^(Content-(Length|Type|Range)|Last-Modified|Accept-Ranges|X-Gwe-Reason|Allow|HTTP\/1\.1 .*)$/;
    for (const reply of [
      await call('GET', `${ALIAS}?heat`, { key: cik }),
      await call('POST', ALIAS, { key: cik, body: 'heat=5' }),
      await call('GET', '/provision/download?vendor=P&model=P&id=a.bin', { key: cik }),
      await call('PUT', ALIAS, { key: cik, body: 'a=1' }),
    ])
      for (const line of reply.head.trim().split('\r\n')) assert.match(line.split(':')[0] ?? '', known);
  });
});

test('over TLS an answer has the date, which is all the time that a gateway without a clock has', async () => {
  const secure = await startPlatform({ tls: true });
  try {
    const { headers } = await httpRequest(`${secure.url}/timestamp`, { caFile: secure.caFile });
    assert.ok(Math.abs(Date.parse(headers.date ?? '') - createSystemClock().wallMs()) < 60_000);
  } finally {
    await secure.close();
  }
});

test('requests sent ahead on one connection take effect one after the other', async () => {
  const write = (value: string): string =>
    `POST ${ALIAS} HTTP/1.1\r\nHost: h\r\nX-Exosite-CIK: ${cik}\r\nContent-Length: ${value.length + 2}\r\n\r\nq=${value}`;
  const read = `GET ${ALIAS}?q HTTP/1.1\r\nHost: h\r\nX-Exosite-CIK: ${cik}\r\n\r\n`;
  const rounds = Array.from({ length: 40 }, (_, at) => `v${at}x${'y'.repeat(at % 7)}`);
  const last = `q=${rounds.at(-1)}`;
  const answer = await exchange(rounds.map((value) => write(value) + read).join(''), (got) =>
    got.endsWith(last),
  );
  assert.deepEqual(
    [...answer.matchAll(/\r\n\r\nq=(\w+?)(?=HTTP|$)/g)].map((match) => match[1]),
    rounds,
  );
});

describe('a long poll of a client that sends the second after the last that it was shown', () => {
  const poll = (since: number, timeoutMs: number) =>
    httpRequest(`${platform.url}${ALIAS}?cmd`, {
      headers: {
        'X-Exosite-CIK': cik,
        'Request-Timeout': String(timeoutMs),
        'If-Modified-Since': String(since),
      },
    });
  const secondOf = (headers: { 'last-modified'?: string | undefined }): number =>
    Date.parse(headers['last-modified'] ?? '') / 1000;

  test('gets a value that is written in that very second', async () => {
    await platform.write('P', 'dev', 'cmd', 'v1');
    const first = await poll(1, 5000);
    assert.equal(first.body, 'cmd=v1');
    // The platform stamps what follows a shown value with a later second.
    await platform.write('P', 'dev', 'cmd', 'v2');
    const since = secondOf(first.headers) + 1;
    const second = await poll(since, 5000);
    assert.equal(second.body, 'cmd=v2');
    assert.equal(secondOf(second.headers), since);
  });

  test('waits once it was shown that value, whichever of the two it sends', async () => {
    await platform.write('P', 'dev', 'cmd', 'v3');
    const shown = secondOf((await poll(1, 5000)).headers);
    assert.equal((await poll(shown, 50)).status, 304);
    assert.equal((await poll(shown + 1, 50)).status, 304);
  });
});
