/** What is kept only as long as there is room, and a run directory without any. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { asRoot } from '../../../helpers/as-root.ts';
import { createGateway, FROM_SOURCE, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const MIB = 1024 * 1024;
const INSTALL_FAILS = '#!/bin/sh\nexit 3\n';

const rootTest = asRoot(import.meta.filename);

describe('room', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const mounts: string[] = [];
  let serial = 0;

  before(async () => {
    platform = await startPlatform();
    await put('1', INSTALL_OK);
    await put('2', INSTALL_FAILS);
    await put('3', INSTALL_FAILS);
    await put('4', INSTALL_OK);
  });
  after(async () => {
    for (const directory of mounts) execFileSync('umount', ['-l', directory]);
    for (const gateway of gateways) await gateway.remove();
    await platform.close();
  });

  async function put(version: string, script: string): Promise<void> {
    const payload = { content: randomBytes(MIB) };
    const tarball = makeTarball({ 'install.sh': script, VERSION: version, payload });
    await platform.putContent('p1', `app.v${version}.tar.gz`, tarball);
  }

  async function start(t: TestContext, settings: Record<string, number> = {}): Promise<Gateway> {
    const gateway = await createGateway(platform, { serial: `room-${++serial}`, settings });
    t.after(() => gateway.stop());
    gateways.push(gateway);
    return gateway;
  }

  /** Puts a small file system under `path` of the gateway. */
  function mountSmall(gateway: Gateway, path: string, sizeBytes: number): void {
    const directory = join(gateway.root, path);
    mkdirSync(directory, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'gwe-test', directory]);
    mounts.push(directory);
  }

  async function update(gateway: Gateway, version: string): Promise<unknown> {
    const [report] = await sendCommand(platform, gateway, installCommand(`app.v${version}.tar.gz`));
    return report?.outcome === 'installed' ? 'installed' : [report?.outcome, report?.code, report?.reason];
  }

  const kept = (gateway: Gateway): string[] =>
    gateway.versions('app').flatMap((name) => (name.startsWith('.') ? [] : [name.split('-')[0] ?? '']));

  test('the version that failed last is kept until the next success', async (t) => {
    const gateway = await start(t);
    gateway.start();
    assert.equal(await update(gateway, '1'), 'installed');
    assert.match(String(await update(gateway, '2')), /rolled-back/);
    assert.deepEqual(kept(gateway), ['1', '2']);
    assert.match(String(await update(gateway, '3')), /rolled-back/);
    assert.deepEqual(kept(gateway), ['1', '3']);
    assert.equal(await update(gateway, '4'), 'installed');
    assert.deepEqual(kept(gateway), ['1', '4']);
  });

  test('what broken-off downloads left goes when its app is updated, when it is old, and when there is much', async (t) => {
    const gateway = await start(t);
    const downloads = join(gateway.root, 'var/lib/gwe/downloads');
    mkdirSync(downloads, { recursive: true });
    const leave = (name: string, ageDays: number): void => {
      const writtenS = Date.now() / 1000 - ageDays * 24 * 3600;
      for (const file of [name, `${name}.info`]) {
        writeFileSync(join(downloads, file), '{}');
        utimesSync(join(downloads, file), writtenS, writtenS);
      }
    };
    leave('old.v1.tar.gz', 31);
    leave('app.v0.tar.gz', 1);
    for (let n = 1; n <= 10; n++) leave(`other.v${n}.tar.gz`, n);
    gateway.start();
    const isGone = (name: string) => () => !existsSync(join(downloads, `${name}.info`));
    await waitUntil(gateway, 'sweep', 20_000, isGone('old.v1.tar.gz'));
    assert.ok(isGone('other.v9.tar.gz')());
    assert.ok(existsSync(join(downloads, 'app.v0.tar.gz')));
    assert.equal(await update(gateway, '1'), 'installed');
    await waitUntil(gateway, 'sweep after the update', 20_000, isGone('app.v0.tar.gz'));
    const left = readdirSync(downloads).filter((name) => name.endsWith('.info'));
    assert.ok(left.length <= 8 && left.includes('other.v1.tar.gz.info'), left.join());
  });

  rootTest('a version that failed makes room for the next one, and gwe plan says so', async (t) => {
    const gateway = await start(t, { disk_reserve_bytes: MIB / 2 });
    mountSmall(gateway, 'opt/gwe', 4 * MIB);
    gateway.start();
    assert.equal(await update(gateway, '1'), 'installed');
    assert.match(String(await update(gateway, '2')), /rolled-back/);
    writeFileSync(join(gateway.root, 'opt/gwe/filler'), Buffer.alloc(MIB / 2));
    const half = join(gateway.root, 'opt/gwe/apps/other/.part-0123456789abcdef');
    mkdirSync(half, { recursive: true });
    const [program = '', ...first] = FROM_SOURCE;
    const env = { PATH: process.env.PATH ?? '', GWE_ROOT: gateway.root };
    // Fails on its own where the plan is a refusal.
    const plan = await promisify(execFile)(program, [...first, 'plan', 'app.v4.tar.gz'], { env });
    assert.match(plan.stdout, /are removed first, to make room/);
    assert.equal(await update(gateway, '4'), 'installed');
    assert.deepEqual(kept(gateway), ['1', '4']);
    assert.equal(existsSync(half), false);
  });

  rootTest('with no room for a lock the agent waits, and goes on when there is some', async (t) => {
    const gateway = await start(t);
    mountSmall(gateway, 'run/gwe', 64 * 1024);
    const filler = join(gateway.root, 'run/gwe/filler');
    const fill = (): void => {
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(4096), { flag: 'a' });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    };
    fill();
    gateway.start();
    await waitUntil(gateway, 'a try', 20_000, () => gateway.log().includes('agent.no-lock'));
    assert.equal(gateway.isRunning(), true);
    rmSync(filler);
    assert.equal(await update(gateway, '1'), 'installed');
    fill();
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand('app.v4.tar.gz'));
    await waitUntil(gateway, 'the lack', 20_000, () => gateway.log().includes('checkin.failed'));
    assert.equal(gateway.isRunning(), true);
    rmSync(filler);
    await waitUntil(gateway, 'the update', 60_000, async () => {
      const text = await platform.read('p1', gateway.serial, 'fetch_status');
      return text?.includes('"version":"4"') === true;
    });
    const told = await platform.history('p1', gateway.serial, 'fetch_status');
    assert.equal(told.filter(({ value }) => value.includes('"version":"4"')).length, 1);
    assert.equal(gateway.active('app')?.split('-')[0], '4');
  });
});
