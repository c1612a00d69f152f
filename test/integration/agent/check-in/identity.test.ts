/** A gateway that becomes another one: whose key goes where. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { type CommandResult, createGateway, FROM_SOURCE, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { runGwe } from '../../../helpers/run-gwe.ts';

interface World {
  platform: TestPlatform;
  proxy: FaultProxy;
  gateway: Gateway;
  gwe(...args: string[]): Promise<CommandResult>;
  key(): Promise<string>;
  /** The keys that were sent since this was asked for the last time. */
  keysSent(): string[];
}

async function createWorld(t: TestContext): Promise<World> {
  const platform = await startPlatform();
  const proxy = await startFaultProxy(platform.url);
  const gateway = await createGateway({ ...platform, url: proxy.url });
  t.after(async () => {
    await gateway.remove();
    await proxy.close();
    await platform.close();
  });
  const gwe = (...args: string[]): Promise<CommandResult> =>
    runGwe([...FROM_SOURCE, ...args], { GWE_ROOT: gateway.root });
  const keysSent = (): string[] => [
    ...new Set(proxy.requests.splice(0).flatMap(({ headers }) => [headers['x-exosite-cik'] ?? []].flat())),
  ];
  return { platform, proxy, gateway, gwe, keysSent, key: async () => (await gwe('-C')).stdout.trim() };
}

test('another product and serial number get a key of their own, and the old one comes back with them', async (t) => {
  const { platform, gwe, key, keysSent } = await createWorld(t);
  await platform.addDevice('p2', 'gw-2');
  assert.equal((await gwe('--once')).status, 0);
  const first = await key();
  keysSent();
  const changed = await gwe('-P', 'p2', '-u', 'gw-2');
  assert.match(changed.stderr, /key of serial gw-1, product p1 is set aside/);
  assert.equal(await key(), "''");
  assert.equal((await gwe('--once')).status, 0);
  const second = await key();
  assert.notEqual(second, first);
  assert.deepEqual(keysSent(), [second]);
  assert.match((await platform.read('p2', 'gw-2', 'engine_report')) ?? '', /\[|\{/);
  const back = await gwe('-P', 'p1', '-u', 'gw-1');
  assert.match(back.stderr, /the key that this identity had before is in use again/);
  assert.equal((await gwe('--once')).status, 0);
  assert.deepEqual(keysSent(), [first]);
});

test('an edit by hand while gwe runs counts from the next check-in on, and no wrong key is sent', async (t) => {
  const { platform, gateway, gwe, key, keysSent } = await createWorld(t);
  await platform.addDevice('p1', 'gw-2');
  assert.equal((await gwe('--once')).status, 0);
  const first = await key();
  keysSent();
  const file = join(gateway.root, 'etc/gwe/Gateway.cfg');
  writeFileSync(file, readFileSync(file, 'utf8').replace('gw-1', 'gw-2'));
  const once = await gwe('--once');
  assert.equal(once.status, 0, once.stderr);
  assert.match(once.stderr, /identity\.changed serial=gw-2 product=p1/);
  assert.ok(!keysSent().includes(first));
  assert.notEqual(await platform.read('p1', 'gw-2', 'device_info'), undefined);
});

test('another address gets no key unless it is said to be of the same platform', async (t) => {
  const { platform, proxy, gwe, key, keysSent } = await createWorld(t);
  assert.equal((await gwe('--once')).status, 0);
  const first = await key();
  const elsewhere = await startFaultProxy(platform.url);
  t.after(() => elsewhere.close());
  const moved = await gwe('--set-platform-url', elsewhere.url);
  assert.match(moved.stderr, /set aside; .*--keep-key/);
  await gwe('--once');
  assert.ok(elsewhere.requests.length > 0);
  assert.ok(elsewhere.requests.every(({ headers }) => headers['x-exosite-cik'] === undefined));
  const kept = await gwe('--set-platform-url', elsewhere.url, '--keep-key');
  assert.equal(kept.status, 0, kept.stderr);
  assert.equal(await key(), first);
  keysSent();
  assert.equal((await gwe('--once')).status, 0);
  assert.equal(proxy.requests.length, 0);
});

test('--set-cik counts for the new identity, in the same call or later; --keep-key for no other device', async (t) => {
  const { gwe, key } = await createWorld(t);
  assert.equal((await gwe('--once')).status, 0);
  const first = await key();
  const given = 'k'.repeat(40);
  await gwe('-u', 'gw-2', '-c', given);
  assert.equal(await key(), given);
  await gwe('-u', 'gw-3');
  assert.equal(await key(), "''");
  await gwe('-c', first);
  assert.equal(await key(), first);
  await gwe('-u', 'gw-2');
  assert.equal(await key(), given);
  const refused = await gwe('-u', 'gw-4', '--set-platform-url', 'http://127.0.0.1:1', '--keep-key');
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /--keep-key and --set-uuid do not go together.*nothing was changed/s);
  assert.equal((await gwe('--keep-key')).status, 2);
});

test('a false 401 and a false key cost a gateway nothing: its own key is in use again once the platform is back', async (t) => {
  const { proxy, gwe, key } = await createWorld(t);
  assert.equal((await gwe('--once')).status, 0);
  const own = await key();
  const planted = 'e'.repeat(40);
  proxy.setFault((request, response) => {
    const isActivation = request.path.includes('activate');
    response.writeHead(isActivation ? 200 : 401).end(isActivation ? planted : '');
    return true;
  });
  assert.notEqual((await gwe('--once')).status, 0);
  assert.equal(await key(), planted);
  proxy.setFault(undefined);
  const back = await gwe('--once');
  assert.equal(back.status, 0, back.stderr);
  assert.match(back.stderr, /provision\.key-back/);
  assert.equal(await key(), own);
});

test('an interval of the platform that is longer than max_interval is taken as that, and reported', async (t) => {
  const { platform, gateway, gwe } = await createWorld(t);
  const stored = (): string | undefined =>
    /^update_interval *= *(\d+)/m.exec(
      readFileSync(join(gateway.root, 'etc/gwe/Engine.config'), 'utf8'),
    )?.[1];
  await platform.write('p1', 'gw-1', 'update_interval', '31536000');
  const once = await gwe('--once');
  assert.equal(once.status, 0, once.stderr);
  assert.equal(stored(), '86400');
  assert.equal(await platform.read('p1', 'gw-1', 'update_interval'), '');
  const told = (await platform.history('p1', 'gw-1', 'fetch_status')).map(({ value }) => value).join('\n');
  assert.match(told, /update_interval 31536000 is longer than max_interval/);
  await gwe('--set-update-interval', '200000');
  assert.equal(stored(), '200000', 'what is set on the gateway may be longer');
  await gwe('--set', 'max_interval=100');
  await platform.write('p1', 'gw-1', 'update_interval', '5000');
  assert.equal((await gwe('--once')).status, 0);
  assert.equal(stored(), '100');
});

test('--set-cik takes the key from a file or standard input too', async (t) => {
  const { gateway, gwe, key } = await createWorld(t);
  const [one, other] = ['a'.repeat(40), 'b'.repeat(40)];
  const file = join(gateway.root, 'key');
  writeFileSync(file, `${one}\n`);
  await gwe('--set-cik', `@${file}`);
  assert.equal(await key(), one);
  const env = { ...process.env, GWE_ROOT: gateway.root };
  const [program = '', ...args] = FROM_SOURCE;
  const piped = spawnSync(program, [...args, '--set-cik', '-'], {
    env,
    input: `${other}\n`,
    encoding: 'utf8',
  });
  assert.equal(piped.status, 0, piped.stderr);
  assert.equal(await key(), other);
  const none = await gwe('--set-cik', `@${file}.none`);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /cannot read the key from .*none.*nothing was changed/);
});
