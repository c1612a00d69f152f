/** A program entry that the boot guard has set aside: gwe puts it back once it can be read, and tells of both. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGateway } from '../../../helpers/gateway.ts';
import { startPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

test('an entry that was set aside at a start comes back without help, and the reports say so in between', async (t) => {
  const platform = await startPlatform();
  const gateway = await createGateway(platform, { settings: { settle_time: 0 } });
  const first = await startSupervisord(gateway.root, { env: { GREETING: '50%' } });
  let supervisord = first;
  t.after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });
  const logs = join(gateway.root, 'var/log/app');
  const conf = `[supervisord]\ncommand = sleep 1000\nstdout_logfile = ${logs}/app.log\nenvironment = A="%(ENV_GREETING)s"\n`;
  const files = { 'install.sh': `#!/bin/sh\nmkdir -p ${logs}\n`, 'supervisor.conf': conf };
  await platform.putContent('p1', 'app.v1.tar.gz', makeTarball(files));
  gateway.start();
  const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'), 1, 90_000);
  assert.equal(report?.outcome, 'installed', JSON.stringify(report));
  assert.match(String(report?.notes), /holds the present value of GREETING/);
  assert.doesNotMatch(JSON.stringify(report), /50%/);
  const entry = join(first.confDirectory, 'app.conf');
  assert.equal(statSync(entry).mode & 0o777, 0o600);
  // As a reboot without that directory would leave it, by the guard of an older gwe.
  await gateway.stop();
  await supervisord.stop();
  rmSync(logs, { recursive: true });
  const bad = `${first.confDirectory}.bad`;
  mkdirSync(bad);
  renameSync(entry, join(bad, 'app.conf'));
  writeFileSync(join(bad, 'app.why'), 'Error: no such directory\n');
  supervisord = await startSupervisord(gateway.root, { env: { GREETING: '50%' } });
  gateway.start();
  await waitUntil(gateway, 'report of it', 60_000, async () =>
    (await platform.history('p1', gateway.serial, 'engine_report')).some(({ value }) =>
      value.includes('its program entry is set aside: Error: no such directory'),
    ),
  );
  mkdirSync(logs);
  await waitUntil(
    gateway,
    'program',
    60_000,
    async () => (await supervisord.processInfo('app'))?.statename === 'RUNNING',
  );
  await waitUntil(gateway, 'log', 10_000, () => gateway.log().includes('supervisor.put-back'));
  assert.equal(existsSync(join(bad, 'app.conf')), false);
});
