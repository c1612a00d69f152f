/**
 * Updates over lines that break, stall and crawl: they get through, and no verified byte is fetched twice, that is, over the
 * wire come the artifact's bytes and at most one chunk more for each break. GWE_FAULTS=full breaks more often.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, describe, type TestContext, test } from 'node:test';
import { type BadLine, startBadLine } from '../helpers/bad-line.ts';
import { FULL, installCommand, printTotals } from '../helpers/fault-rig.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';

const COMMAND = process.env.GWE_COMMAND?.split(' ') ?? [EXECUTABLE];
/** What one read from a socket brings at most. */
const CHUNK_BYTES = 64 * 1024;
const TIMES = FULL ? 20 : 2;
const DEADLINE_MS = FULL ? 300_000 : 90_000;

interface Stage {
  platform: TestPlatform;
  line: BadLine;
  gateway: Gateway;
}

async function setUp(
  t: TestContext,
  serial: string,
  settings: Record<string, string | number> = {},
): Promise<Stage> {
  const platform = await startPlatform();
  const line = await startBadLine(platform.url);
  const gateway = await createGateway(
    { ...platform, url: line.url },
    { command: COMMAND, serial, settings: { http_timeout: 2, ...settings } },
  );
  t.after(async () => {
    await gateway.remove();
    await line.close();
    await platform.close();
  });
  return { platform, line, gateway };
}

/** An artifact that does not shrink. */
function artifact(version: string, sizeBytes: number): Buffer {
  return makeTarball({
    'install.sh': INSTALL_OK,
    VERSION: version,
    blob: { content: randomBytes(sizeBytes) },
  });
}

const totals = { updates: 0, breaks: 0, bytes: 0, twice: 0, violations: 0 };

/** What was fetched against what had to be; of each break only what was in flight may have been lost. */
function account(name: string, line: BadLine, sizeBytes: number, breaks: number, wasted = 0): void {
  const twice = Math.max(0, line.contentBytes() - sizeBytes - wasted);
  console.log(
    `network: ${name}: ${sizeBytes} bytes of artifact, ${line.contentBytes()} fetched, ${breaks} breaks, ${twice} fetched twice`,
  );
  totals.updates++;
  totals.breaks += breaks;
  totals.bytes += line.contentBytes();
  totals.twice += twice;
  const isFine = line.contentBytes() >= sizeBytes && twice <= breaks * CHUNK_BYTES;
  if (!isFine) totals.violations++;
  assert.ok(isFine, `${twice} bytes twice for ${breaks} breaks, ${line.contentBytes()} of ${sizeBytes}`);
}

describe('over a bad line', { concurrency: true }, () => {
  const startedMs = performance.now();
  after(() => {
    const { updates, breaks, bytes, twice, violations } = totals;
    const what = `${updates} updates, ${breaks} breaks, ${bytes} bytes fetched, ${twice} of them twice (in flight when the line broke)`;
    printTotals('network', startedMs, violations, what);
  });

  for (const how of ['close', 'reset', 'stall'] as const) {
    test(`an answer that ends in the middle (${how}) is gone on with`, async (t) => {
      const { platform, line, gateway } = await setUp(t, `gw-${how}`);
      const bytes = artifact('1', 40_000 * (TIMES + 1));
      await platform.putContent('p1', 'one.v1.tar.gz', bytes);
      line.breakAfter(40_000, how, TIMES);
      gateway.start();
      const report = await gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
      assert.equal(report.outcome, 'installed', JSON.stringify(report));
      assert.equal(line.breaks(), TIMES);
      account(how, line, bytes.length, line.breaks());
      assert.equal(report.bytes, line.contentBytes(), 'the report tells what it cost');
    });
  }

  test('an artifact that is exchanged in the middle of its download starts over and arrives whole', async (t) => {
    const { platform, line, gateway } = await setUp(t, 'gw-changed');
    const before = artifact('1', 300_000);
    const later = artifact('1', 250_000);
    await platform.putContent('p1', 'one.v1.tar.gz', before);
    line.limitRate(400_000);
    line.breakAfter(100_000, 'close', 1, () => {
      void platform.putContent('p1', 'one.v1.tar.gz', later);
    });
    gateway.start();
    const report = await gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    account('changed file', line, later.length, 1, 100_000);
  });

  test('a gwe that is killed again and again goes on where it was', async (t) => {
    const { platform, line, gateway } = await setUp(t, 'gw-killed');
    const bytes = artifact('1', 300_000);
    await platform.putContent('p1', 'one.v1.tar.gz', bytes);
    line.limitRate(100_000);
    gateway.start();
    const reported = gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
    reported.catch(() => undefined);
    for (let kill = 1; kill <= 3; kill++) {
      const goal = (bytes.length * kill) / 4;
      await until(() => line.contentBytes() >= goal, DEADLINE_MS);
      await gateway.kill();
      gateway.start();
    }
    const report = await reported;
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    account('killed', line, bytes.length, 3);
  });

  test('of an update by chunks nothing is fetched twice either, also by a gwe that is killed', async (t) => {
    const parts = ['begin', 'changed', 'end'].map((name) => ({ name, bytes: randomBytes(300_000) }));
    const version = (number: string): Promise<Buffer> => {
      const files = parts.map(({ name, bytes }) => [
        name,
        { content: name === 'changed' ? randomBytes(300_000) : bytes },
      ]);
      return makeIndexed(
        { name: 'one', version: number },
        { 'install.sh': INSTALL_OK, ...Object.fromEntries(files) },
      );
    };
    const items = [await version('1'), await version('2')];
    const run = async (serial: string, disturb: (stage: Stage) => Promise<void>): Promise<Stage> => {
      const stage = await setUp(t, serial);
      const { platform, gateway, line } = stage;
      for (const [index, bytes] of items.entries())
        await platform.putContent('p1', `one.v${index + 1}.tar.gz`, bytes, '');
      gateway.start();
      await gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
      const before = line.contentBytes();
      const reported = gateway.command(platform, installCommand('one.v2.tar.gz'), DEADLINE_MS);
      reported.catch(() => undefined);
      await disturb(stage);
      const report = await reported;
      assert.equal(report.outcome, 'installed', JSON.stringify(report));
      return { ...stage, line: { ...line, contentBytes: () => line.contentBytes() - before } };
    };
    const calm = (await run('gw-calm', async () => undefined)).line.contentBytes();
    assert.ok(calm > 300_000 && calm < 350_000, `${calm} bytes for one part of three`);
    const { line } = await run('gw-cut', async ({ line, gateway }) => {
      line.limitRate(200_000);
      line.breakAfter(40_000, 'reset', TIMES);
      await until(() => line.breaks() > 0, DEADLINE_MS);
      await gateway.kill();
      gateway.start();
    });
    account('chunks', line, calm, TIMES + 1);
  });

  test('a line of 15 kbit/s carries an update', async (t) => {
    const { platform, line, gateway } = await setUp(t, 'gw-slow');
    const bytes = artifact('1', FULL ? 100_000 : 8_000);
    await platform.putContent('p1', 'one.v1.tar.gz', bytes);
    line.limitRate(1875);
    gateway.start();
    const report = await gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    account('15 kbit/s', line, bytes.length, 0);
  });

  test('a link that loses and delays packets carries an update', async (t) => {
    const link = makeLossyLink(`gwe${process.pid % 10_000}`);
    if (link === undefined)
      console.log('network: no network namespaces here: packets are only lost by the relay');
    else t.after(() => link.remove());
    const { platform, line, gateway } = await setUpBehind(t, link);
    const bytes = artifact('1', FULL ? 400_000 : 60_000);
    await platform.putContent('p1', 'one.v1.tar.gz', bytes);
    if (link === undefined) line.breakAfter(20_000, 'reset', 3);
    gateway.start();
    const report = await gateway.command(platform, installCommand('one.v1.tar.gz'), DEADLINE_MS);
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    account(link === undefined ? 'relay with resets' : '5 % loss, 100 ms', line, bytes.length, 3);
  });
});

interface LossyLink {
  /** The platform's address on it. */
  host: string;
  /** Puts a command behind it. */
  wrap: readonly string[];
  remove(): void;
}

/** Two ends of a cable, one in a network namespace of its own; `undefined` where that is not allowed. */
function makeLossyLink(name: string): LossyLink | undefined {
  const ip = (...args: string[]): boolean => spawnSync('ip', args).status === 0;
  const remove = (): void => {
    ip('netns', 'del', name);
    ip('link', 'del', `${name}a`);
  };
  const host = '10.213.77.1';
  const netem = ['qdisc', 'add', 'dev', `${name}b`, 'root', 'netem', 'loss', '5%', 'delay', '50ms'];
  const isMade =
    ip('netns', 'add', name) &&
    ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`) &&
    ip('link', 'set', `${name}b`, 'netns', name) &&
    ip('addr', 'add', `${host}/30`, 'dev', `${name}a`) &&
    ip('link', 'set', `${name}a`, 'up') &&
    ip('netns', 'exec', name, 'ip', 'addr', 'add', '10.213.77.2/30', 'dev', `${name}b`) &&
    ip('netns', 'exec', name, 'ip', 'link', 'set', `${name}b`, 'up') &&
    ip('netns', 'exec', name, 'tc', ...netem) &&
    spawnSync(
      'tc',
      netem.map((word) => (word === `${name}b` ? `${name}a` : word)),
    ).status === 0;
  if (isMade) return { host, wrap: ['ip', 'netns', 'exec', name], remove };
  remove();
  return undefined;
}

async function setUpBehind(t: TestContext, link: LossyLink | undefined): Promise<Stage> {
  const platform = await startPlatform();
  const line = await startBadLine(platform.url, link?.host);
  const gateway = await createGateway(
    { ...platform, url: line.url },
    {
      command: [...(link?.wrap ?? []), ...COMMAND],
      serial: 'gw-link',
      settings: { http_timeout: 10, insecure_http: 'true' },
    },
  );
  t.after(async () => {
    await gateway.remove();
    await line.close();
    await platform.close();
  });
  return { platform, line, gateway };
}
