/**
 * An operator's questions about two gateways, answered from what is on the platform and nothing else: which version runs
 * where, why did it fail, what did it cost, is it alive. The gateways themselves are looked at only to hold it against them.
 */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { httpRequest } from '../helpers/http-request.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import {
  type FetchReport,
  fetchReports,
  installCommand,
  sendCommand,
  waitUntil,
} from '../helpers/reports.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';

type Fields = Record<string, unknown>;
interface Site {
  gateway: Gateway;
  daemon: Supervisord;
}

const SERIALS = ['north', 'south'] as const;
const PROGRAM = '[supervisord]\ncommand = ./bin/run\nstartsecs = 1\nstartretries = 1\n';
const STEADY = '#!/bin/sh\nexec sleep 1000\n';

describe("an operator's questions about two gateways", () => {
  let platform: TestPlatform;
  const sites = new Map<string, Site>();

  const site = (serial: (typeof SERIALS)[number]): Site => {
    const found = sites.get(serial);
    assert.ok(found !== undefined);
    return found;
  };
  const read = async (serial: string, alias: string): Promise<Fields> =>
    JSON.parse((await platform.read('p1', serial, alias)) ?? '{}') as Fields;
  const apps = async (serial: string): Promise<Record<string, Fields>> => {
    const { apps: rows = [] } = (await read(serial, 'engine_report')) as { apps?: Record<string, Fields>[] };
    return Object.assign({}, ...rows) as Record<string, Fields>;
  };
  const app = (run: string, installScript = INSTALL_OK): Buffer =>
    makeTarball({ 'install.sh': installScript, 'bin/run': run, 'supervisor.conf': PROGRAM });

  before(async () => {
    platform = await startPlatform();
    for (const serial of SERIALS) {
      const settings = { watch_window: 0 };
      const gateway = await createGateway(platform, { serial, settings, command: [EXECUTABLE] });
      sites.set(serial, { gateway, daemon: await startSupervisord(gateway.root) });
      gateway.start();
    }
    const broken =
      '#!/bin/sh\necho "step 1"\necho "cp: cannot create /opt/meter: Read-only file system" >&2\nexit 3\n';
    const files = {
      'meter.v1.tar.gz': app(STEADY),
      'meter.v2.tar.gz': app(STEADY),
      'meter.v3.tar.gz': app(STEADY, broken),
      'pump.v1.tar.gz': app(
        `#!/bin/sh\nwhile [ ! -e "$(dirname "$0")/../../../../crash" ]; do sleep 0.2; done\necho "no pump"\nsleep 1.2\nexit 7\n`,
      ),
      'pump.v2.tar.gz': app('#!/bin/sh\necho "valve stuck"\nexit 9\n'),
      'tune.v1.tar.gz': makeTarball({ 'install.sh': '#!/bin/sh\necho tuned\n' }),
    };
    for (const [name, bytes] of Object.entries(files)) await platform.putContent('p1', name, bytes);
    const common = ['meter.v1.tar.gz', 'pump.v1.tar.gz', 'tune.v1.tar.gz'];
    const wanted = {
      north: [...common, 'meter.v2.tar.gz', 'pump.v2.tar.gz'],
      south: [...common, 'meter.v3.tar.gz'],
    };
    await Promise.all(
      SERIALS.map((serial) =>
        sendCommand(
          platform,
          site(serial).gateway,
          installCommand(...wanted[serial]),
          wanted[serial].length,
          120_000,
        ),
      ),
    );
    writeFileSync(join(site('south').gateway.root, 'opt/gwe/crash'), '');
  });
  after(async () => {
    for (const { gateway, daemon } of sites.values()) {
      await gateway.remove();
      await daemon.stop();
    }
    await platform?.close();
  });

  test('which version runs where', async () => {
    const answer: Record<string, Record<string, unknown>> = {};
    for (const serial of SERIALS) {
      const { gateway } = site(serial);
      const last = (await fetchReports(platform, gateway)).at(-1)?.tx;
      assert.ok(last !== undefined);
      await waitUntil(gateway, 'a report that knows the last update', 60_000, async () => {
        const { meter, pump } = await apps(serial);
        return meter?.status === 'RUNNING' && (pump?.last as Fields | undefined)?.outcome !== undefined;
      });
      const { gwe: _own, ...rows } = await apps(serial);
      answer[serial] = Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, row.version]));
      for (const [name, row] of Object.entries(rows))
        assert.equal(`${row.version}-${String(row.digest).slice(0, 8)}`, gateway.active(name), name);
    }
    assert.deepEqual(answer, {
      north: { meter: '2', pump: '1', tune: '1' },
      south: { meter: '1', pump: '1', tune: '1' },
    });
    const { daemon } = site('north');
    assert.equal((await apps('north')).meter?.pid, (await daemon.processInfo('meter'))?.pid);
  });

  test('why did an update fail, and what is there now', async () => {
    const failures = async (serial: 'north' | 'south'): Promise<FetchReport[]> =>
      (await fetchReports(platform, site(serial).gateway)).filter(({ status }) => status === 'failure');
    const [north, ...noMore] = await failures('north');
    const [south, ...noneEither] = await failures('south');
    assert.deepEqual([noMore, noneEither], [[], []]);
    assert.deepEqual(
      [north?.name, north?.version, north?.outcome, north?.code, north?.active],
      ['pump', '2', 'rolled-back', 'SUPERVISOR_UNHEALTHY', '1'],
    );
    assert.match(String(north?.reason), /valve stuck/);
    assert.deepEqual(
      [
        south?.name,
        south?.version,
        south?.outcome,
        south?.phase,
        south?.code,
        south?.exitcode,
        south?.active,
      ],
      ['meter', '3', 'rolled-back', 'installing', 'INSTALL_FAILED', 3, '1'],
    );
    assert.deepEqual(south?.lines, ['cp: cannot create /opt/meter: Read-only file system']);
  });

  test('the whole output of the failed installation, without a visit', async () => {
    const { gateway } = site('south');
    const [log] = await sendCommand(platform, gateway, '{"logs": [{"app": "meter"}]}', 1, 60_000);
    assert.equal(log?.status, 'log');
    assert.match(
      String(log?.info),
      /install\.sh of meter 3 exited with status 3.*\nstep 1\ncp: cannot create/,
    );
  });

  test('which program crashes', async () => {
    const { gateway } = site('south');
    await waitUntil(gateway, 'restarts in the report', 120_000, async () => {
      return Number((await apps('south')).pump?.restarts ?? 0) >= 2;
    });
    // Once by gwe itself, when it went back to it.
    assert.ok(Number((await apps('south')).meter?.restarts) <= 1);
    assert.equal((await apps('north')).meter?.restarts, 0);
    assert.equal((await apps('north')).pump?.status, 'RUNNING');
  });

  test('what did it cost', async () => {
    for (const serial of SERIALS) {
      const { gateway } = site(serial);
      const reports = await fetchReports(platform, gateway);
      const fetched = reports.reduce(
        (sum, { bytes, status }) => sum + (status === 'log' ? 0 : Number(bytes)),
        0,
      );
      const usage = (await read(serial, 'usage_report')) as Record<
        string,
        { gwe?: Record<string, { tot_rx: number; tot_tx: number; num: number }> }
      >;
      const { gwe_ledger: ledger, ...interfaces } = usage;
      const download = Object.values(interfaces).flatMap(({ gwe }) => gwe?.download ?? []);
      const receivedBytes = download.reduce((sum, { tot_rx }) => sum + tot_rx, 0);
      assert.ok(
        fetched > 0 && receivedBytes > fetched,
        `${receivedBytes} received for ${fetched} of tarballs`,
      );
      const totalBytes = Object.values(interfaces)
        .flatMap(({ gwe }) => Object.values(gwe ?? {}))
        .reduce((sum, { tot_rx, tot_tx }) => sum + tot_rx + tot_tx, 0);
      const { month_rx, month_tx } = ledger as Record<string, number>;
      assert.equal(Number(month_rx) + Number(month_tx), totalBytes);
      const now = JSON.parse(gateway.gwe('traffic', '--json').stdout) as {
        periods: { purpose: string; rxBytes: number }[];
      };
      const own = now.periods.filter(({ purpose }) => purpose === 'download');
      assert.equal(
        receivedBytes,
        own.reduce((sum, { rxBytes }) => sum + rxBytes, 0),
      );
    }
  });

  test('is it alive: one that is answers, of one that is not the command stays', async () => {
    await site('south').gateway.kill();
    const ask = '{"logs": [{"app": "tune"}]}';
    await platform.write('p1', 'south', 'engine_fetch', ask);
    const [answer] = await sendCommand(platform, site('north').gateway, ask, 1, 60_000);
    assert.match(String(answer?.info), /tuned/);
    assert.equal(await platform.read('p1', 'north', 'engine_fetch'), '');
    assert.equal(await platform.read('p1', 'south', 'engine_fetch'), ask);
    const { clock } = await read('north', 'device_info');
    const ageS = Date.now() / 1000 - Number((clock as Fields).now);
    assert.ok(ageS >= -1 && ageS < 24 * 3600, 'a report is never older than a day');
    const listed = await httpRequest(`${platform.url}/gwe/v1/products/p1/devices`, {
      method: 'GET',
      headers: { 'X-Exosite-Token': platform.token },
      caFile: platform.caFile,
    });
    for (const { serial, lastSeenAt } of JSON.parse(listed.body) as { serial: string; lastSeenAt: number }[])
      assert.ok(Date.now() / 1000 - lastSeenAt < 600, `${serial} was seen in these minutes`);
    assert.ok(existsSync(site('south').gateway.root));
  });
});
