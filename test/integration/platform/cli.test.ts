import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { inspectArtifact } from '../../../src/artifact/unpack/extract.ts';
import { GweError } from '../../../src/base/errors.ts';
import { parseManifestDigest, parseMetaDigest } from '../../../src/protocol/content-api.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { makeIndexed } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { makeTarball } from '../../helpers/tarball.ts';

let directory: string;
let platform: TestPlatform;
let env: Record<string, string>;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gwe-platform-cli-'));
  platform = await startPlatform();
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, `${platform.token}\n`);
  env = { GWE_PLATFORM_URL: platform.url, GWE_PLATFORM_TOKEN_FILE: tokenFile };
});
after(async () => {
  await platform.close();
  rmSync(directory, { recursive: true, force: true });
});

const gwe = (...words: string[]) => runPlatformCli(['platform', ...words], { env });
const failsWith = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof GweError && error.code === code && text.test(error.message);

test('a device is added, listed, disabled and regenerated', async () => {
  assert.equal((await gwe('device', 'add', 'P', 'gw-1')).stdout, 'gw-1 of P: notactivated\n');
  await platform.activate('P', 'gw-1');
  await assert.rejects(
    gwe('device', 'add', 'P', 'gw-1'),
    failsWith('PROTOCOL_REFUSED', /activated; regenerate/),
  );
  const listed = JSON.parse((await gwe('device', 'list', 'P', '--json')).stdout);
  assert.equal(listed.version, 1);
  assert.deepEqual([listed.devices[0].serial, listed.devices[0].state], ['gw-1', 'activated']);
  assert.match((await gwe('device', 'list', 'P')).stdout, /^gw-1 +activated +never$/m);
  await gwe('device', 'disable', 'P', 'gw-1', '--yes');
  assert.match((await gwe('device', 'list', 'P')).stdout, /^gw-1 +expired /m);
  await gwe('device', 'regenerate', 'P', 'gw-1');
  assert.match((await gwe('device', 'list', 'P')).stdout, /^gw-1 +notactivated /m);
  await assert.rejects(
    gwe('device', 'regenerate', 'P', 'other'),
    failsWith('PROTOCOL_REFUSED', /none of this serial/),
  );
});

test('a value goes to the device as it was typed, and comes back alone', async () => {
  await platform.addDevice('P', 'values');
  const value = '{"install": [{"name": "a+b.v1.tar.gz"}]} 100% & ü';
  assert.equal((await gwe('write', 'P', 'values', 'engine_fetch', value, '--raw')).stdout, '');
  assert.equal((await gwe('read', 'P', 'values', 'engine_fetch')).stdout, `${value}\n`);
  await gwe('write', 'P', 'values', 'heat', '-5');
  assert.equal((await gwe('read', 'P', 'values', 'heat')).stdout, '-5\n');
  const cik = await platform.activate('P', 'values');
  const reply = await httpRequest(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
    headers: { 'X-Exosite-CIK': cik },
  });
  assert.equal(decodeURIComponent(reply.body), `engine_fetch=${value}`);
});

test('an alias that was never written is status 1 in text and null in JSON', async () => {
  await platform.addDevice('P', 'values');
  await assert.rejects(
    gwe('read', 'P', 'values', 'nothing'),
    failsWith('PROTOCOL_REFUSED', /nothing was ever written/),
  );
  assert.equal(JSON.parse((await gwe('read', 'P', 'values', 'nothing', '--json')).stdout).value, null);
});

test('history is oldest first, a line each, and whole where it is no terminal', async () => {
  await platform.addDevice('P', 'past');
  for (const value of ['first', `second\n\u001b[31m${'x'.repeat(200)}`, '']) {
    await gwe('write', 'P', 'past', 'h', value);
  }
  const lines = (await gwe('history', 'P', 'past', 'h')).stdout.split('\n');
  assert.equal(lines.length, 5);
  assert.match(lines[0] ?? '', /^WRITTEN \(UTC\) +BY +VALUE$/);
  assert.match(lines[1] ?? '', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}operator {2}first$/);
  assert.ok(
    lines.some((line) => line.endsWith('x'.repeat(200))),
    'nothing is cut',
  );
  assert.ok(lines.every((line) => !line.includes('\u001b')));
  const { entries } = JSON.parse((await gwe('history', 'P', 'past', 'h', '--json', '--limit', '2')).stdout);
  assert.deepEqual(
    entries.map((entry: { value: string }) => entry.value.length),
    [212, 0],
  );
});

test('an indexed tarball is put with the digest of its manifest, behind the text that was given', async () => {
  const file = join(directory, 'app.v1.tar.gz');
  const bytes = await makeIndexed({ name: 'app', version: '1' }, { 'install.sh': '#!/bin/sh\n' });
  writeFileSync(file, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const { index } = await inspectArtifact(file, { limits: DEFAULT_LIMITS });
  const digests = `SHA256:${sha256} MANIFEST-SHA256:${index?.digest}`;
  const metaOf = async (...more: string[]): Promise<string> =>
    JSON.parse((await gwe('content', 'put', 'P', file, '--json', ...more)).stdout).meta;
  assert.equal(await metaOf(), digests);
  assert.equal(await metaOf('--meta', 'for the north'), `for the north ${digests}`);
  assert.deepEqual(parseMetaDigest(digests), { algorithm: 'sha256', hex: sha256 });
  assert.equal(parseManifestDigest(digests), index?.digest);
  writeFileSync(file, bytes.subarray(0, 200));
  assert.doesNotMatch(await metaOf('--raw'), /MANIFEST/, 'a partial tarball has none');
  await gwe('content', 'delete', 'P', 'app.v1.tar.gz', '--yes');
});

test('content is put with its digest, replaced, listed and deleted', async () => {
  const file = join(directory, 'a.v1.tar.gz');
  const bytes = Buffer.alloc(300_000, 5);
  writeFileSync(file, 'old');
  await gwe('content', 'put', 'P', file, '--raw');
  writeFileSync(file, bytes);
  const put = JSON.parse((await gwe('content', 'put', 'P', file, '--json', '--raw')).stdout);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  assert.deepEqual([put.id, put.sizeBytes, put.meta], ['a.v1.tar.gz', 300_000, `SHA256:${sha256}`]);
  await gwe('content', 'put', 'P', file, '--id', 'other name/..%', '--meta', '');
  assert.match((await gwe('content', 'list', 'P')).stdout, /^other name\/\.\.% +300000 {2}\S+ \S+$/m);
  await gwe('content', 'delete', 'P', 'other name/..%', '--yes');
  const listed = JSON.parse((await gwe('content', 'list', 'P', '--json')).stdout);
  assert.deepEqual(
    listed.content.map((item: { id: string }) => item.id),
    ['a.v1.tar.gz'],
  );
  await assert.rejects(
    gwe('content', 'delete', 'P', 'other', '--yes'),
    failsWith('PROTOCOL_REFUSED', /404: .*no item has this id/),
  );
  await assert.rejects(
    gwe('content', 'put', 'P', join(directory, 'missing')),
    failsWith('STORE_IO', /missing/),
  );
});

test('a tarball that a gateway is sure to refuse is not uploaded', async () => {
  const file = join(directory, 'bad.v1.tar.gz');
  writeFileSync(
    file,
    makeTarball({ 'install.sh': '#!/bin/sh\n', 'supervisor.conf': '[supervisord]\ncommand = ./run.sh\n' }),
  );
  await assert.rejects(
    gwe('content', 'put', 'P', file),
    failsWith('ARTIFACT_BUILD', /starts '\.\/run\.sh', which the tarball does not have; .*--raw/),
  );
  assert.doesNotMatch((await gwe('content', 'list', 'P')).stdout, /bad\.v1/);
  await gwe('content', 'put', 'P', file, '--raw');
  await gwe('content', 'put', 'P', file, '--id', 'notes');
  await gwe('content', 'delete', 'P', 'bad.v1.tar.gz', '--yes');
  await gwe('content', 'delete', 'P', 'notes', '--yes');
});

test('content goes to a product that the platform does not know only with --create', async () => {
  const file = join(directory, 'notes');
  writeFileSync(file, 'text');
  await assert.rejects(
    gwe('content', 'put', 'Typo', file),
    failsWith(
      'USAGE_BAD_VALUE',
      /product 'Typo': the platform has no device and no content of it; .*--create/,
    ),
  );
  await gwe('content', 'put', 'Typo', file, '--create');
  await gwe('content', 'put', 'Typo', file);
  await platform.addDevice('Other', 'first');
  await gwe('content', 'put', 'Other', file);
});

test("a command that no gateway can read, and an alias that misspells one of gwe's, are not written", async () => {
  await platform.addDevice('P', 'slips');
  const write = (...words: string[]) => gwe('write', 'P', 'slips', ...words);
  for (const [value, message] of [
    ['{"install": [', /not JSON.*expected \{"install".*--raw/],
    ['{"instal": []}', /no key 'install'/],
    ['{"install": [{"name": "hello.tar.gz"}]}', /hello\.tar\.gz/],
    ['{"install": [{"nam": "hello.v1.tar.gz"}]}', /install entry/],
  ] as const) {
    await assert.rejects(write('engine_fetch', value), failsWith('USAGE_BAD_VALUE', message));
    await write('engine_fetch', value, '--raw');
  }
  for (const alias of [
    'engine_ftch',
    'Engine_Fetch',
    'engine-fetch',
    'enginefetch',
    'fetch_staus',
    'update_intervall',
  ]) {
    await assert.rejects(write(alias, 'x'), failsWith('USAGE_BAD_VALUE', /did you mean \w+\?/));
    await write(alias, 'x', '--raw');
  }
  for (const alias of [
    'led',
    'heat',
    'engine_temp',
    'device_name',
    'image_report',
    'fetch',
    'report',
    'engine',
  ])
    await write(alias, 'x');
  await write('engine_fetch', '');
  await write('engine_fetch', '{"logs": [{"app": "hello"}]}');
});

test('errors name the platform and what to do', async () => {
  const run = (extra: Record<string, string>) =>
    runPlatformCli(['platform', 'device', 'list', 'P'], { env: { ...env, ...extra } });
  await assert.rejects(
    run({ GWE_PLATFORM_URL: 'http://127.0.0.1:1' }),
    failsWith('PROTOCOL_OFFLINE', /'http:\/\/127\.0\.0\.1:1'.*gwe platform serve/),
  );
  await assert.rejects(
    run({ GWE_PLATFORM_URL: '' }),
    failsWith('USAGE_MISSING', /expected --url, GWE_PLATFORM_URL or a running/),
  );
  await assert.rejects(
    run({ GWE_PLATFORM_URL: 'http://platform.example' }),
    failsWith('USAGE_BAD_VALUE', /in the clear/),
  );
  const wrong = join(directory, 'wrong');
  writeFileSync(wrong, 'not-the-right-token');
  await assert.rejects(
    run({ GWE_PLATFORM_TOKEN_FILE: wrong }),
    failsWith('PROTOCOL_UNAUTHORIZED', /refused the token/),
  );
  await assert.rejects(gwe('device', 'list', 'nowhere'), failsWith('PROTOCOL_REFUSED', /no such product/));
  await assert.rejects(gwe('write', 'P', '..', 'a', 'v'), failsWith('USAGE_BAD_VALUE', /'\.\.'/));
});

test('over TLS of a private authority the client needs its certificate', async (t) => {
  const secure = await startPlatform({ tls: true });
  t.after(() => secure.close());
  await secure.addDevice('P', 'tls');
  const list = (extra: Record<string, string>) =>
    runPlatformCli(['platform', 'device', 'list', 'P'], {
      env: { ...env, GWE_PLATFORM_URL: secure.url, ...extra },
    });
  await assert.rejects(list({}), failsWith('PROTOCOL_OFFLINE', /--ca-file or GWE_PLATFORM_CA_FILE/));
  assert.match((await list({ GWE_PLATFORM_CA_FILE: secure.caFile ?? '' })).stdout, /^tls /m);
});

test('whoever started a platform last is not asked for its URL and token, as long as it runs', async (t) => {
  const env = { HOME: join(directory, 'home') };
  const stop = new AbortController();
  t.after(() => stop.abort());
  let announce = (_text: string): void => undefined;
  const listening = new Promise<string>((resolve) => {
    announce = resolve;
  });
  const data = join(directory, 'found');
  const serving = runPlatformCli(['platform', 'serve', '--data', data, '--listen', '127.0.0.1:0'], {
    env,
    signal: stop.signal,
    onStdout: announce,
  });
  await listening;
  const add = (serial: string, own: Record<string, string> = {}) =>
    runPlatformCli(['platform', 'device', 'add', 'P', serial], { env: { ...env, ...own } });
  assert.equal((await add('one')).status, 0);
  const elsewhere = { GWE_PLATFORM_URL: 'http://127.0.0.1:1' };
  await assert.rejects(
    add('two', elsewhere),
    failsWith('USAGE_MISSING', /no token for 'http:\/\/127\.0\.0\.1:1'/),
  );
  stop.abort();
  assert.match((await serving).stderr, /^admin token in .*\/found\/admin-token; /m);
  await assert.rejects(add('three'), failsWith('USAGE_MISSING', /none was started here/));
});

test('serve prints one line, makes a private token, and ends with status 0', async (t) => {
  const data = join(directory, 'served');
  const stop = new AbortController();
  t.after(() => stop.abort());
  let announce = (_text: string): void => undefined;
  const listening = new Promise<string>((resolve) => {
    announce = resolve;
  });
  const serving = runPlatformCli(['platform', 'serve', '--data', data, '--listen', '127.0.0.1:0'], {
    signal: stop.signal,
    onStdout: announce,
  });
  const url = /^listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(await listening)?.[1] ?? '';
  const tokenFile = join(data, 'admin-token');
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  assert.equal(statSync(data).mode & 0o777, 0o700);
  const own = { GWE_PLATFORM_URL: url, GWE_PLATFORM_TOKEN_FILE: tokenFile };
  await runPlatformCli(['platform', 'device', 'add', 'P', 's'], { env: own });
  await assert.rejects(
    runPlatformCli(['platform', 'serve', '--data', data, '--listen', '127.0.0.1:0']),
    failsWith('PLATFORM_STATE', /another platform is running/),
  );
  stop.abort();
  const ended = await serving;
  assert.equal(ended.status, 0);
  assert.equal(ended.stdout.split('\n').length, 2);
  assert.ok(!ended.stderr.includes(readFileSync(tokenFile, 'utf8').trim()));
});

test('serve refuses what would send keys in the clear or cannot work', async () => {
  const serve = (...words: string[]) =>
    runPlatformCli(['platform', 'serve', '--data', join(directory, 'no'), ...words]);
  await assert.rejects(serve('--listen', '0.0.0.0:0'), failsWith('USAGE_BAD_VALUE', /without TLS/));
  await assert.rejects(serve('--listen', 'nowhere'), failsWith('USAGE_BAD_VALUE', /HOST:PORT/));
  await assert.rejects(serve('--tls-cert', 'x'), failsWith('USAGE_MISSING', /--tls-key/));
  await assert.rejects(runPlatformCli(['platform', 'serve']), failsWith('USAGE_MISSING', /--data/));
  const port = new URL(platform.url).port;
  await assert.rejects(
    serve('--listen', `127.0.0.1:${port}`),
    failsWith('PLATFORM_STATE', /another program uses/),
  );
  for (const [url, words] of [
    ['postgres://gwe:word@db.example/gwe', /--database with a password in it/],
    ['mysql://db.example/gwe', /expected postgres:/],
    ['postgres://db.example/gwe?sslmode=prefer', /sslmode=prefer: expected sslmode=verify-full/],
    ['postgres://db.example/gwe?sslmode=no-verify', /sslmode=no-verify: expected sslmode=verify-full/],
  ] as const)
    await assert.rejects(serve('--database', url), failsWith('USAGE_BAD_VALUE', words));
  const short = join(directory, 'short');
  writeFileSync(short, 'short');
  chmodSync(short, 0o600);
  await assert.rejects(serve('--token-file', short), failsWith('CONFIG_INVALID', /16 to 256/));
});
