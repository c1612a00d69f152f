/** A platform, or something between it and the gateway, that answers everything but what it should. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Fault, type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { createGateway, type Gateway, type GatewayOptions } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import {
  fetchReports,
  installCommand,
  sendCommand,
  waitForReports,
  waitUntil,
} from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const LOGIN_PAGE = '<html><body><form>Welcome to the hotel. Room number?</form></body></html>';

function answer(act: (response: ServerResponse) => void): Fault {
  return (_request, response) => {
    act(response);
    return true;
  };
}

function status(code: number): Fault {
  return answer((response) => response.writeHead(code).end('no'));
}

/** By name: what is done to every request. */
const FAULTS: readonly (readonly [string, Fault])[][] = [
  [
    ['403', status(403)],
    ['404', status(404)],
    ['409', status(409)],
    ['500', status(500)],
    ['a redirect', answer((response) => response.writeHead(302, { location: 'http://[::1]/' }).end())],
  ],
  [
    ['a login page', answer((response) => response.end(LOGIN_PAGE))],
    ['garbage', answer((response) => response.socket?.end('\u0000\u0001SSH-2.0 hello\r\n\r\n'))],
  ],
  [
    [
      'half a body',
      answer((response) => {
        response.writeHead(200, { 'content-length': 100 }).write('engine_fetch=%7B%22inst');
        response.socket?.end();
      }),
    ],
    ['a closed connection', answer((response) => response.destroy())],
    ['nothing', () => true],
  ],
];

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}

const isActivation = (path: string): boolean => path === '/provision/activate';
const isData = (path: string): boolean => path.startsWith('/onep:v1/');
const isContent = (path: string): boolean => path.startsWith('/provision/download');

const filler = { content: Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * index) % 251)) };
/** Packed, still some kilobytes. */
const big = makeTarball({ 'install.sh': INSTALL_OK, filler, noise: randomBytes(40_000).toString('base64') });

describe('a platform that', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const proxies: FaultProxy[] = [];
  let serial = 0;

  async function startAgent(
    options: GatewayOptions = {},
    fault?: Fault,
  ): Promise<{ gateway: Gateway; proxy: FaultProxy }> {
    const proxy = await startFaultProxy(platform.url);
    proxy.setFault(fault);
    const settings = { http_timeout: 1, ...options.settings };
    const gateway = await createGateway(
      { ...platform, url: proxy.url },
      { serial: `gw-${++serial}`, ...options, settings },
    );
    proxies.push(proxy);
    gateways.push(gateway);
    gateway.start();
    return { gateway, proxy };
  }

  const cikOf = (gateway: Gateway): string =>
    /^cik = (.*)$/m.exec(readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'))?.[1] ?? '';

  async function isActivated(gateway: Gateway): Promise<string> {
    await waitUntil(gateway, 'activation', 30_000, () => /^[0-9A-Za-z]{40}$/.test(cikOf(gateway)));
    return cikOf(gateway);
  }

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    await platform.putContent('p1', 'big.v1.tar.gz', big);
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await platform.close();
  });

  test('answers 404 to reads of aliases that it does not define is warned of once, and asked again each time', async () => {
    const { gateway, proxy } = await startAgent({}, ({ path }, response) => {
      if (!path.startsWith('/onep:v1/') || !path.includes('?')) return false;
      response.writeHead(404).end('resource not found');
      return true;
    });
    await waitUntil(gateway, 'three check-ins', 30_000, () => count(gateway.log(), ' checkin.done ') >= 3);
    assert.equal(count(gateway.log(), ' checkin.undefined '), 1, gateway.log());
    assert.equal(count(gateway.log(), ' checkin.failed '), 0, gateway.log());
    proxy.setFault(undefined);
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed');
  });

  for (const faults of FAULTS) {
    const names = faults.map(([name]) => name).join(', ');
    test(`answers ${names} does no harm: the agent lives and works when it is well again`, async () => {
      const { gateway, proxy } = await startAgent();
      const cik = await isActivated(gateway);
      for (const [name, fault] of faults) {
        const reports = (await fetchReports(platform, gateway)).length;
        await platform.write('p1', gateway.serial, 'engine_fetch', '');
        proxy.setFault(fault);
        const from = proxy.requests.length;
        await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('app.v1.tar.gz'));
        await waitUntil(gateway, `two tries with ${name}`, 30_000, () => proxy.requests.length >= from + 2);
        proxy.setFault(undefined);
        const all = await waitForReports(platform, gateway, reports + 1, 30_000);
        assert.match(String(all.at(-1)?.outcome), /^(installed|unchanged)$/, name);
        assert.equal(cikOf(gateway), cik, name);
      }
      assert.equal(gateway.isRunning(), true);
      assert.match(gateway.log(), /checkin\.failed/);
    });
  }

  test('answers 401 to the stored key is asked for another, which is stored', async () => {
    const { gateway } = await startAgent();
    const old = await isActivated(gateway);
    await platform.addDevice('p1', gateway.serial);
    await waitUntil(gateway, 'another key', 30_000, () => cikOf(gateway) !== old);
    await isActivated(gateway);
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed');
    assert.doesNotMatch(gateway.log(), new RegExp(old));
  });

  test('vector 8: answers 409 to an activation leaves the stored key in use', async () => {
    const { gateway, proxy } = await startAgent();
    const cik = await isActivated(gateway);
    proxy.setFault(({ path }, response) => {
      if (!isData(path) && !isActivation(path)) return false;
      response.writeHead(isData(path) ? 401 : 409).end();
      return true;
    });
    const refused = (): number => gateway.log().split('provision.refused').length - 1;
    await waitUntil(gateway, 'two refusals', 30_000, () => refused() >= 2);
    assert.match(gateway.log(), /status=409.*the stored key stays in use/);
    assert.equal(cikOf(gateway), cik);
    proxy.setFault(undefined);
    const activations = proxy.requests.filter(({ path }) => isActivation(path)).length;
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed');
    assert.equal(cikOf(gateway), cik);
    const later = proxy.requests.filter(({ path }) => isActivation(path)).length;
    assert.ok(later <= activations + 1, 'the key that works again was not used');
  });

  test('vector 9: answers 403 to an activation is said so and asked again later', async () => {
    const { gateway, proxy } = await startAgent({}, ({ path }, response) => {
      if (isActivation(path)) response.writeHead(403).end();
      return isActivation(path);
    });
    await waitUntil(gateway, 'refusal', 30_000, () => /provision\.refused.*status=403/.test(gateway.log()));
    assert.equal(cikOf(gateway), "''");
    assert.match(gateway.log(), /not known to the platform \(status 403\); asking again in 1 s/);
    proxy.setFault(undefined);
    await isActivated(gateway);
  });

  test('vector 2: has given the key out already answers 409, and the agent waits until it is enabled again', async () => {
    const { gateway } = await startAgent({ serial: 'gw-taken' }, ({ path }) => isActivation(path));
    await platform.activate('p1', 'gw-taken');
    proxies.at(-1)?.setFault(undefined);
    await waitUntil(gateway, 'refusal', 30_000, () => /provision\.refused.*status=409/.test(gateway.log()));
    assert.equal(gateway.isRunning(), true);
    await platform.addDevice('p1', 'gw-taken');
    await isActivated(gateway);
  });

  test('answers 429 with Retry-After is left alone for that long', async () => {
    const { gateway, proxy } = await startAgent();
    await isActivated(gateway);
    const times: number[] = [];
    proxy.setFault((_request, response) => {
      times.push(performance.now());
      response.writeHead(429, { 'retry-after': '3' }).end();
      return true;
    });
    await waitUntil(gateway, 'two tries', 30_000, () => times.length >= 2);
    const pauseMs = (times[1] ?? 0) - (times[0] ?? 0);
    assert.ok(pauseMs >= 2900, `${pauseMs} ms`);
    proxy.setFault(undefined);
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed');
  });

  test('breaks off a download, then trips over it, is asked for the rest alone', async () => {
    const { gateway, proxy } = await startAgent();
    await isActivated(gateway);
    let answers = 0;
    proxy.setFault(({ path }, response) => {
      if (!isContent(path) || /info=true/.test(path)) return false;
      answers += 1;
      if (answers === 1) {
        response.writeHead(200, { 'content-length': big.length }).write(big.subarray(0, 20_000));
        response.socket?.end();
      } else if (answers === 2) response.writeHead(500).end();
      return answers <= 2;
    });
    const [report] = await sendCommand(platform, gateway, installCommand('big.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    assert.equal(answers, 3);
    const fetches = proxy.requests.filter(({ path }) => isContent(path) && !/info=true/.test(path));
    assert.equal(fetches[0]?.headers.range, undefined);
    assert.equal(fetches[2]?.headers.range, 'bytes=20000-');
    assert.equal(report?.bytes, big.length);
  });

  test('refuses the content is reported at once; one whose info is garbage for a while is asked again', async () => {
    const { gateway, proxy } = await startAgent();
    await isActivated(gateway);
    proxy.setFault(({ path }, response) => {
      if (isContent(path)) response.writeHead(403).end();
      return isContent(path);
    });
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.deepEqual([report?.outcome, report?.code], ['failed-no-change', 'PROTOCOL_REFUSED']);
    assert.match(String(report?.reason), /status 403/);
    let garbled = 0;
    proxy.setFault(({ path }, response) => {
      if (!/info=true/.test(path) || garbled >= 2) return false;
      garbled += 1;
      response.end(LOGIN_PAGE);
      return true;
    });
    const [again] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(again?.outcome, 'installed', JSON.stringify(again));
    assert.equal(garbled, 2);
  });

  test('refuses one report for ever does not keep the next command from coming through', async () => {
    const { gateway, proxy } = await startAgent();
    await isActivated(gateway);
    proxy.setFault(({ body }, response) => {
      const isBad = /fetch_status=.*absent/.test(body);
      if (isBad) response.writeHead(413).end();
      return isBad;
    });
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('absent.v1.tar.gz'));
    await waitUntil(gateway, 'a report that is set aside', 30_000, () =>
      gateway.log().includes('report.set-aside'),
    );
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed');
  });
});
