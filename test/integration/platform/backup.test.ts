/** A platform in a directory is backed up while it serves, its backup is checked, and put back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { listDeliveries } from '../../../src/fleet-api/notices/notifier.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { type ServedPlatform, servePlatform } from '../../helpers/served-platform.ts';

const ALIAS = '/onep:v1/stack/alias';

interface Place {
  home: string;
  data: string;
  backup: string;
  serve(): Promise<ServedPlatform>;
}

function place(t: TestContext): Place {
  const home = mkdtempSync(join(tmpdir(), 'gwe-backup-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const data = join(home, 'data');
  return {
    home,
    data,
    backup: join(home, 'backup'),
    async serve() {
      const platform = await servePlatform(home, ['--data', data]);
      let isOpen = true;
      t.after(() => (isOpen ? platform.close() : undefined));
      return {
        ...platform,
        close: () => {
          isOpen = false;
          return platform.close();
        },
      };
    },
  };
}

const run = (...words: string[]) => runPlatformCli(['platform', ...words]);

function activate(platform: ServedPlatform, serial: string, product = 'P') {
  const body = encodeForm([
    ['vendor', product],
    ['model', product],
    ['sn', serial],
  ]);
  return httpRequest(`${platform.url}/provision/activate`, { method: 'POST', body });
}

const read = (platform: ServedPlatform, cik: string) =>
  httpRequest(`${platform.url}${ALIAS}?engine_fetch`, { headers: { 'X-Exosite-CIK': cik } });

test('what was there at the backup is there after the restore, by the process that serves; the rest is set aside', async (t) => {
  const { data, backup, serve } = place(t);
  const platform = await serve();
  await platform.addDevice('P', 'gw');
  const cik = await platform.activate('P', 'gw');
  const bytes = randomBytes(200_000);
  await platform.putContent('P', 'app', bytes);
  await platform.write('P', 'gw', 'engine_fetch', 'A');
  const made = await run('backup', '--data', data, '--to', backup);
  assert.match(made.stdout, /^backup in .*: 2 files, \d+ bytes\n$/);
  assert.equal(statSync(backup).mode & 0o777, 0o700);
  await platform.write('P', 'gw', 'engine_fetch', 'B');
  await platform.deleteContent('P', 'app');
  assert.match((await run('verify', '--from', backup)).stdout, /^backup of \d{4}-.*: 2 files are whole\n$/);

  const restored = await run('restore', '--from', backup, '--data', data);
  assert.match(restored.stdout, /^restored the backup of .*; 0 rollouts paused\n$/);
  assert.equal((await read(platform, cik)).body, 'engine_fetch=A', 'at the same address');
  const download = await httpRequest(`${platform.url}/provision/download?id=app`, {
    headers: { 'X-Exosite-CIK': cik },
  });
  assert.deepEqual(download.bytes, bytes);
  assert.deepEqual(
    readdirSync(data).filter((name) => name.startsWith('before-')).length,
    1,
    'what was there before is kept',
  );
  await platform.close();
  const again = await serve();
  assert.equal((await read(again, cik)).body, 'engine_fetch=A');
});

test('a platform that nobody serves is backed up and restored too, also into a new directory', async (t) => {
  const { home, data, backup, serve } = place(t);
  const platform = await serve();
  await platform.addDevice('P', 'gw');
  const cik = await platform.activate('P', 'gw');
  await platform.write('P', 'gw', 'engine_fetch', 'A');
  await platform.close();
  await run('backup', '--data', data, '--to', backup);
  const other = join(home, 'other');
  const { stdout } = await run('restore', '--from', backup, '--data', other, '--json');
  assert.deepEqual(Object.keys(JSON.parse(stdout)), [
    'version',
    'from',
    'madeAt',
    'pausedRollouts',
    'reactivatable',
  ]);
  const served = await servePlatform(home, ['--data', other]);
  t.after(() => served.close());
  assert.equal((await read(served, cik)).body, 'engine_fetch=A');
});

test('gateways whose keys are of later than the backup come back by themselves, once, and nobody in place of another', async (t) => {
  const { data, backup, serve } = place(t);
  const platform = await serve();
  for (const serial of ['known', 'idle', 'off']) await platform.addDevice('P', serial);
  await platform.addDevice('Q', 'other');
  const known = await platform.activate('P', 'known');
  for (const serial of ['idle', 'off']) await platform.activate('P', serial);
  await platform.activate('Q', 'other');
  await platform.disableDevice('P', 'off');
  const late = Array.from({ length: 20 }, (_, n) => `late-${n}`);
  for (const serial of late) await platform.addDevice('P', serial);
  await run('backup', '--data', data, '--to', backup);
  for (const serial of late) await platform.activate('P', serial);

  const restored = await run(
    'restore',
    '--from',
    backup,
    '--data',
    data,
    '--reactivate',
    '72h',
    '--product',
    'P',
  );
  assert.match(restored.stdout, /22 serial numbers may be activated once more until \d{4}-/);
  assert.equal((await read(platform, known)).status, 204);
  assert.equal((await activate(platform, 'known')).status, 409, 'it was heard with the key that is stored');
  for (const serial of late) {
    const again = await activate(platform, serial);
    assert.equal(again.status, 200);
    assert.equal((await read(platform, again.body)).status, 204);
    assert.equal((await activate(platform, serial)).status, 409, 'each once');
  }
  assert.equal((await activate(platform, 'off')).status, 409, 'an operator had disabled it');
  assert.equal((await activate(platform, 'other', 'Q')).status, 409, 'of a product that was not named');
  const idle = await activate(platform, 'idle');
  assert.equal(idle.status, 200, 'it had a key, and was not heard with it');
});

test('a backup that is damaged, incomplete or of something else is refused, and nothing is changed', async (t) => {
  const { home, data, backup, serve } = place(t);
  const platform = await serve();
  await platform.addDevice('P', 'gw');
  await platform.putContent('P', 'app', randomBytes(1000));
  await run('backup', '--data', data, '--to', backup);
  await assert.rejects(run('backup', '--data', data, '--to', backup), {
    code: 'PLATFORM_STATE',
    message: /it is not empty, expected a new directory/,
  });
  const [blob = ''] = readdirSync(join(backup, 'content'));
  // A second name of the same file: the damage must be the backup's own.
  rmSync(join(backup, 'content', blob));
  const refused = (message: RegExp) =>
    Promise.all([
      assert.rejects(run('verify', '--from', backup), { code: 'PLATFORM_STATE', message }),
      assert.rejects(run('restore', '--from', backup, '--data', data), { code: 'PLATFORM_STATE', message }),
    ]);
  await refused(/is missing/);
  appendFileSync(join(backup, 'content', blob), 'x');
  await refused(/has 1 bytes with sha256 [0-9a-f]{64}, expected 1000 with/);
  rmSync(join(backup, 'manifest.json'));
  await refused(/there is no manifest.json in it: not a backup, or an unfinished one/);
  assert.equal((await activate(platform, 'gw')).status, 200, 'the platform goes on');
  const empty = join(home, 'empty');
  mkdirSync(empty);
  await assert.rejects(run('verify', '--from', empty), { message: /no manifest.json/ });
  await assert.rejects(run('restore', '--from', backup, '--data', data, '--reactivate', 'soon'), {
    code: 'USAGE_BAD_VALUE',
    message: /expected hours, such as 72h/,
  });
  assert.equal(existsSync(join(data, 'control.sock')), true);
  await platform.close();
  assert.equal(existsSync(join(data, 'control.sock')), false, 'the socket goes with its process');
});

test('a backup that fails is told to those who want it', async (t) => {
  const { data, home, serve } = place(t);
  const platform = await serve();
  const ask = async (method: string, body?: unknown) => {
    const headers = { 'X-Exosite-Token': platform.token };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const reply = await httpRequest(`${platform.url}/gwe/v2/targets`, { method, headers, ...sent });
    return JSON.parse(reply.body);
  };
  // Nobody is there to take them: they wait.
  const url = 'http://192.0.2.1:9/hook';
  await ask('POST', { product: '*', url, kinds: ['backup-failed'] });
  await ask('POST', { product: '*', url, kinds: ['silent'] });
  const waiting = async () => {
    const { targets }: { targets: { kinds: string[]; waiting: number }[] } = await ask('GET');
    return Object.fromEntries(targets.map(({ kinds, waiting: count }) => [kinds[0], count]));
  };
  await assert.rejects(run('backup', '--data', data, '--to', home), { code: 'PLATFORM_STATE' });
  assert.deepEqual(await waiting(), { 'backup-failed': 1, silent: 0 });
  await platform.close();
  const again = await openSqliteStorage({ directory: data, clock: createSystemClock() });
  const before = (await listDeliveries(again)).map(({ delivery }) => delivery.notice);
  await again.close();
  assert.match(before[0]?.title ?? '', /^the backup to '.*' failed: /);
});
