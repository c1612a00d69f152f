/** An update that takes long says how far it is. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type FetchReport, fetchReports, installCommand, waitUntil } from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

describe('progress of an update', () => {
  let platform: TestPlatform;
  let proxy: FaultProxy;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    proxy = await startFaultProxy(platform.url);
    const settings = { progress_interval: 1, http_timeout: 60 };
    gateway = await createGateway({ ...platform, url: proxy.url }, { settings });
  });
  after(async () => {
    await gateway.remove();
    await proxy.close();
    await platform.close();
  });

  test('is reported while it downloads and while install.sh runs, once each, and the end comes last', async () => {
    const go = join(gateway.root, 'go');
    const bytes = makeTarball({
      'install.sh': `#!/bin/sh\nwhile [ ! -e '${go}' ]; do sleep 0.1; done\n`,
      blob: { content: randomBytes(400_000) },
    });
    await platform.putContent('p1', 'big.v1.tar.gz', bytes);
    const half = Math.floor(bytes.length / 2);
    let sendRest = (): void => undefined;
    proxy.setFault((request, response) => {
      if (!/id=big/.test(request.path) || /info=true/.test(request.path)) return false;
      if (request.headers.range !== undefined) return false;
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, half));
      sendRest = () => void response.end(bytes.subarray(half));
      return true;
    });
    gateway.start();
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('big.v1.tar.gz'));
    const untilPhase = async (phase: string): Promise<FetchReport> => {
      let found: FetchReport | undefined;
      await waitUntil(gateway, `report of ${phase}`, 60_000, async () => {
        found = (await fetchReports(platform, gateway)).find((report) => report.phase === phase);
        return found !== undefined;
      });
      return found as FetchReport;
    };
    const downloading = await untilPhase('downloading');
    assert.deepEqual([downloading.status, downloading.outcome], ['in progress', 'in progress']);
    assert.deepEqual([downloading.name, downloading.version], ['big', '1']);
    await waitUntil(gateway, 'half of it', 60_000, async () =>
      (await fetchReports(platform, gateway)).some(({ percent }) => percent === 39 || percent === 40),
    );
    const halfWay = (await fetchReports(platform, gateway)).at(-1);
    assert.deepEqual([halfWay?.done, halfWay?.of], [half, bytes.length]);
    sendRest();
    const installing = await untilPhase('installing');
    assert.deepEqual([installing.percent, installing.tx], [92, downloading.tx]);
    assert.ok(!existsSync(go));
    writeFileSync(go, '');
    await waitUntil(gateway, 'end', 60_000, async () =>
      (await fetchReports(platform, gateway)).some(({ outcome }) => outcome === 'installed'),
    );
    const reports = await fetchReports(platform, gateway);
    assert.equal(reports.at(-1)?.outcome, 'installed');
    const said = reports.map(({ phase, percent }) => `${phase} ${percent}`);
    assert.equal(new Set(said).size, said.length, said.join());
    const percents = reports.flatMap(({ percent }) => (typeof percent === 'number' ? [percent] : []));
    assert.deepEqual(
      percents,
      [...percents].sort((a, b) => a - b),
    );
  });
});
