/** What operators, scripts and servers put into `engine_fetch`, and what becomes of it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import {
  type FetchReport,
  fetchReports,
  installCommand,
  sendCommand,
  waitForReports,
  waitUntil,
} from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

/** A one-off that leaves a line for every run of its install.sh. */
function oneOff(version = '1', before = ''): Buffer {
  return makeTarball({
    'install.sh': `#!/bin/sh\n${before}\necho "run of ${version}" >>"$HOME/runs-$GWE_APP_NAME"\n`,
    VERSION: version,
  });
}

function runs(gateway: Gateway, app: string): number {
  const path = join(gateway.root, `runs-${app}`);
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').length : 0;
}

function downloads(proxy: FaultProxy): number {
  return proxy.requests.filter(({ path }) => /^\/provision\/download/.test(path) && !/info=true/.test(path))
    .length;
}

const MALFORMED = [
  'app.tar.gz',
  'app.v.tar.gz',
  'my app.v1.tar.gz',
  '../x.v1.tar.gz',
  'a.b.v1.tar.gz',
  `${'a'.repeat(300)}.v1.tar.gz`,
  '',
];

describe('commands', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const proxies: FaultProxy[] = [];
  let serial = 0;

  /** A running agent of its own, behind a relay. */
  async function startAgent(settings = {}): Promise<{ gateway: Gateway; proxy: FaultProxy }> {
    const proxy = await startFaultProxy(platform.url);
    const gateway = await createGateway(
      { ...platform, url: proxy.url },
      { serial: `gw-${++serial}`, settings },
    );
    proxies.push(proxy);
    gateways.push(gateway);
    gateway.start();
    return { gateway, proxy };
  }

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'good.v1.tar.gz', oneOff());
    await platform.putContent('p1', 'other.v1.tar.gz', oneOff());
    await platform.putContent('p1', 'big.v1.tar.gz', Buffer.concat([oneOff(), Buffer.alloc(300_000, 7)]));
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await platform.close();
  });

  test('vector 23: malformed names are rejected one by one, named, and the agent goes on', async () => {
    const { gateway } = await startAgent();
    const reports = await sendCommand(
      platform,
      gateway,
      installCommand(...MALFORMED, 'good.v1.tar.gz'),
      MALFORMED.length + 1,
    );
    for (const [index, name] of MALFORMED.entries()) {
      const report = reports[index] as FetchReport;
      assert.equal(report.outcome, 'rejected', name);
      assert.equal(report.status, 'failure');
      assert.equal(report.name, name.slice(0, 160));
      assert.match(String(report.reason), /expected/);
    }
    assert.equal(reports.at(-1)?.outcome, 'installed');
    assert.deepEqual(gateway.versions('app'), []);
    assert.equal(gateway.isRunning(), true);
  });

  test('texts that are no command are cleared and reported', async () => {
    const { gateway } = await startAgent();
    for (const text of [
      'install good.v1.tar.gz',
      '[]',
      '{"install": "good.v1.tar.gz"}',
      '{"install": [7]}',
    ]) {
      const [report] = await sendCommand(platform, gateway, text);
      assert.equal(report?.outcome, 'rejected', text);
      assert.match(String(report?.reason), /expected \{/, text);
      assert.equal(await platform.read('p1', gateway.serial, 'engine_fetch'), '', text);
    }
  });

  test('a command of 1 MB, plain or full of quotes, is cleared and reported, and the next one works', async () => {
    const { gateway } = await startAgent();
    const entries = Array.from({ length: 28_000 }, (_, index) => `{"name":"a${index}.v1.tar.gz","%":"{}[]"}`);
    for (const text of [
      'x'.repeat(1024 * 1024),
      `{"install":[${entries.join(',')}]}`.slice(0, 1024 * 1024),
    ]) {
      const [report] = await sendCommand(platform, gateway, text);
      assert.equal(report?.outcome, 'rejected');
      assert.match(String(report?.reason), /bytes, (more than|expected at most)/);
      assert.equal(await platform.read('p1', gateway.serial, 'engine_fetch'), '');
    }
    const [good] = await sendCommand(platform, gateway, installCommand('good.v1.tar.gz'));
    assert.equal(good?.outcome, 'installed');
  });

  test('of several entries with bad ones in the middle, the others are installed and each is reported', async () => {
    const { gateway } = await startAgent();
    const command = JSON.stringify({
      install: [
        { name: 'good.v1.tar.gz' },
        { name: 'absent.v1.tar.gz' },
        { nom: 'x' },
        { name: 'good.v1.tar.gz', sha256: 'f'.repeat(64) },
        { name: 'other.v1.tar.gz' },
      ],
    });
    const reports = await sendCommand(platform, gateway, command, 5);
    const facts = reports.map(({ name, outcome, code }) => [name, outcome, code]);
    assert.deepEqual(facts, [
      ['good', 'installed', undefined],
      ['absent', 'failed-no-change', 'DOWNLOAD_NOT_FOUND'],
      ['', 'rejected', 'COMMAND_INVALID'],
      ['good', 'rejected', 'DOWNLOAD_DIGEST'],
      ['other', 'installed', undefined],
    ]);
    assert.match(gateway.active('other') ?? '', /^1-/);
  });

  test('every report of a command names it, also of an entry that is refused or fails', async () => {
    const { gateway } = await startAgent();
    await platform.putContent('p1', 'broken.v1.tar.gz', oneOff('1', 'exit 3'));
    const { install } = JSON.parse(installCommand('good.v1.tar.gz', 'no name', 'broken.v1.tar.gz'));
    const reports = await sendCommand(platform, gateway, JSON.stringify({ id: 'r7.1', install }), 3);
    assert.deepEqual(
      reports.map(({ outcome, command }) => [outcome, command]),
      [
        ['installed', 'r7.1'],
        ['rejected', 'r7.1'],
        ['rolled-back', 'r7.1'],
      ],
    );
    const [unnamed] = await sendCommand(platform, gateway, installCommand('other.v1.tar.gz'));
    assert.equal(unnamed?.outcome === 'installed' && 'command' in unnamed, false);
  });

  test('the report of a command that was refused before it fetched names the version that goes on', async () => {
    const { gateway } = await startAgent();
    await sendCommand(platform, gateway, installCommand('good.v1.tar.gz'));
    const [absent] = await sendCommand(platform, gateway, installCommand('good.v2.tar.gz'));
    assert.deepEqual([absent?.code, absent?.active], ['DOWNLOAD_NOT_FOUND', '1']);
    const wrong = { install: [{ name: 'good.v1.tar.gz', sha256: 'f'.repeat(64) }] };
    const [mismatch] = await sendCommand(platform, gateway, JSON.stringify(wrong));
    assert.deepEqual([mismatch?.code, mismatch?.active], ['DOWNLOAD_DIGEST', '1']);
  });

  test('the same text sent again is a new command, which runs install.sh again and fetches nothing', async () => {
    const { gateway, proxy } = await startAgent();
    const command = installCommand('good.v1.tar.gz');
    assert.equal((await sendCommand(platform, gateway, command))[0]?.outcome, 'installed');
    const [fetched, ran] = [downloads(proxy), runs(gateway, 'good')];
    assert.deepEqual([fetched, ran], [1, 1]);
    const asked = proxy.requests.filter(({ path }) => /info=true/.test(path)).length;
    assert.equal(asked, 1, 'what the content area says of the tarball is asked for once');
    assert.equal((await sendCommand(platform, gateway, command))[0]?.outcome, 'unchanged');
    assert.deepEqual([downloads(proxy), runs(gateway, 'good')], [1, 2]);
  });

  test('the same text sent while it is being carried out is carried out once more', async () => {
    const { gateway } = await startAgent();
    await platform.putContent('p1', 'slow.v1.tar.gz', oneOff('1', 'touch "$HOME/began"; sleep 1'));
    const command = installCommand('slow.v1.tar.gz');
    await platform.write('p1', gateway.serial, 'engine_fetch', command);
    const began = join(gateway.root, 'began');
    await waitUntil(gateway, 'start of install.sh', 30_000, () => existsSync(began));
    const reports = await sendCommand(platform, gateway, command, 2);
    assert.deepEqual(
      reports.map(({ outcome }) => outcome),
      ['installed', 'unchanged'],
    );
    assert.equal(runs(gateway, 'slow'), 2);
  });

  test('a server that goes on showing what was cleared has each command carried out once', async () => {
    const { gateway, proxy } = await startAgent();
    const command = installCommand('good.v1.tar.gz');
    const shown = { engine_fetch: command, update_interval: 'soon' };
    proxy.setFault((request, response) => {
      if (!request.path.startsWith('/onep:v1/stack/alias?')) return false;
      if (/fetch_status/.test(request.body)) void copyReport(request.body);
      const names = request.path.slice(request.path.indexOf('?') + 1).split('&');
      const body = Object.entries(shown).filter(([name]) => names.includes(name));
      response.end(new URLSearchParams(body).toString());
      return true;
    });
    const reported: string[] = [];
    async function copyReport(body: string): Promise<void> {
      reported.push(new URLSearchParams(body).get('fetch_status') ?? '');
    }
    const done = proxy.requests.length;
    const checkIns = (): number =>
      proxy.requests.slice(done).filter(({ path }) => /engine_fetch&update_interval/.test(path)).length;
    await waitUntil(gateway, 'eight check-ins', 40_000, () => checkIns() >= 8);
    assert.equal(runs(gateway, 'good'), 1);
    assert.equal(reported.length, 2, reported.join('\n'));
    const clears = proxy.requests.filter(({ body }) => /^(update_interval=|engine_fetch=)/.test(body));
    // Cleared again after 2, 4, 8, ... intervals: eight check-ins hold two more tries, of a slow one or so a third.
    assert.ok(clears.length <= 5, `${clears.length} clears`);
    shown.engine_fetch = installCommand('other.v1.tar.gz');
    await waitUntil(gateway, 'the next command', 30_000, () => runs(gateway, 'other') === 1);
  });

  test('a newer command takes the place of one whose download hangs, and the rest of the older is reported', async () => {
    const { gateway, proxy } = await startAgent({ http_timeout: 60 });
    proxy.setFault((request, response) => {
      if (!/id=big/.test(request.path) || /info=true/.test(request.path)) return false;
      response.writeHead(200, { 'content-length': 300_000 });
      response.write(Buffer.alloc(1000));
      return true;
    });
    await platform.write(
      'p1',
      gateway.serial,
      'engine_fetch',
      installCommand('big.v1.tar.gz', 'other.v1.tar.gz'),
    );
    await waitUntil(gateway, 'download', 30_000, () => downloads(proxy) === 1);
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('good.v1.tar.gz'));
    const reports = await waitForReports(platform, gateway, 3, 30_000);
    const outcomes = Object.fromEntries(reports.map(({ name, outcome, code }) => [name, [outcome, code]]));
    assert.deepEqual(outcomes, {
      big: ['failed-no-change', 'CANCELLED'],
      other: ['failed-no-change', 'CANCELLED'],
      good: ['installed', undefined],
    });
    assert.equal(runs(gateway, 'other'), 0);
  });

  test('an agent killed right after the clear carries the command out once', async () => {
    const { gateway, proxy } = await startAgent();
    await platform.putContent('p1', 'once.v1.tar.gz', oneOff());
    for (const [round, requestsLater] of [0, 1, 2].entries()) {
      // Other bytes, so that every round fetches; the fetch is held up, so that none ends before the kill.
      await platform.putContent('p1', 'once.v1.tar.gz', oneOff(String(round)));
      proxy.setFault(({ path }) => /id=once/.test(path) && !/info=true/.test(path));
      const cleared = nextClear(gateway, proxy, requestsLater);
      await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('once.v1.tar.gz'));
      await cleared;
      await gateway.kill();
      proxy.setFault(undefined);
      gateway.start();
      const reports = await waitForReports(platform, gateway, round + 1, 30_000);
      assert.equal(reports.at(-1)?.outcome, 'installed');
      assert.equal(runs(gateway, 'once'), round + 1);
    }
    const at = proxy.requests.length;
    await waitUntil(gateway, 'check-ins', 30_000, () => proxy.requests.length > at + 2);
    assert.equal((await fetchReports(platform, gateway)).length, 3, 'a command was carried out again');
    assert.equal(runs(gateway, 'once'), 3);
  });

  /** Resolves when the platform has answered the clear of `engine_fetch`, and so many requests have come after it. */
  async function nextClear(gateway: Gateway, proxy: FaultProxy, requestsLater: number): Promise<void> {
    const from = proxy.requests.length;
    const at = (): number =>
      proxy.requests.findIndex(({ body }, index) => index >= from && /(^|&)engine_fetch=(&|$)/.test(body));
    await waitUntil(gateway, 'clear', 30_000, async () => {
      if (at() === -1 || proxy.requests.length <= at() + requestsLater) return false;
      return (await platform.read('p1', gateway.serial, 'engine_fetch')) === '';
    });
  }
});
