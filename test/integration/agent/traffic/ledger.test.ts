/** The ledger against a relay that counts every byte, and on Linux as root against a capture of the packets themselves. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type ByteProxy, startByteProxy } from '../../../helpers/byte-proxy.ts';
import { createGateway, FROM_SOURCE, type Gateway } from '../../../helpers/gateway.ts';
import { capturePayload } from '../../../helpers/packet-capture.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { runGwe } from '../../../helpers/run-gwe.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

interface Period {
  period: string | null;
  interface: string;
  purpose: string;
  rxBytes: number;
  txBytes: number;
  requests: number;
}

const worlds: { platform: TestPlatform; gateway: Gateway; relay: ByteProxy }[] = [];

async function createWorld(settings: Readonly<Record<string, string | number>> = {}) {
  const platform = await startPlatform({ tls: true });
  const relay = await startByteProxy(platform.url);
  const gateway = await createGateway(
    { ...platform, url: relay.url },
    { settings: { ca_file: platform.caFile ?? '', ...settings } },
  );
  worlds.push({ platform, gateway, relay });
  return { platform, gateway, relay };
}

async function traffic(
  gateway: Gateway,
): Promise<{ periods: Period[]; budget: Record<string, unknown> | null }> {
  const { stdout, stderr } = await runGwe([...FROM_SOURCE, 'traffic', '--json'], { GWE_ROOT: gateway.root });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as { periods: Period[]; budget: Record<string, unknown> | null };
}

function sum(periods: readonly Period[], key: 'rxBytes' | 'txBytes' | 'requests', purpose?: string): number {
  return periods
    .filter((one) => purpose === undefined || one.purpose === purpose)
    .reduce((total, one) => total + one[key], 0);
}

function checkIns(gateway: Gateway): number {
  return gateway.log().match(/ checkin\.done /g)?.length ?? 0;
}

describe('the traffic ledger', { concurrency: 2 }, () => {
  after(async () => {
    for (const { gateway, relay, platform } of worlds) {
      await gateway.remove();
      await relay.close();
      await platform.close();
    }
  });

  test('agrees within 1 % with what passes, over an update and ten check-ins, TLS included', async (t) => {
    const { platform, gateway, relay } = await createWorld();
    const capture = await capturePayload(Number(new URL(relay.url).port));
    const tarball = makeTarball({ 'install.sh': INSTALL_OK, data: { content: randomBytes(300_000) } });
    await platform.putContent('p1', 'hello.v1.tar.gz', tarball);
    gateway.start();
    await sendCommand(platform, gateway, installCommand('hello.v1.tar.gz'));
    const reached = checkIns(gateway) + 10;
    await waitUntil(gateway, 'ten check-ins', 60_000, () => checkIns(gateway) >= reached);
    await gateway.stop();
    const up = relay.connections.reduce((total, one) => total + one.upBytes, 0);
    const down = relay.connections.reduce((total, one) => total + one.downBytes, 0);
    const { periods } = await traffic(gateway);
    const told = [sum(periods, 'txBytes'), sum(periods, 'rxBytes')] as const;
    within(told[0], up, 0.01, 'sent, by the relay');
    within(told[1], down, 0.01, 'received, by the relay');
    const packets = await capture?.end();
    if (packets !== undefined) {
      within(told[0], packets.upBytes, 0.01, 'sent, by the packets');
      within(told[1], packets.downBytes, 0.01, 'received, by the packets');
    }
    t.diagnostic(
      `sent ${told[0]}, relay ${up}, packets ${packets?.upBytes ?? 'not captured'}; ` +
        `received ${told[1]}, relay ${down}, packets ${packets?.downBytes ?? 'not captured'}`,
    );
    assert.ok(sum(periods, 'rxBytes', 'download') > tarball.length);
    assert.ok(sum(periods, 'requests', 'check-in') >= 10);
    assert.deepEqual([...new Set(periods.map((one) => one.interface))], ['lo']);
    const today = new Date().toISOString().slice(0, 10);
    assert.ok(periods.every(({ period }) => period === today || period === null));
    // The same numbers reach the platform.
    const usage = JSON.parse((await platform.read('p1', 'gw-1', 'usage_report')) ?? '{}') as {
      lo: { gwe: Record<string, { tot_rx: number; max_rx: number; num: number }> };
    };
    const { download } = usage.lo.gwe;
    assert.equal(download?.tot_rx, sum(periods, 'rxBytes', 'download'));
    assert.ok((download?.max_rx ?? 0) > tarball.length);
  });

  test('outlives SIGKILL in run/gwe and a reboot in var/lib/gwe, and counts what a plan asks for', async () => {
    const { platform, gateway } = await createWorld();
    await platform.putContent('p1', 'hello.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    gateway.start();
    await waitUntil(gateway, 'two check-ins', 30_000, () => checkIns(gateway) >= 2);
    await gateway.kill();
    const killed = (await traffic(gateway)).periods;
    assert.ok(sum(killed, 'requests') >= 2);
    const plan = await runGwe([...FROM_SOURCE, 'plan', 'hello.v1.tar.gz', '--json'], {
      GWE_ROOT: gateway.root,
    });
    assert.equal(plan.status, 0, plan.stderr);
    assert.ok(sum((await traffic(gateway)).periods, 'rxBytes', 'download') > 500);
    gateway.start();
    const seen = checkIns(gateway);
    await waitUntil(gateway, 'a check-in', 30_000, () => checkIns(gateway) > seen);
    // SIGTERM flushes; a reboot empties /run.
    await gateway.stop();
    const stopped = (await traffic(gateway)).periods;
    assert.ok(sum(stopped, 'rxBytes', 'download') > 500);
    assert.ok(sum(stopped, 'txBytes') > sum(killed, 'txBytes'));
    rmSync(join(gateway.root, 'run/gwe'), { recursive: true });
    assert.deepEqual((await traffic(gateway)).periods, stopped);
  });

  test('an idle check-in writes nothing into var/lib/gwe', async () => {
    const { gateway } = await createWorld();
    gateway.start();
    await waitUntil(gateway, 'two check-ins', 30_000, () => checkIns(gateway) >= 2);
    const file = join(gateway.root, 'var/lib/gwe/traffic.json');
    assert.equal(existsSync(file), false);
    await gateway.stop();
    assert.match(readFileSync(file, 'utf8'), /"check-in"/);
  });

  test('a request without an answer was wasted', async () => {
    const { gateway } = await createWorld();
    gateway.start();
    await waitUntil(gateway, 'a check-in', 30_000, () => checkIns(gateway) >= 1);
    const config = join(gateway.root, 'etc/gwe/Engine.config');
    // Nobody listens on the port of discard. In one step: of a file half written gwe would take the defaults.
    const text = readFileSync(config, 'utf8').replace(
      /platform_url = .*/,
      'platform_url = https://127.0.0.1:9',
    );
    writeFileSync(`${config}.new`, text);
    renameSync(`${config}.new`, config);
    await waitUntil(gateway, 'a failure', 30_000, () => gateway.log().includes('checkin.failed'));
    await gateway.stop();
    const { periods } = await traffic(gateway);
    assert.ok(sum(periods, 'requests', 'wasted') >= 1);
  });

  test('an update that does not fit into the budget waits and says so; urgent, it comes', async () => {
    const { platform, gateway, relay } = await createWorld({ budget_month: 400_000, budget_reserve: 60 });
    await platform.putContent(
      'p1',
      'big.v1.tar.gz',
      makeTarball({ 'install.sh': INSTALL_OK, data: { content: randomBytes(170_000) } }),
    );
    gateway.start();
    const [waiting] = await sendCommand(platform, gateway, installCommand('big.v1.tar.gz'));
    assert.deepEqual([waiting?.status, waiting?.code], ['waiting', 'BUDGET_SPENT'], JSON.stringify(waiting));
    assert.match(
      String(waiting?.reason),
      /needed, \d+ left of budget_month 400000 without its reserve until 20/,
    );
    const before = checkIns(gateway);
    const requests = relay.connections.length;
    await waitUntil(gateway, 'more check-ins', 30_000, () => checkIns(gateway) >= before + 3);
    assert.ok(
      relay.connections.length <= requests + checkIns(gateway) - before + 1,
      'nothing is asked about it',
    );
    const usage = (await platform.read('p1', 'gw-1', 'usage_report')) ?? '';
    assert.match(usage, /"budget_plan":"wait".*"waiting":"big 1"/);
    const { budget } = await traffic(gateway);
    assert.match(JSON.stringify(budget?.waiting), /^\{"app":"big","appVersion":"1","neededBytes":1\d{5}\}$/);
    const urgent = JSON.stringify({ install: [{ name: 'big.v1.tar.gz', urgent: true }] });
    const reports = await sendCommand(platform, gateway, urgent, 2);
    const installed = reports.find(({ outcome }) => outcome === 'installed');
    assert.ok(installed !== undefined, JSON.stringify(reports));
    assert.match(
      JSON.stringify(installed.notes),
      /data budget: full, \d+ bytes; \d+ of 400000 were left until/,
    );
    assert.ok(
      reports.some(({ code }) => code === 'CANCELLED'),
      'the command that waited is reported as given up',
    );
  });

  test('the budget is never exceeded by more than one request, and the gateway says why it is silent', async () => {
    const { gateway, relay } = await createWorld({ budget_month: 12_000, budget_reserve: 10 });
    gateway.start();
    await waitUntil(
      gateway,
      'the end of the budget',
      60_000,
      () =>
        /checkin\.failed code=BUDGET_SPENT|agent\.sleep ms=\d{6,}/.test(gateway.log()) || isResting(gateway),
    );
    await gateway.stop();
    const all = relay.connections.map(({ upBytes, downBytes }) => upBytes + downBytes);
    const used = all.reduce((total, bytes) => total + bytes, 0);
    assert.ok(used <= 12_000 + Math.max(...all), `${used} bytes`);
    assert.ok(used > 9000, `${used} bytes`);
  });
});

/** The next check-in is hours away, although the interval is a second. */
function isResting(gateway: Gateway): boolean {
  const file = join(gateway.root, 'run/gwe/status.json');
  if (!existsSync(file)) return false;
  const { nextCheckInAtMs = 0 } = JSON.parse(readFileSync(file, 'utf8')) as { nextCheckInAtMs?: number };
  return nextCheckInAtMs > Date.now() + 3_600_000;
}

function within(found: number, expected: number, share: number, what: string): void {
  assert.ok(expected > 0, what);
  assert.ok(Math.abs(found - expected) <= expected * share, `${what}: ledger ${found}, counted ${expected}`);
}
