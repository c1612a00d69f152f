/** The test vectors that only a whole agent can hold: its files, its identity, its interval. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type CommandResult, createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { httpAnswer, type RawRequest, type RawServer, startRawServer } from '../../helpers/raw-server.ts';
import {
  fetchReports,
  installCommand,
  sendCommand,
  waitForReports,
  waitUntil,
} from '../../helpers/reports.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { makeTarball } from '../../helpers/tarball.ts';

const PRODUCT = 'dubhxzv0r4e1m7vj';
const KEY = '3803226073f6f2feb51a9010bd1d3e53143214a7';

/** A root on which gwe was never run. */
function freshRoot(t: TestContext): { root: string; gwe(...args: string[]): Promise<CommandResult> } {
  const root = mkdtempSync(join(tmpdir(), 'gwe-vector-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const env = { HOME: root, GWE_ROOT: root };
  return {
    root,
    gwe: (...args) => runGwe([...FROM_SOURCE, ...args], env),
  };
}

/** A platform that gives KEY to everybody and then answers `data` to what is asked of it, in turn. */
async function startBarePlatform(
  t: TestContext,
  ...data: (readonly [string, string?])[]
): Promise<RawServer> {
  let next = 0;
  const server = await startRawServer((socket, { head }) => {
    const isActivation = head.startsWith('POST /provision/activate');
    const [status, body] = isActivation ? ['200 OK', KEY] : (data[next++] ?? ['204 No Content']);
    socket.end(httpAnswer(status, body));
  });
  t.after(() => server.close());
  return server;
}

const activationOf = (server: RawServer): RawRequest | undefined =>
  server.requests.find(({ head }) => head.startsWith('POST /provision/activate'));

describe('vectors', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    assert.equal(gateway.gwe('--set-debug-level', 'DEBUG').status, 0);
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  test('vector 18: an empty engine_fetch and 204 are both nothing to do', async (t) => {
    const { root, gwe } = freshRoot(t);
    const server = await startBarePlatform(
      t,
      ['200 OK', 'engine_fetch='],
      ['204 No Content'],
      ['204 No Content'],
    );
    await gwe('-P', PRODUCT, '-u', 'sn', '--set-platform-url', server.url);
    for (const _pass of [1, 2]) assert.equal((await gwe('-o')).status, 0);
    const texts = server.requests.map(({ head, body }) => `${head.split('\r\n')[0]} ${body}`);
    assert.ok(texts.length >= 3, texts.join('\n'));
    assert.deepEqual(
      texts.filter((text) => /download|fetch_status|[ &]engine_fetch=/.test(text)),
      [],
    );
    assert.equal(existsSync(join(root, 'var/lib/gwe/command.json')), false);
  });

  test('vector 42: a tarball with only an install.sh is run once, without a program file, and its version is kept', async () => {
    const only = makeTarball({ 'install.sh': '#!/bin/sh\necho ran >>"$HOME/ran"\n' });
    await platform.putContent('p1', 'one-off.v1.tar.gz', only);
    const [report] = await sendCommand(platform, gateway, installCommand('one-off.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.equal(readFileSync(join(gateway.root, 'ran'), 'utf8'), 'ran\n');
    assert.equal(existsSync(join(gateway.root, 'etc/supervisor/conf.d/one-off.conf')), false);
    await waitUntil(gateway, 'engine_report', 30_000, async () => {
      const text = await platform.read('p1', gateway.serial, 'engine_report');
      return text?.includes('{"one-off":{"version":"1","status":"EXITED"') === true;
    });
  });

  test('vector 43: an install.sh of mode 644 is refused by the agent and never run', async (t) => {
    const own = await createGateway(platform, { serial: 'gw-43' });
    t.after(() => own.remove());
    own.start();
    const script = { content: '#!/bin/sh\necho ran >"$HOME/ran"\n', mode: 0o644 };
    await platform.putContent('p1', 'no-x.v1.tar.gz', makeTarball({ 'install.sh': script }));
    const [report] = await sendCommand(platform, own, installCommand('no-x.v1.tar.gz'));
    assert.deepEqual(
      [report?.outcome, report?.code],
      ['rejected', 'ARTIFACT_LAYOUT'],
      JSON.stringify(report),
    );
    assert.equal(existsSync(join(own.root, 'ran')), false);
    assert.deepEqual(own.versions('no-x'), []);
  });

  test('vector 45: -P on a fresh configuration with an iface shows the whole file', async (t) => {
    const { gwe } = freshRoot(t);
    await gwe('--set-iface', 'eth0');
    const { status, stdout } = await gwe('-P', PRODUCT);
    assert.equal(status, 0);
    const lines = ["cik = ''", `model = ${PRODUCT}`, `vendor = ${PRODUCT}`, "uuid = ''", 'iface = eth0'];
    assert.equal(stdout, `[device]\n${lines.join('\n')}\n\n`);
  });

  test('vector 46: a fresh Gateway.cfg has 63 bytes', async (t) => {
    const { root, gwe } = freshRoot(t);
    const { stdout } = await gwe('-g');
    assert.equal(Buffer.byteLength(stdout), 63);
    assert.equal(stdout.split("''").length - 1, 5);
    await gwe('--set-iface', '');
    const file = join(root, 'etc/gwe/Gateway.cfg');
    assert.equal(readFileSync(file, 'utf8'), stdout);
  });

  test('vector 47: -C shows two quotes before the activation, and the key after it', async (t) => {
    const { gwe } = freshRoot(t);
    const server = await startBarePlatform(t);
    await gwe('-P', PRODUCT, '-u', 'sn', '--set-platform-url', server.url);
    assert.equal((await gwe('-C')).stdout, "''\n");
    assert.equal((await gwe('-o')).status, 0);
    assert.equal((await gwe('-C')).stdout, `${KEY}\n`);
  });

  test('vector 48: neither uuid nor iface is exit status 255 and a message that says what to run', async (t) => {
    const { gwe } = freshRoot(t);
    await gwe('-P', PRODUCT);
    const { status, stdout, stderr } = await gwe();
    assert.deepEqual([status, stdout], [255, '']);
    assert.match(stderr, /neither uuid nor iface is set.*gwe --set-iface eth0.*gwe --set-uuid/);
  });

  test('vector 49: the MAC of the iface, in upper case, becomes the uuid at the first start', async (t) => {
    const { root, gwe } = freshRoot(t);
    const server = await startBarePlatform(t);
    mkdirSync(join(root, 'sys/class/net/eth0'), { recursive: true });
    writeFileSync(join(root, 'sys/class/net/eth0/address'), 'ff:10:c2:9b:a8:46\n');
    const { stdout } = await gwe('-P', PRODUCT, '-i', 'eth0', '--set-platform-url', server.url);
    assert.match(stdout, /^uuid = ''$/m);
    assert.equal((await gwe('-o')).status, 0);
    assert.match((await gwe('-g')).stdout, /^uuid = FF:10:C2:9B:A8:46$/m);
    assert.equal(new URLSearchParams(activationOf(server)?.body).get('sn'), 'FF:10:C2:9B:A8:46');
  });

  test('vector 50: a serial number of any characters is kept as it is and sent encoded', async (t) => {
    const { gwe } = freshRoot(t);
    const server = await startBarePlatform(t);
    const serial = 'anyserial!@#$%^&*()number';
    const { stdout } = await gwe('-P', PRODUCT, '-u', serial, '--set-platform-url', server.url);
    assert.ok(stdout.includes(`\nuuid = ${serial}\n`), stdout);
    assert.equal((await gwe('-o')).status, 0);
    const sent = activationOf(server)?.body.replaceAll('!', '%21').replaceAll('*', '%2A');
    const encoded = sent?.replaceAll('(', '%28').replaceAll(')', '%29');
    assert.match(encoded ?? '', /(^|&)sn=anyserial%21%40%23%24%25%5E%26%2A%28%29number(&|$)/);
  });

  test('vectors of update_interval, one after the other on one gateway', async (t) => {
    const own = await createGateway(platform, { serial: 'gw-51' });
    t.after(() => own.remove());
    assert.equal(own.gwe('--set-debug-level', 'DEBUG').status, 0);
    own.start();
    const read = (): Promise<string | undefined> => platform.read('p1', own.serial, 'update_interval');
    const intervalOf = (): string | undefined =>
      /^update_interval = (.*)$/m.exec(readFileSync(join(own.root, 'etc/gwe/Engine.config'), 'utf8'))?.[1];

    await t.test('vector 52: 0, -5, abc and 1e9 are cleared, reported and change nothing', async () => {
      for (const [index, text] of ['0', '-5', 'abc', '1e9'].entries()) {
        await platform.write('p1', own.serial, 'update_interval', text);
        const reports = await waitForReports(platform, own, index + 1);
        assert.match(String(reports.at(-1)?.reason), new RegExp(`"${text}": expected whole seconds from 1`));
        await waitUntil(own, 'clear', 30_000, async () => (await read()) === '');
        assert.equal(intervalOf(), '1');
      }
    });

    await t.test('vector 51: an update_interval of 60 is kept in the file, cleared and slept', async () => {
      await platform.write('p1', own.serial, 'update_interval', '60');
      await waitUntil(own, 'clear', 30_000, async () => (await read()) === '');
      assert.equal(intervalOf(), '60');
      await waitUntil(own, 'sleep', 30_000, () => /agent\.sleep ms=60000/.test(own.log()));
      assert.equal((await fetchReports(platform, own)).length, 4);
    });
  });
});
