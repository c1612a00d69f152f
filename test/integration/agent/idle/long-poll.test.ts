/** A gateway with an interval of hours that waits for its commands in long polls. More commands with GWE_FAULTS=full. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { httpAnswer, type RawServer, startRawServer } from '../../../helpers/raw-server.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

const ROUNDS = process.env.GWE_FAULTS === 'full' ? 100 : 3;

describe('an agent that checks in every 4 hours, with long polls', () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings: { long_poll: 'on' } });
    gateway.gwe('--set', 'update_interval=14400');
    gateway.start();
    await until(() => checkIns() > 0);
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  const checkIns = (): number => gateway.log().match(/checkin\.done/g)?.length ?? 0;
  const status = (): string => gateway.gwe('status').stdout;
  const runs = (): string[] => {
    const path = join(gateway.root, 'runs');
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  };
  const command = async (version: number): Promise<number> => {
    await platform.write('p1', 'gw-1', 'engine_fetch', `{"install":[{"name":"app.v${version}.tar.gz"}]}`);
    return performance.now();
  };

  test('carries a command out within seconds and once, whatever check-in is asked for meanwhile', async () => {
    const script = `#!/bin/sh\necho $GWE_APP_VERSION >> ${join(gateway.root, 'runs')}\n`;
    const tarball = makeTarball({ 'install.sh': { content: script, mode: 0o755 } });
    for (let version = 1; version <= ROUNDS; version++) {
      await platform.putContent('p1', `app.v${version}.tar.gz`, tarball);
      await delay(Math.random() * 1500);
      const early = version % 2 === 0;
      const writtenMs = early ? await command(version) : undefined;
      await delay(Math.random() * 20);
      process.kill(gateway.pid(), 'SIGHUP');
      await delay(Math.random() * 200);
      const sinceMs = writtenMs ?? (await command(version));
      await until(() => runs().at(-1) === String(version));
      const tookMs = performance.now() - sinceMs;
      assert.ok(tookMs < 60_000, `version ${version} took ${tookMs} ms\n${gateway.log()}`);
      await until(async () => {
        const report = await platform.read('p1', 'gw-1', 'fetch_status');
        return report !== undefined && JSON.parse(report).version === String(version);
      });
    }
    assert.deepEqual(
      runs(),
      Array.from({ length: ROUNDS }, (_, i) => String(i + 1)),
    );
    assert.equal((await platform.history('p1', 'gw-1', 'fetch_status')).length, ROUNDS);
    assert.doesNotMatch(gateway.log(), /WARN|ERROR/);
  });

  test('says in its status that it waits', async () => {
    await until(() => /; next in 4 h \(interval 14400 s\), or when a command is written/.test(status()));
    const { checkIn } = JSON.parse(gateway.gwe('status', '--json').stdout);
    assert.deepEqual(checkIn.longPoll, { problem: null });
  });

  test('checks in at once when it is asked to, and waits again', async () => {
    const count = checkIns();
    process.kill(gateway.pid(), 'SIGHUP');
    await until(() => checkIns() > count);
  });

  test('ends at once when it is stopped', async () => {
    await delay(1500);
    const startedMs = performance.now();
    assert.equal(await gateway.stop(), 0);
    assert.ok(performance.now() - startedMs < 10_000);
  });
});

describe('on a platform without long polls', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let server: RawServer;

  before(async () => {
    platform = await startPlatform();
    server = await startRawServer((socket, { head }) => {
      if (head.startsWith('POST /provision/')) socket.end(httpAnswer('200 OK', 'a'.repeat(40)));
      else socket.end(httpAnswer(/^request-timeout/im.test(head) ? '404 Not Found' : '204 No Content'));
    });
    gateway = await createGateway(platform, { settings: { long_poll: 'on' } });
    gateway.gwe('--set', `platform_url=${server.url}`);
    gateway.gwe('--set', 'update_interval=14400');
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await server.close();
    await platform.close();
  });

  test('an agent says what is wrong in its log and status, and goes on with its check-ins', async () => {
    await until(() => /poll\.failed .*status 404/.test(gateway.log()));
    const { checkIn } = JSON.parse(gateway.gwe('status', '--json').stdout);
    assert.match(checkIn.longPoll.problem, /status 404/);
    process.kill(gateway.pid(), 'SIGHUP');
    await until(() => gateway.log().match(/checkin\.done/g)?.length === 2);
    assert.match(
      gateway.gwe('status').stdout,
      /; long polls do not work: cannot wait for alias 'engine_fetch'/,
    );
    assert.equal(await gateway.stop(), 0);
  });
});
