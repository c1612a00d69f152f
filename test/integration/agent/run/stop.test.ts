import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readProcessStat } from '../../../../src/base/process.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

/** Nobody may have collected a dead one yet. */
function isAlive(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && stat.state !== 'Z';
}

describe('an agent that is stopped in the middle of install.sh', () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  test('leaves the script alone, and the next start waits for it and takes its result', async () => {
    const runs = join(gateway.root, 'runs');
    const go = join(gateway.root, 'go');
    const script = `#!/bin/sh\necho printed before the stop\necho $$ >> ${runs}\nwhile [ ! -e ${go} ]; do sleep 0.1; done\necho printed after it >&2\necho finished >> ${runs}\n`;
    await platform.putContent(
      'p1',
      'slow.v1.tar.gz',
      makeTarball({ 'install.sh': { content: script, mode: 0o755 } }),
    );
    gateway.start();
    await platform.write('p1', 'gw-1', 'engine_fetch', '{"install":[{"name":"slow.v1.tar.gz"}]}');
    await until(() => existsSync(runs));
    assert.equal(await gateway.stop(), 0, 'a stop is a clean end');
    const first = Number(readFileSync(runs, 'utf8').trim());
    assert.ok(isAlive(first), 'the script goes on without gwe');

    gateway.start();
    await until(() => gateway.log().includes('update.resume'));
    writeFileSync(go, '');
    await until(async () => (await platform.read('p1', 'gw-1', 'fetch_status')) !== undefined);
    const report = JSON.parse((await platform.read('p1', 'gw-1', 'fetch_status')) ?? '{}') as Record<
      string,
      unknown
    >;
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.match(JSON.stringify(report.notes), /install\.sh outlived gwe: gwe waited for its end/);
    assert.deepEqual(readFileSync(runs, 'utf8').trim().split('\n'), [`${first}`, 'finished']);
    assert.equal(report.info, 'printed before the stop\nprinted after it\n');
  });
});
