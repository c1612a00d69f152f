/** A disk that is full: of the reserve, for the tarball, for what is in it, or for gwe's own records. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { asRoot } from '../../../helpers/as-root.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const MIB = 1024 * 1024;

const rootTest = asRoot(import.meta.filename);

describe('a full disk', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const mounts: string[] = [];
  let serial = 0;

  async function createAgent(settings: Record<string, number>): Promise<Gateway> {
    const gateway = await createGateway(platform, { serial: `gw-${++serial}`, settings });
    gateways.push(gateway);
    return gateway;
  }

  /** Puts a small file system under `path` of the gateway, as root; elsewhere the tests stay with the reserve. */
  function mountSmall(gateway: Gateway, path: string, sizeBytes: number): string {
    const directory = join(gateway.root, path);
    mkdirSync(directory, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'gwe-test', directory]);
    mounts.push(directory);
    return directory;
  }

  function fill(directory: string): void {
    const bytes = Buffer.alloc(64 * 1024);
    for (let size = bytes.length; size >= 1; size = Math.floor(size / 4)) {
      try {
        for (;;) writeFileSync(join(directory, 'filler'), bytes.subarray(0, size), { flag: 'a' });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  }

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, VERSION: '1' }));
    // Two megabytes of zeros in two kilobytes: the tarball fits, what is in it does not.
    const zeros = { content: Buffer.alloc(2 * MIB) };
    await platform.putContent('p1', 'app.v2.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, zeros }));
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    for (const directory of mounts) execFileSync('umount', ['-l', directory]);
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await platform.close();
  });

  test('what would eat into the reserve is not fetched; with space again the next command works', async () => {
    const gateway = await createAgent({ disk_reserve_bytes: Number.MAX_SAFE_INTEGER });
    gateway.start();
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.deepEqual(
      [report?.outcome, report?.code, report?.bytes],
      ['failed-no-change', 'STORE_NO_SPACE', 0],
    );
    assert.match(String(report?.reason), /\d+ bytes free on the disk of .+, expected \d+ with the reserve/);
    assert.equal(gateway.gwe('--set', 'disk_reserve_bytes=0').status, 0);
    const [again] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(again?.outcome, 'installed', JSON.stringify(again));
  });

  rootTest(
    'what does not fit unpacked is taken away again, the version before stays, and the agent lives',
    async () => {
      const gateway = await createAgent({ disk_reserve_bytes: 0 });
      const apps = mountSmall(gateway, 'opt/gwe/apps', MIB);
      gateway.start();
      const reports = await sendCommand(
        platform,
        gateway,
        installCommand('app.v1.tar.gz', 'app.v2.tar.gz'),
        2,
      );
      assert.equal(reports[0]?.outcome, 'installed', JSON.stringify(reports[0]));
      const [, report] = reports;
      const facts = [report?.outcome, report?.code, report?.active];
      assert.deepEqual(facts, ['failed-no-change', 'STORE_NO_SPACE', '1'], JSON.stringify(report));
      assert.equal(readFileSync(join(apps, 'app/current/VERSION'), 'utf8'), '1');
      assert.deepEqual(gateway.versions('app'), [gateway.active('app')]);
    },
  );

  rootTest(
    'with no room for a record the platform is told once, the command waits, and is carried out later',
    async () => {
      const gateway = await createAgent({ disk_reserve_bytes: 0 });
      const state = mountSmall(gateway, 'var/lib/gwe', 256 * 1024);
      gateway.start();
      await waitUntil(gateway, 'first check-in', 30_000, () => gateway.log().includes('checkin.done'));
      fill(state);
      const command = installCommand('app.v1.tar.gz');
      const [report] = await sendCommand(platform, gateway, command);
      assert.deepEqual([report?.outcome, report?.code], ['failed-no-change', 'STORE_NO_SPACE']);
      assert.match(String(report?.reason), /no space left on the file system.*the command waits/);
      const failures = (): number => gateway.log().split('checkin.failed code=STORE_NO_SPACE').length;
      await waitUntil(gateway, 'more tries', 30_000, () => failures() > 3);
      assert.equal((await platform.history('p1', gateway.serial, 'fetch_status')).length, 1);
      assert.equal(await platform.read('p1', gateway.serial, 'engine_fetch'), command);
      rmSync(join(state, 'filler'));
      await waitUntil(gateway, 'installation', 30_000, () => gateway.active('app') !== undefined);
      assert.equal(gateway.isRunning(), true);
    },
  );

  rootTest(
    'an update whose install.sh fills the disk is taken back and reported while it is full',
    async () => {
      const gateway = await createAgent({ disk_reserve_bytes: 0 });
      const state = mountSmall(gateway, 'var/lib/gwe', 4 * MIB);
      const filler = join(state, 'filler');
      const flag = join(gateway.root, 'fill');
      writeFileSync(flag, '');
      const fills = `#!/bin/sh\n[ ! -e '${flag}' ] || head -c 9000000 /dev/zero >'${filler}'\nexit 7\n`;
      await platform.putContent('p1', 'app.v3.tar.gz', makeTarball({ 'install.sh': fills }));
      gateway.start();
      const command = installCommand('app.v1.tar.gz', 'app.v3.tar.gz');
      const [before, report] = await sendCommand(platform, gateway, command, 2);
      assert.equal(before?.outcome, 'installed', JSON.stringify(before));
      const facts = [report?.outcome, report?.code, report?.exitcode, report?.active];
      assert.deepEqual(facts, ['rolled-back', 'INSTALL_FAILED', 7, '1'], JSON.stringify(report));
      assert.equal(
        existsSync(join(state, 'ballast')),
        false,
        'the room that was kept for this is not in use',
      );
      rmSync(flag);
      rmSync(filler);
      const [again] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
      assert.match(String(again?.outcome), /installed|unchanged/, JSON.stringify(again));
      await waitUntil(gateway, 'room kept again', 30_000, () => existsSync(join(state, 'ballast')));
    },
  );

  rootTest('a key that could not be stored is not asked for', async () => {
    const gateway = await createAgent({});
    const etc = join(gateway.root, 'etc/gwe');
    const files = ['Gateway.cfg', 'Engine.config'].map(
      (name) => [name, readFileSync(join(etc, name))] as const,
    );
    mountSmall(gateway, 'etc/gwe', 64 * 1024);
    for (const [name, text] of files) writeFileSync(join(etc, name), text);
    fill(etc);
    gateway.start();
    await waitUntil(gateway, 'refusal', 30_000, () => /code=STORE_NO_SPACE/.test(gateway.log()));
    rmSync(join(etc, 'filler'));
    await waitUntil(gateway, 'activation', 30_000, () => gateway.log().includes('provision.done'));
    assert.equal(existsSync(join(gateway.root, 'etc/gwe/Gateway.cfg')), true);
    assert.match(gateway.gwe('-C').stdout, /^[0-9A-Za-z]{40}\n$/);
  });
});
