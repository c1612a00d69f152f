/** The client's half of the test vectors, against answers as the sources show them. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { parseManagedContentInfo } from '../../../src/protocol/codec.ts';
import {
  contentInfo,
  createContentApi,
  listContent,
  readContentRange,
} from '../../../src/protocol/content-api.ts';
import { createDataApi, createHybridMemory, type HybridMemory } from '../../../src/protocol/data.ts';
import { provision } from '../../../src/protocol/provision.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { httpAnswer, type RawRequest, startRawServer } from '../../helpers/raw-server.ts';

const clock = createSystemClock();
const CIK = '22596363b3de40b06f981fb85d82312e8c0ed511';
const IDENTITY = {
  vendor: 'mysubdomain',
  model: 'myclientmodel',
  serial: '12345678',
  style: 'triple',
} as const;

type Answers = readonly Buffer[] | ((request: RawRequest) => Buffer);

async function connect(
  answers: Answers,
  cik: string | undefined = CIK,
  hybrid: HybridMemory = createHybridMemory(),
) {
  const server = await startRawServer((socket, request) => {
    const answer = typeof answers === 'function' ? answers(request) : answers[request.index];
    socket.end(answer ?? httpAnswer('500 Out Of Answers'));
  });
  after(() => server.close());
  const settings = {
    baseUrl: server.url,
    userAgent: 't',
    timeoutMs: 2000,
    allowInsecureHttp: false,
    env: {},
  };
  const transport = createTransport(settings, { clock });
  const product = { vendor: 'P', model: 'P', style: 'triple' } as const;
  return {
    server,
    transport,
    data: createDataApi(transport, () => cik, { clock, hybrid }),
    content: createContentApi({ transport, cik: () => cik, product, clock }),
    device2: createContentApi({ transport, cik: () => cik, product: { ...product, style: 'id' }, clock }),
    firstLine: (index = 0) => server.requests[index]?.head.split('\r\n')[0],
  };
}

const ok = (body: string | Buffer, headers: readonly string[] = []): Buffer =>
  httpAnswer('200 OK', body, headers);
const empty = httpAnswer('204 No Content');

function failsWith(code: string, pattern = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  };
}

test('vector 1: activation sends the triple without a key and takes the key', async () => {
  const { transport, server, firstLine } = await connect([ok(`${CIK}\n`)]);
  assert.deepEqual(await provision(transport, IDENTITY, { clock }), { kind: 'provisioned', cik: CIK });
  assert.equal(firstLine(), 'POST /provision/activate HTTP/1.1');
  assert.equal(server.requests[0]?.body, 'vendor=mysubdomain&model=myclientmodel&sn=12345678');
  assert.doesNotMatch(server.requests[0]?.head ?? '', /x-exosite-cik/i);
});

test('vector 5: activation by id sends the id alone', async () => {
  const { transport, server } = await connect([ok(CIK)]);
  assert.deepEqual(await provision(transport, { ...IDENTITY, style: 'id' }, { clock }), {
    kind: 'provisioned',
    cik: CIK,
  });
  assert.equal(server.requests[0]?.body, 'id=12345678');
});

test('vector 6: a body that is no key is garbage and is not shown', async () => {
  const bodies = [CIK.slice(1), `${CIK}0`, `${CIK.slice(1)}!`, '', '<html>'];
  const { transport } = await connect(bodies.map((body) => ok(body)));
  for (const body of bodies) {
    await assert.rejects(provision(transport, IDENTITY, { clock }), (error) => {
      assert.ok(body === '' || !String(error).includes(body));
      return failsWith('PROTOCOL_GARBAGE', /expected a key of 40/)(error);
    });
  }
});

test('vector 7: a key of mixed case that is not hexadecimal is accepted', async () => {
  const cik = '97eWgtm9Et5VxwuJT8NiOK7w27Ly2GS092oSxgpW';
  const { transport } = await connect([ok(cik)]);
  assert.deepEqual(await provision(transport, IDENTITY, { clock }), { kind: 'provisioned', cik });
});

for (const [vector, status] of [
  ['vector 8', 409],
  ['vector 9', 403],
  ['activation', 404],
  ['activation', 401],
] as const) {
  test(`${vector}: status ${status} is a refusal with a sentence, not an error`, async () => {
    const { transport } = await connect([httpAnswer(`${status} X`)]);
    const result = await provision(transport, IDENTITY, { clock });
    assert.ok(result.kind === 'refused');
    assert.equal(result.status, status);
    assert.match(result.reason, new RegExp(String(status)));
  });
}

test('activation throws for a busy platform', async () => {
  const { transport } = await connect([httpAnswer('503 X', '', ['Retry-After: 7'])]);
  await assert.rejects(provision(transport, IDENTITY, { clock }), (error) => {
    assert.equal(error instanceof GweError && error.facts.retryAfterMs, 7000);
    return failsWith('PROTOCOL_BUSY', /7 s/)(error);
  });
});

test('vector 10: a write is a form with the key in its header', async () => {
  const { data, server, firstLine } = await connect([empty, ok(''), httpAnswer('205 Reset Content')]);
  for (let i = 0; i < 3; i += 1) await data.writeAliases([['temperature', '63']]);
  assert.equal(firstLine(), 'POST /onep:v1/stack/alias HTTP/1.1');
  assert.equal(server.requests[0]?.body, 'temperature=63');
  assert.match(server.requests[0]?.head ?? '', new RegExp(`x-exosite-cik: ${CIK}`, 'i'));
  assert.match(server.requests[0]?.head ?? '', /content-type: application\/x-www-form-urlencoded/i);
});

test('vector 14: 401 is unauthorized, and without a key nothing is sent', async () => {
  const { data, server } = await connect([httpAnswer('401 Unauthorized')]);
  await assert.rejects(data.readAliases(['a']), failsWith('PROTOCOL_UNAUTHORIZED'));
  assert.equal(server.requests.length, 1);
  const keyless = await connect([], '');
  await assert.rejects(keyless.data.readAliases(['a']), failsWith('PROTOCOL_UNAUTHORIZED', /activate first/));
  await assert.rejects(listContent(keyless.content), failsWith('PROTOCOL_UNAUTHORIZED'));
  assert.equal(keyless.server.requests.length, 0);
});

test('vector 15: a read gives the value', async () => {
  const { data, firstLine } = await connect([ok('thermostat=65')]);
  assert.deepEqual([...(await data.readAliases(['thermostat'])).values], [['thermostat', '65']]);
  assert.equal(firstLine(), 'GET /onep:v1/stack/alias?thermostat HTTP/1.1');
});

test('vector 16: 204 is no value, and 404 is no value and said so', async () => {
  const { data } = await connect([empty, httpAnswer('404 Not Found')]);
  assert.deepEqual(await data.readAliases(['never_written']), { values: new Map(), isUndefined: false });
  assert.deepEqual(await data.readAliases(['never_written']), { values: new Map(), isUndefined: true });
});

test('vector 17: of two aliases the one that is set comes back', async () => {
  const { data } = await connect([ok('update_interval=60')]);
  const { values } = await data.readAliases(['engine_fetch', 'update_interval']);
  assert.deepEqual([...values], [['update_interval', '60']]);
});

test('vector 18: an empty value comes back as one', async () => {
  const { data } = await connect([ok('engine_fetch=')]);
  assert.equal((await data.readAliases(['engine_fetch'])).values.get('engine_fetch'), '');
});

test('vector 24: a hybrid call writes and reads in one request', async () => {
  const { data, server, firstLine } = await connect([ok('thermostat=65')]);
  const { values } = await data.exchange([['temperature', '63']], ['thermostat']);
  assert.equal(values.get('thermostat'), '65');
  assert.equal(firstLine(), 'POST /onep:v1/stack/alias?thermostat HTTP/1.1');
  assert.equal(server.requests.length, 1);
});

test('a server that refuses the hybrid call is found out once', async () => {
  const { data, server } = await connect((request) => {
    if (request.head.startsWith('GET')) return ok('b=2');
    return request.head.includes('?') ? httpAnswer('405 X') : empty;
  });
  for (let i = 0; i < 2; i += 1)
    assert.equal((await data.exchange([['a', '1']], ['b'])).values.get('b'), '2');
  assert.deepEqual(
    server.requests.map((request) => request.head.split(' ', 2).join(' ')),
    [
      'POST /onep:v1/stack/alias?b',
      'POST /onep:v1/stack/alias',
      'GET /onep:v1/stack/alias?b',
      'POST /onep:v1/stack/alias',
      'GET /onep:v1/stack/alias?b',
    ],
  );
});

test('a server that ignores the query of a hybrid call is found out', async () => {
  const { data, server } = await connect((request) => (request.head.startsWith('GET') ? ok('b=2') : empty));
  for (let i = 0; i < 2; i += 1)
    assert.equal((await data.exchange([['a', '1']], ['b'])).values.get('b'), '2');
  assert.equal(server.requests.length, 4);
});

test('an empty hybrid answer of a good server costs a second request only now and then', async () => {
  const { data, server } = await connect(() => empty);
  for (let i = 0; i < 8; i += 1) assert.equal((await data.exchange([['a', '1']], ['b'])).values.size, 0);
  assert.equal(server.requests.length, 9);
});

test('vector 25: a long poll without news', async () => {
  const { data, server } = await connect([httpAnswer('304 Not Modified')]);
  const result = await data.longPoll('a', { timeoutMs: 30_000, since: 5 });
  assert.deepEqual(result, { hasChanged: false, value: undefined, lastModified: 5 });
  assert.match(server.requests[0]?.head ?? '', /request-timeout: 30000\r\n/i);
  assert.match(server.requests[0]?.head ?? '', /if-modified-since: 5\r\n/i);
});

test('vector 26: Last-Modified is taken as a number and as a date, and given back', async () => {
  const { data, server } = await connect([
    ok('a=1', ['Last-Modified: 1408088412']),
    ok('a=2', ['Last-Modified: Fri, 15 Jun 2018 19:04:13 GMT']),
    httpAnswer('304 X'),
  ]);
  const first = await data.longPoll('a', { timeoutMs: 999_999 });
  assert.deepEqual(first, { hasChanged: true, value: '1', lastModified: 1_408_088_412 });
  const second = await data.longPoll('a', { timeoutMs: 1000, since: first.lastModified });
  assert.equal(second.lastModified, 1_529_089_453);
  await data.longPoll('a', { timeoutMs: 1000, since: second.lastModified });
  assert.match(server.requests[0]?.head ?? '', /request-timeout: 300000\r\n/i);
  assert.doesNotMatch(server.requests[0]?.head ?? '', /if-modified-since/i);
  assert.match(server.requests[1]?.head ?? '', /if-modified-since: 1408088412\r\n/i);
  assert.match(server.requests[2]?.head ?? '', /if-modified-since: 1529089453\r\n/i);
});

test('vector 29: the platform tells the time without a key', async () => {
  const { data, server } = await connect([ok('1408088308'), ok('soon')]);
  assert.equal(await data.readTimestamp(), 1_408_088_308);
  assert.doesNotMatch(server.requests[0]?.head ?? '', /cik/i);
  await assert.rejects(data.readTimestamp(), failsWith('PROTOCOL_GARBAGE'));
});

test('vector 31: a list comes with CRLF or LF', async () => {
  const { content, device2, firstLine } = await connect([
    ok('a.v1.tar.gz\r\nb.v2.tar.gz'),
    ok('a.v1.tar.gz\nb.v2.tar.gz\n'),
  ]);
  assert.deepEqual(await listContent(content), ['a.v1.tar.gz', 'b.v2.tar.gz']);
  assert.deepEqual(await listContent(device2), ['a.v1.tar.gz', 'b.v2.tar.gz']);
  assert.equal(firstLine(), 'GET /provision/download?vendor=P&model=P HTTP/1.1');
  assert.equal(firstLine(1), 'GET /provision/download HTTP/1.1');
});

test('vector 32: an empty area is an empty list', async () => {
  const { content } = await connect([empty]);
  assert.deepEqual(await listContent(content), []);
});

test('vector 33: info of an item', async () => {
  const sha = 'ab'.repeat(32);
  const { content, firstLine } = await connect([
    ok('image/png,23427,1462500951,Boot splash screen'),
    ok(`x,1,2,note, with comma; SHA256:${sha}`),
    httpAnswer('404 X'),
    ok('<html>'),
  ]);
  assert.deepEqual(await contentInfo(content, 'splash01.png'), {
    type: 'image/png',
    sizeBytes: 23_427,
    updated: 1_462_500_951,
    meta: 'Boot splash screen',
  });
  assert.equal(firstLine(), 'GET /provision/download?vendor=P&model=P&id=splash01.png&info=true HTTP/1.1');
  assert.deepEqual((await contentInfo(content, 'x'))?.digest, { algorithm: 'sha256', hex: sha });
  assert.equal(await contentInfo(content, 'x'), undefined);
  await assert.rejects(contentInfo(content, 'x'), failsWith('PROTOCOL_GARBAGE', /TYPE,SIZE/));
});

test('vector 34: management info has empty meta and a flag', () => {
  assert.deepEqual(parseManagedContentInfo('application/octet-stream,1024,1416147370,,false'), {
    contentType: 'application/octet-stream',
    sizeBytes: 1024,
    updatedAt: 1_416_147_370,
    meta: '',
    isProtected: false,
  });
});

test('vector 35: a range is taken from 206 and from 200 with Content-Range', async () => {
  const bytes = Buffer.alloc(1024, 7);
  const header = ['Content-Range: bytes 0-1023/23427'];
  const { content, server } = await connect([
    httpAnswer('206 X', bytes, header),
    ok(bytes, header),
    httpAnswer('206 X', bytes, ['Content-Range: bytes 1-1024/23427']),
  ]);
  for (let i = 0; i < 2; i += 1) {
    const got = await readContentRange(content, 'X', { start: 0, end: 1023 }, { maxBytes: 4096 });
    assert.deepEqual(got, { bytes, range: { start: 0, end: 1023, total: 23_427 } });
  }
  assert.match(server.requests[0]?.head ?? '', /range: bytes=0-1023\r\n/i);
  await assert.rejects(
    readContentRange(content, 'X', { start: 0, end: 1023 }, { maxBytes: 4096 }),
    failsWith('PROTOCOL_GARBAGE'),
  );
});

test('vector 36: a range to the end and one from the end', async () => {
  const { content, server } = await connect([
    httpAnswer('206 X', Buffer.alloc(3427), ['Content-Range: bytes 20000-23426/23427']),
    httpAnswer('206 X', Buffer.alloc(427), ['Content-Range: bytes 23000-23426/23427']),
  ]);
  assert.equal(
    (await readContentRange(content, 'X', { start: 20_000 }, { maxBytes: 4096 })).bytes.length,
    3427,
  );
  assert.equal(
    (await readContentRange(content, 'X', { suffix: 427 }, { maxBytes: 4096 })).range.start,
    23_000,
  );
  assert.match(server.requests[0]?.head ?? '', /range: bytes=20000-\r\n/i);
  assert.match(server.requests[1]?.head ?? '', /range: bytes=-427\r\n/i);
});

test('vector 37: the whole item in answer to a range is cut', async () => {
  const { content } = await connect([ok('0123456789')]);
  assert.equal(
    (await readContentRange(content, 'X', { start: 2, end: 4 }, { maxBytes: 4096 })).bytes.toString(),
    '234',
  );
});

test('vector 50: a serial number of any characters is encoded', async () => {
  const { transport, server } = await connect([ok(CIK)]);
  await provision(transport, { ...IDENTITY, serial: 'anyserial!@#$%^&*()number' }, { clock });
  assert.match(
    server.requests[0]?.body ?? '',
    /&sn=anyserial(!|%21)%40%23%24%25%5E%26(\*|%2A)(\(|%28)(\)|%29)number$/,
  );
});

test("a portal's page in place of values is garbage", async () => {
  const { data } = await connect([ok('<html><a href="?x=1&engine=2">log in</a></html>')]);
  await assert.rejects(
    data.readAliases(['engine_fetch']),
    failsWith('PROTOCOL_GARBAGE', /none of these aliases/),
  );
});

for (const [status, code] of [
  [429, 'PROTOCOL_BUSY'],
  [500, 'PROTOCOL_BUSY'],
  [403, 'PROTOCOL_REFUSED'],
  [418, 'PROTOCOL_REFUSED'],
] as const) {
  test(`status ${status} on a data call is ${code} with the status in its facts`, async () => {
    const { data } = await connect([httpAnswer(`${status} X`)]);
    await assert.rejects(data.writeAliases([['a', '1']]), (error) => {
      assert.equal(error instanceof GweError && error.facts.status, status);
      return failsWith(code, /cannot write alias 'a'/)(error);
    });
  });
}
