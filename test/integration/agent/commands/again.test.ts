/** A command that is written again after the gateway was corrected. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

describe('a command that is written again', () => {
  let platform: TestPlatform;
  let proxy: FaultProxy;
  let gateway: Gateway;
  before(async () => {
    platform = await startPlatform();
    proxy = await startFaultProxy(platform.url);
    gateway = await createGateway({ ...platform, url: proxy.url });
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await proxy.close();
    await platform.close();
  });

  test('is carried out when the gateway has been corrected', async () => {
    const script = '#!/bin/sh\n[ -e ../../../../../sensor ] || { echo no sensor; exit 1; }\n';
    await platform.putContent('p1', 'need.v1.tar.gz', makeTarball({ 'install.sh': script }));
    const text = '{"install":[{"name":"need.v1.tar.gz"}]}';
    const failed = await gateway.command(platform, text, 60_000);
    assert.equal(failed.outcome, 'rolled-back', JSON.stringify(failed));
    writeFileSync(join(gateway.root, 'sensor'), '');
    const again = await gateway.command(platform, text, 60_000);
    assert.equal(again.outcome, 'installed', JSON.stringify(again));
  });

  test('is asked for past every cache', () => {
    const asked = proxy.requests.filter(({ path }) => path.includes('/stack/alias'));
    assert.ok(asked.length > 0);
    for (const { headers } of asked) assert.equal(headers['cache-control'], 'no-cache');
  });

  test('that asks for nothing is answered', async () => {
    for (const text of ['{"install":[]}', '{"logs":[]}', '{"install":[],"logs":[]}']) {
      const report = await gateway.command(platform, text, 60_000);
      assert.equal(report.code, 'COMMAND_INVALID', text);
      assert.match(String(report.reason), /expected \{"install": \[\{"name"/);
    }
  });
});
