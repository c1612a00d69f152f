/** A health.sh that has supervisord restart gwe: it outlives gwe, and the next gwe takes its status. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, FROM_SOURCE, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, waitForReports } from '../../../helpers/reports.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

describe('a health.sh that restarts gwe each time', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    const programs = join(gateway.root, 'etc/supervisor/conf.d');
    mkdirSync(programs, { recursive: true });
    const command = [...FROM_SOURCE, '--root', gateway.root].join(' ');
    const lines = [
      '[program:gwe]',
      `command = ${command}`,
      'startretries = 1000000',
      'stopwaitsecs = 60',
      'redirect_stderr = true',
      `stdout_logfile = ${join(gateway.root, 'gwe.log')}`,
    ];
    writeFileSync(join(programs, 'gwe.conf'), `${lines.join('\n')}\n`);
    supervisord = await startSupervisord(gateway.root);
  });
  after(async () => {
    await supervisord.stop();
    await gateway.remove();
    await platform.close();
  });

  /** How often health.sh of `version` began and ended. */
  function runsOf(version: string): { begun: number; ended: number } {
    const path = join(gateway.root, `runs-${version}`);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    return { begun: text.split('begun').length - 1, ended: text.split('ended').length - 1 };
  }

  async function update(version: string, status: number, known: number): Promise<Record<string, unknown>> {
    const runs = join(gateway.root, `runs-${version}`);
    const health = [
      '#!/bin/sh',
      `echo begun >>'${runs}'`,
      `/usr/bin/supervisorctl -c '${supervisord.configFile}' restart gwe`,
      `echo ended >>'${runs}'`,
      `exit ${status}`,
    ];
    const tarball = makeTarball({
      'install.sh': INSTALL_OK,
      'health.sh': { content: `${health.join('\n')}\n`, mode: 0o755 },
      'supervisor.conf': '[supervisord]\ncommand = /bin/sleep 1000\n',
      version,
    });
    await platform.putContent('p1', `app.v${version}.tar.gz`, tarball);
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand(`app.v${version}.tar.gz`));
    const reports = await waitForReports(platform, gateway, known + 1);
    return reports.at(-1) ?? {};
  }

  test('runs to its end, once for its version, and a good one keeps the version', async () => {
    const report = await update('1', 0, 0);
    assert.deepEqual([report.outcome, report.active], ['installed', '1'], JSON.stringify(report));
    assert.deepEqual(runsOf('1'), { begun: 1, ended: 1 });
    assert.equal((await supervisord.processInfo('gwe'))?.statename, 'RUNNING');
    assert.equal((await supervisord.processInfo('app'))?.statename, 'RUNNING');
  });

  test('takes its version back where it fails, and that ends too', async () => {
    const report = await update('2', 3, 1);
    assert.deepEqual([report.outcome, report.active], ['rolled-back', '1'], JSON.stringify(report));
    assert.match(String(report.reason), /health\.sh exited with status 3/);
    assert.deepEqual(runsOf('2'), { begun: 1, ended: 1 });
    assert.deepEqual(runsOf('1'), { begun: 2, ended: 2 }, 'once more after the way back');
    assert.equal((await supervisord.processInfo('app'))?.statename, 'RUNNING');
  });
});
