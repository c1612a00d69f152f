/** Where the secrets of a full run are: nowhere but in the files that are meant to hold them, and those are 0600. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGateway } from '../helpers/gateway.ts';
import { startPlatform } from '../helpers/platform.ts';
import { installCommand, sendCommand } from '../helpers/reports.ts';
import { makeTarball } from '../helpers/tarball.ts';

/** Paths of regular files below `directory` that contain one of `secrets`, with their modes. */
function holders(directory: string, secrets: readonly string[]): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((path) => {
      const stat = lstatSync(join(directory, path));
      if (!stat.isFile()) return [];
      const text = readFileSync(join(directory, path), 'latin1');
      const isHolder = secrets.some((secret) => text.includes(secret));
      return isHolder ? [`${path} ${(stat.mode & 0o777).toString(8)}`] : [];
    });
}

/** Process titles and environments of all processes that show one of `secrets`, this one left out. */
function showing(secrets: readonly string[]): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const text = ['cmdline', 'environ']
        .map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1'))
        .join();
      return secrets.some((secret) => text.includes(secret));
    } catch {
      return false;
    }
  });
}

test('the key and the admin token show up in no log, report, record, process title or readable file', async () => {
  const platform = await startPlatform({ adminToken: 'token-that-nobody-may-see-4711' });
  const gateway = await createGateway(platform);
  try {
    const script = (line: string) => ({
      'install.sh': `#!/bin/sh\nenv; set; cat /proc/$PPID/cmdline; ${line}\n`,
    });
    await platform.putContent('p1', 'good.v1.tar.gz', makeTarball(script('exit 0')));
    await platform.putContent('p1', 'bad.v1.tar.gz', makeTarball(script('exit 3')));
    gateway.start();
    const command = installCommand('good.v1.tar.gz', 'bad.v1.tar.gz', 'none.v1.tar.gz');
    const reports = await sendCommand(platform, gateway, command, 3);
    const cik = /^cik *= *([0-9a-f]{40})$/m.exec(
      readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'),
    )?.[1];
    assert.ok(cik !== undefined, 'the gateway has a key');
    const secrets = [cik, platform.token];
    assert.deepEqual(showing(secrets), []);
    // A fault of the line, and one of the key: both are told, neither with the key.
    await platform.disableDevice('p1', 'gw-1');
    const told = ['status', 'history', 'list'].map((word) => {
      const { stdout, stderr } = gateway.gwe(word);
      return stdout + stderr;
    });
    await gateway.stop();
    for (const secret of secrets) {
      assert.ok(!gateway.log().includes(secret), 'in the log');
      assert.ok(!JSON.stringify(reports).includes(secret), 'in a report');
      assert.ok(!told.join().includes(secret), 'in what a command prints');
    }
    assert.deepEqual(holders(gateway.root, secrets), ['etc/gwe/Gateway.cfg 600']);
    const open = holders(platform.directory, secrets).filter((found) => !found.endsWith(' 600'));
    assert.deepEqual(open, [], 'on the platform');
  } finally {
    await gateway.remove();
    await platform.close();
  }
});
