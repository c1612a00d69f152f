/** Two platforms on one PostgreSQL are one platform to gateways and operators. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStream } from '../../helpers/event-stream.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { startPostgres } from '../../helpers/postgres.ts';

const ALIAS = '/onep:v1/stack/alias';
const server = await startPostgres();
const home = mkdtempSync(join(tmpdir(), 'gwe-replicas-'));
after(async () => {
  await server.end();
  rmSync(home, { recursive: true, force: true });
});

test('a gateway is known, heard, woken and served by each of two platforms on one database', async (t) => {
  const options = { database: { url: server.freshUrl() }, dir: join(home, 'shared') };
  const [one, two] = await Promise.all([startPlatform(options), startPlatform(options)]);
  t.after(() => Promise.all([one.close(), two.close()]));
  await one.addDevice('P', 'gw');
  const headers = { 'X-Exosite-CIK': await two.activate('P', 'gw') };
  await httpRequest(`${one.url}${ALIAS}`, { method: 'POST', headers, body: 'a=1&engine_fetch=' });
  assert.equal((await httpRequest(`${two.url}${ALIAS}?a`, { headers })).body, 'a=1');

  const poll = httpRequest(`${two.url}${ALIAS}?engine_fetch`, {
    headers: { ...headers, 'Request-Timeout': '20000' },
  });
  let isAnswered = false;
  void poll.then(() => {
    isAnswered = true;
  });
  // The poll may begin after a write: then it waits for the next one.
  for (let n = 0; !isAnswered; n++) await one.write('P', 'gw', 'engine_fetch', `A${n}`);
  assert.match((await poll).body, /^engine_fetch=A\d+$/);

  await one.write('P', 'gw', 'engine_fetch', 'newer');
  const cleared = await httpRequest(`${two.url}${ALIAS}?engine_fetch`, {
    method: 'POST',
    headers,
    body: 'engine_fetch=',
  });
  assert.equal(cleared.body, 'engine_fetch=newer');

  await one.putContent('P', 'app', Buffer.from('bytes'));
  const download = await httpRequest(`${two.url}/provision/download?id=app`, { headers });
  assert.deepEqual([download.status, download.body], [200, 'bytes']);
});

test('a reader of events goes on at another platform of the database from the last one that it saw', async (t) => {
  const options = { database: { url: server.freshUrl() }, dir: join(home, 'events') };
  const [one, two] = await Promise.all([startPlatform(options), startPlatform(options)]);
  t.after(() => Promise.all([one.close(), two.close()]));
  await one.addDevice('p', 'gw');
  const headers = { 'X-Exosite-CIK': await one.activate('p', 'gw') };
  const report = async (url: string, tx: string): Promise<void> => {
    const status = JSON.stringify({ name: 'hello', version: '1', outcome: 'installed', tx });
    const body = new URLSearchParams({ fetch_status: status }).toString();
    await httpRequest(`${url}${ALIAS}`, { method: 'POST', headers, body });
  };
  const first = await openStream(one, {});
  await report(two.url, 't-1');
  const seen = await first.next();
  first.end();
  await report(one.url, 't-2');
  const second = await openStream(two, { 'Last-Event-ID': seen.id });
  const missed = await second.next();
  second.end();
  assert.deepEqual([missed.data.kind, missed.data.id > seen.data.id], ['update', true]);
});

test('a backup of a database that fails is told to those who want it', async (t) => {
  const url = server.freshUrl();
  const platform = await startPlatform({ database: { url }, dir: join(home, 'told') });
  t.after(() => platform.close());
  const headers = { 'X-Exosite-Token': platform.token };
  const ask = async (method: string, body?: string) => {
    const reply = await httpRequest(`${platform.url}/gwe/v2/targets`, {
      method,
      headers,
      ...(body && { body }),
    });
    return JSON.parse(reply.body);
  };
  await ask('POST', JSON.stringify({ product: '*', url: 'http://192.0.2.1:9/', kinds: ['backup-failed'] }));
  const words = ['platform', 'backup', '--database', url, '--data', join(home, 'told'), '--to', home];
  await assert.rejects(runPlatformCli(words), { code: 'PLATFORM_STATE' });
  const { targets } = await ask('GET');
  assert.equal(targets[0].waiting, 1);
});

test('a password is no part of a command line, and migrate says what it did', async () => {
  const url = server.freshUrl();
  const migrate = (database: string) => runPlatformCli(['platform', 'migrate', '--database', database]);
  assert.equal((await migrate(url)).stdout, 'schema version 0 -> 2\n');
  assert.equal((await migrate(url)).stdout, 'schema version 2: nothing to do\n');
  await assert.rejects(migrate(url.replace('gwe@', 'gwe:word@')), {
    code: 'USAGE_BAD_VALUE',
    message: /--database-password-file or PGPASSWORD/,
  });
  await assert.rejects(migrate('mysql://x/y'), { code: 'USAGE_BAD_VALUE', message: /expected postgres:/ });
});
