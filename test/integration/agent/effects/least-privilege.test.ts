/** What install.sh and health.sh get: descriptors, umask, environment, and user and limits where they are set. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { confine } from '../../../../src/base/confine.ts';
import { createGateway, FROM_SOURCE, type Gateway, type GatewayOptions } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand } from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

/** Started by something that left a descriptor open. */
const LEAKY = ['/bin/sh', '-c', 'exec 9</dev/null; exec "$@"', 'sh', ...FROM_SOURCE];
const isRoot = process.getuid?.() === 0;

describe('install.sh', { concurrency: 2 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];

  before(async () => {
    platform = await startPlatform();
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await platform.close();
  });

  let count = 0;
  /** The report on an installer with these lines, on a fresh gateway with these settings. */
  async function run(lines: string, options: GatewayOptions = {}): Promise<Record<string, unknown>> {
    const serial = `gw-${++count}`;
    const id = `app${count}.v1.tar.gz`;
    await platform.putContent('p1', id, makeTarball({ 'install.sh': `#!/bin/sh\n${lines}\n` }));
    const gateway = await createGateway(platform, { serial, ...options });
    gateways.push(gateway);
    chmodSync(gateway.root, 0o755);
    gateway.start();
    const [report] = await sendCommand(platform, gateway, installCommand(id));
    await gateway.stop();
    return report ?? {};
  }

  test('has three open descriptors, umask 022, and nothing of what would change a runtime', async () => {
    const env = {
      NODE_OPTIONS: '--no-warnings',
      LD_LIBRARY_PATH: '/nowhere',
      BASH_ENV: '/nowhere',
      KEPT: 'yes',
    };
    const report = await run('ls -l /proc/$$/fd; umask; env; id -u', { env, command: LEAKY });
    const info = String(report.info);
    const open = [...info.matchAll(/ (\d+) -> (.*)$/gm)].filter((match) => !match[2]?.endsWith('install.sh'));
    assert.deepEqual(
      open.map((match) => match[1]),
      ['0', '1', '2'],
      info,
    );
    assert.match(info, /^0?022$/m);
    assert.match(info, /^KEPT=yes$/m);
    assert.doesNotMatch(info, /^(NODE_|LD_|BASH_ENV|GWE_ROOT)/m);
    assert.match(info, new RegExp(`^${process.getuid?.()}$`, 'm'), 'as the user of gwe, by default');
  });

  test('runs as run_as, without further groups, and cannot change what it came with', async () => {
    const report = await run('id -u; id -G; echo $USER; touch mine 2>/dev/null || echo read-only', {
      settings: { run_as: 'nobody' },
    });
    if (isRoot) {
      const [uid, groups, name, write] = String(report.info).trim().split('\n');
      assert.equal(report.outcome, 'installed', JSON.stringify(report));
      assert.notEqual(uid, '0');
      assert.equal(groups?.split(' ').length, 1);
      assert.deepEqual([name, write], ['nobody', 'read-only']);
    } else {
      assert.equal(report.outcome, 'failed-no-change');
      assert.match(String(report.reason), /gwe does not run as root/);
    }
  });

  test('a run_as that does not exist is said before anything is touched', async () => {
    const report = await run('exit 0', { settings: { run_as: 'no-such-user' } });
    assert.deepEqual([report.outcome, report.code], ['failed-no-change', 'CONFIG_INVALID']);
    assert.match(String(report.reason), /'no-such-user' \(run_as\): no such user in \/etc\/passwd/);
  });

  test('is held to limit_cpu, limit_memory, limit_file_size and limit_processes', async () => {
    const report = await run('cat /proc/self/limits', {
      settings: {
        limit_cpu: 70,
        limit_memory: 1_073_741_824,
        limit_file_size: 1_048_576,
        limit_processes: 5000,
      },
    });
    const info = String(report.info);
    assert.match(info, /Max cpu time +70 +70 /);
    assert.match(info, /Max address space +1073741824 +1073741824 /);
    assert.match(info, /Max file size +1048576 +1048576 /);
    assert.match(info, /Max processes +5000 +5000 /);
  });

  test('an installer that writes without end, or computes without end, is ended by its limits', async () => {
    const settings = { limit_file_size: 65_536, limit_cpu: 1 };
    const endless = await run('cat /dev/zero > "$HOME/endless" && exit 0; exit 7', { settings });
    assert.match(String(endless.reason), /install.sh (exited with status 7|was ended by SIGXFSZ)/);
    const spinning = await run('while :; do :; done', { settings });
    assert.match(String(spinning.reason), /install.sh was ended by SIG(XCPU|KILL)/);
  });
});

test('without limits no shell stands in between', () => {
  const none = { cpuS: 0, memoryBytes: 0, processes: 0, fileBytes: 0 };
  assert.deepEqual(confine(['./install.sh'], none), ['./install.sh']);
});
