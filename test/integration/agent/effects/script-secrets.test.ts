/** What a script prints may be a secret: it is in the report and for root, and in no file that others may read. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGateway } from '../../../helpers/gateway.ts';
import { startPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand } from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const SECRET = 'password=hunter2';
const MAY_READ = 0o044;

function readableByOthers(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const stat = lstatSync(join(root, name));
    return stat.isFile() && (stat.mode & MAY_READ) !== 0;
  });
}

test('what a failed install.sh has printed is reported, and is in no file that others may read', async (t) => {
  const platform = await startPlatform();
  const gateway = await createGateway(platform);
  t.after(async () => {
    await gateway.remove();
    await platform.close();
  });
  const script = (text: string): Buffer => makeTarball({ 'install.sh': `#!/bin/sh\n${text}\n` });
  await platform.putContent('p1', 'app.v1.tar.gz', script('true'));
  await platform.putContent('p1', 'app.v2.tar.gz', script(`echo ${SECRET}; exit 1`));
  gateway.start();
  const [, report] = await sendCommand(
    platform,
    gateway,
    installCommand('app.v1.tar.gz', 'app.v2.tar.gz'),
    2,
  );
  assert.match(String(report?.reason), new RegExp(SECRET));
  // The same bytes once more are refused by what is on record.
  await sendCommand(platform, gateway, installCommand('app.v2.tar.gz'), 1);
  await gateway.stop();
  const files = readableByOthers(gateway.root);
  const holding = files.filter((name) => readFileSync(join(gateway.root, name), 'utf8').includes(SECRET));
  assert.deepEqual(
    holding.filter((name) => !name.endsWith('/install.sh')),
    [],
  );
  assert.doesNotMatch(gateway.log(), new RegExp(SECRET), 'supervisord keeps the log for everybody');
  for (const state of ['installed.json', 'history.json'])
    assert.ok(
      files.includes(`var/lib/gwe/${state}`),
      `'gwe list' and 'history' go on for everybody: ${state}`,
    );
  assert.match(gateway.gwe('logs', 'app', '--install').stdout, new RegExp(SECRET));
});
