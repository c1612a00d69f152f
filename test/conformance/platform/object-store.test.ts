/** PostgreSQL with content in a real S3 store holds to what every storage of the platform holds to. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createS3Objects } from '../../../src/platform/storage/objects/s3-objects.ts';
import { createConnection } from '../../../src/platform/storage/postgres/connection.ts';
import { takeLease } from '../../../src/platform/storage/postgres/lease-table.ts';
import { collectObjects, noteUnknownObjects } from '../../../src/platform/storage/postgres/object-table.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { objectsOption, startObjectStore } from '../../helpers/object-store.ts';
import { operatorCalls } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { servePlatform } from '../../helpers/served-platform.ts';
import { storageSuite } from '../../helpers/storage-suite.ts';
import { sha256 } from '../../helpers/storage-suite-context.ts';

/** Set by `make test-fleet`: without it this is a sample. */
const IS_WHOLE = process.env.GWE_FLEET === 'full';
const clock = createSystemClock();
const server = await startPostgres();
after(() => server.end());
const store = await startObjectStore();
after(() => store.end());
const directory = mkdtempSync(join(tmpdir(), 'gwe-storage-'));
after(() => rmSync(directory, { recursive: true, force: true }));

storageSuite(
  'PostgreSQL and S3',
  async (options = {}) => {
    const where = { url: server.freshUrl(), objects: await store.freshBucket(), directory, clock };
    const under = {
      storage: await openPostgresStorage({ ...options, ...where }),
      async reopen(again = options) {
        await under.storage.close();
        under.storage = await openPostgresStorage({ ...again, ...where });
        return under.storage;
      },
      end: () => under.storage.close(),
    };
    return under;
  },
  IS_WHOLE ? 'all' : 'content',
);

const FACTS = { contentType: 'text/plain', meta: '' };

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}

async function open(): Promise<{
  storage: Storage;
  objects: ReturnType<typeof createS3Objects>;
  query: ReturnType<typeof createConnection>['query'];
  target: Awaited<ReturnType<typeof store.freshBucket>>;
  url: string;
}> {
  const [url, bucket] = [server.freshUrl(), await store.freshBucket()];
  const target = { ...bucket, prefix: 'fleet/' };
  const storage = await openPostgresStorage({ url, objects: target, directory, clock });
  const connection = createConnection({ url });
  const objects = createS3Objects(target, clock);
  opened.push(async () => {
    await storage.close();
    await connection.close();
    objects.close();
  });
  return { storage, objects, query: connection.query, target, url };
}

const opened: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of opened) await close();
});

async function stored(objects: ReturnType<typeof createS3Objects>): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of objects.list()) names.push(name);
  return names.sort();
}

test('content of several parts is there whole, in ranges over their borders, and when the store comes back', async () => {
  const { storage } = await open();
  const bytes = randomBytes(17 * 1024 * 1024 + 3);
  const upload = await storage.receive(chunks(bytes), bytes.length);
  assert.deepEqual([upload.sizeBytes, upload.sha256], [bytes.length, sha256(bytes)]);
  await storage.putContent('p', 'big', FACTS, upload);
  const read = async (first: number, last: number): Promise<Buffer> => {
    const content = await storage.openContent('p', 'big');
    assert.ok(content !== undefined);
    return Buffer.concat(await content.read({ first, last }).toArray());
  };
  const border = 8 * 1024 * 1024;
  assert.deepEqual(await read(border - 5, border + 5), bytes.subarray(border - 5, border + 6));
  if (!IS_WHOLE) return;
  const content = await storage.openContent('p', 'big');
  assert.ok(content !== undefined);
  const parts: Buffer[] = [];
  for await (const part of content.read({ first: 0, last: bytes.length - 1 })) {
    // The store ends in the middle of a download, and comes back.
    if (parts.length === 0) {
      await store.kill();
      await store.start();
    }
    parts.push(Buffer.from(part));
  }
  assert.equal(sha256(Buffer.concat(parts)), sha256(bytes));
});

test('what nothing refers to any more is removed: at once what was given up, the rest when it is due', async () => {
  const { storage, objects, query } = await open();
  const put = async (text: string) =>
    storage.putContent('p', 'a', FACTS, await storage.receive(chunks(Buffer.from(text)), 100));
  await put('old');
  const [old] = await stored(objects);
  await put('new');
  const discarded = await storage.receive(chunks(Buffer.from('given up')), 100);
  await discarded.discard();
  await assert.rejects(storage.receive(chunks(Buffer.alloc(200)), 100), { code: 'PROTOCOL_TOO_LARGE' });
  assert.equal((await stored(objects)).length, 2, 'the old one, for who reads it, and the new one');
  assert.equal(await collectObjects(query, objects), 0, 'nothing is due');
  await query('UPDATE object SET remove_after = 1');
  assert.equal(await collectObjects(query, objects), 1);
  assert.ok(!(await stored(objects)).includes(old ?? ''));
  await storage.deleteContent('p', 'a');
  await query('UPDATE object SET remove_after = 1');
  assert.equal(await collectObjects(query, objects), 1);
  assert.deepEqual(await stored(objects), []);
});

test('an upload that was collected meanwhile becomes no content', async () => {
  const { storage, objects, query } = await open();
  const upload = await storage.receive(chunks(Buffer.from('late')), 100);
  await query('UPDATE object SET remove_after = 1');
  await collectObjects(query, objects);
  await assert.rejects(storage.putContent('p', 'a', FACTS, upload), /longer than a day/);
  assert.equal(await storage.findContent('p', 'a'), undefined);
});

test('objects that the database does not know go after a day, and nothing else in the bucket', async () => {
  const { storage, objects, query } = await open();
  await storage.putContent('p', 'a', FACTS, await storage.receive(chunks(Buffer.from('kept')), 100));
  const known = await stored(objects);
  await objects.put('0'.repeat(32), chunks(Buffer.from('of a crash')), 100);
  const now = clock.wallMs() / 1000;
  await noteUnknownObjects(query, objects, now);
  assert.equal(await collectObjects(query, objects), 0, 'it may be an upload of this very day');
  await noteUnknownObjects(query, objects, now + 25 * 3600);
  assert.equal(await collectObjects(query, objects), 1);
  assert.deepEqual(await stored(objects), known);
});

test('a bucket is of one database; keys, bucket and address that do not fit are said at the start', async () => {
  const { target, url } = await open();
  const start = (objects: typeof target, database = url) =>
    openPostgresStorage({ url: database, objects, directory, clock });
  const second = await start(target);
  await second.close();
  await assert.rejects(start(target, server.freshUrl()), {
    code: 'PLATFORM_STATE',
    message: /bucket '.*' at object store '.*': it holds the content of another database/,
  });
  await assert.rejects(start({ ...target, secretKey: 'wrong-secret' }), (error: Error) => {
    assert.match(error.message, /403 SignatureDoesNotMatch/);
    assert.doesNotMatch(error.message, /wrong-secret/);
    return true;
  });
  await assert.rejects(start({ ...target, bucket: 'nobody' }), { message: /it does not exist; create it/ });
});

test('a lease has one holder, who may renew it, until its time is over', async () => {
  const { query } = await open();
  const take = (holder: string, seconds = 60) => takeLease(query, { name: 'job', holder, seconds });
  const taken = await Promise.all(['a', 'b', 'c'].map((holder) => take(holder)));
  assert.equal(taken.filter(Boolean).length, 1);
  const holder = ['a', 'b', 'c'][taken.indexOf(true)] ?? '';
  assert.equal(await take(holder, 0), true);
  assert.equal(await take('d'), true, 'it was over');
  assert.equal(await take(holder), false);
});

test('two platforms without a directory are one: content that one takes in the other gives out', async () => {
  const [database, bucket] = [server.freshUrl(), await store.freshBucket()];
  const tokenFile = join(directory, 'token');
  const token = 'test-token-0123456789';
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const keyFile = join(directory, 'keys');
  const keys = `[default]\naws_access_key_id = ${bucket.keyId}\naws_secret_access_key = ${bucket.secretKey}\n`;
  writeFileSync(keyFile, keys, { mode: 0o600 });
  const stop = new AbortController();
  const serve = async (...words: string[]): Promise<{ url: string; ended: Promise<unknown> }> => {
    const objects = objectsOption({ ...bucket, prefix: 'a/b/' });
    const args = ['platform', 'serve', '--database', database, '--objects', objects, ...words];
    let ended: Promise<unknown> = Promise.resolve();
    const url = await new Promise<string>((resolve, reject) => {
      ended = runPlatformCli([...args, '--token-file', tokenFile, '--listen', '127.0.0.1:0'], {
        signal: stop.signal,
        env:
          words.length > 0
            ? {}
            : { AWS_ACCESS_KEY_ID: bucket.keyId, AWS_SECRET_ACCESS_KEY: bucket.secretKey },
        onStdout: (text) => resolve(text.replace('listening on ', '').trim()),
      });
      ended.catch(reject);
    });
    return { url, ended };
  };
  const running = await Promise.all([serve(), serve('--objects-key-file', keyFile)]);
  const [one, two] = running.map(({ url }) => ({ url, ...operatorCalls(url, token) }));
  assert.ok(one !== undefined && two !== undefined);
  const bytes = randomBytes(300_000);
  await one.putContent('P', 'app', bytes);
  await one.addDevice('P', 'gw');
  const headers = { 'X-Exosite-CIK': await two.activate('P', 'gw') };
  const get = (range: string) =>
    httpRequest(`${two.url}/provision/download?id=app`, { headers: { ...headers, Range: range } });
  const part = await get('bytes=1000-1999');
  assert.deepEqual([part.status, part.bytes], [206, bytes.subarray(1000, 2000)]);
  stop.abort();
  await Promise.all(running.map(({ ended }) => ended));
});

test('what is wrong with the options of an object store is said, without the keys', async () => {
  const serve = (words: string[], env = {}) =>
    runPlatformCli(['platform', 'serve', '--token-file', '/nowhere', ...words], { env });
  const database = ['--database', 'postgres://gwe@127.0.0.1:1/x'];
  await assert.rejects(serve(['--objects', 's3://b']), { code: 'USAGE_MISSING', message: /--database/ });
  for (const url of ['http://b', 's3://', 's3://b?key=secret', 's3://b?endpoint=ftp://x', 's3://b/a//b'])
    await assert.rejects(serve([...database, '--objects', url]), {
      code: 'USAGE_BAD_VALUE',
      message: /^cannot use --objects: expected s3:\/\/BUCKET/,
    });
  await assert.rejects(serve([...database, '--objects', 's3://bucket']), {
    code: 'USAGE_MISSING',
    message: /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --objects-key-file/,
  });
  const open = join(directory, 'open-keys');
  writeFileSync(open, 'aws_access_key_id = a\naws_secret_access_key = b\n');
  chmodSync(open, 0o644);
  await assert.rejects(serve([...database, '--objects', 's3://bucket', '--objects-key-file', open]), {
    code: 'CONFIG_INVALID',
    message: /found mode 644, expected 600/,
  });
});

test('a platform moves from a directory to the store, and a backup of it holds the bytes', async () => {
  const home = mkdtempSync(join(directory, 'copy-'));
  const data = join(home, 'data');
  const bucket = await store.freshBucket();
  const url = server.freshUrl();
  const env = { AWS_ACCESS_KEY_ID: bucket.keyId, AWS_SECRET_ACCESS_KEY: bucket.secretKey };
  const objects = ['--objects', objectsOption(bucket)];
  const run = (...words: string[]) => runPlatformCli(['platform', ...words], { env });
  const old = await servePlatform(home, ['--data', data]);
  const bytes = randomBytes(9 * 1024 * 1024);
  await old.addDevice('P', 'gw');
  const cik = await old.activate('P', 'gw');
  await old.putContent('P', 'app', bytes);
  const copied = await run('copy', '--from', data, '--to', url, ...objects);
  assert.match(copied.stdout, /1 devices, \d+ rows, 1 objects/);
  await old.close();
  const fresh = await servePlatform(home, ['--database', url, ...objects], env);
  const download = await httpRequest(`${fresh.url}/provision/download?id=app`, {
    headers: { 'X-Exosite-CIK': cik },
  });
  assert.equal(sha256(download.bytes), sha256(bytes));
  const backup = join(home, 'backup');
  await run('backup', '--database', url, ...objects, '--to', backup);
  assert.match((await run('verify', '--from', backup)).stdout, /2 files are whole/);
  await fresh.close();
});
