/** supervisor.conf files that would stop supervisord at its next start, and names that are the operator's. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand } from '../../../helpers/reports.ts';
import { readBySupervisord, type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

function app(...lines: string[]): Buffer {
  const conf = ['[supervisord]', 'command = sleep 1000', ...lines, ''].join('\n');
  return makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': conf });
}

/** What each line is, and what the report has to say of it. */
const BAD_LINES: readonly (readonly [line: string, reason: RegExp])[] = [
  ['environment = A="100%"', /line 3: environment .*%/],
  ['startretries = many', /line 3: startretries is 'many', expected/],
  ['environment = A="open', /line 3: environment /],
];

/** install.sh may create users and directories, so these are known only after it has run. */
const BAD_AFTER_INSTALL: typeof BAD_LINES = [
  ['user = nobody-of-this-name', /line 3: user is 'nobody-of-this-name', expected/],
  ['stdout_logfile = /no/such/directory/app.log', /line 3: stdout_logfile .*directory/],
];

describe('program entries', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings: { settle_time: 0 } });
    supervisord = await startSupervisord(gateway.root);
    gateway.start();
    await platform.putContent('p1', 'app.v1.tar.gz', app());
    const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(first?.outcome, 'installed', JSON.stringify(first));
  });
  after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });

  /** Sends one version for each bad line; every one has to be reported with `outcome` and its reason. */
  async function sendBad(lines: typeof BAD_LINES, version: string, outcome: string): Promise<void> {
    const ids = lines.map((_line, index) => `app.v${version}-${index}.tar.gz`);
    for (const [index, [line]] of lines.entries())
      await platform.putContent('p1', ids[index] ?? '', app(line));
    const reports = await sendCommand(platform, gateway, installCommand(...ids), ids.length);
    for (const [index, [line, reason]] of lines.entries()) {
      const report = reports[index];
      const facts = [report?.outcome, report?.code, report?.active];
      assert.deepEqual(facts, [outcome, 'SUPERVISOR_PROGRAM_INVALID', '1'], line);
      assert.match(String(report?.reason), reason);
    }
  }

  const entryText = (): string => readFileSync(join(supervisord.confDirectory, 'app.conf'), 'utf8');

  test('a bad percent sign, integer or quote is rejected with its line, and nothing changes', async () => {
    const before = [entryText(), (await supervisord.processInfo('app'))?.pid, gateway.active('app')];
    await sendBad(BAD_LINES, '2', 'rejected');
    const now = [entryText(), (await supervisord.processInfo('app'))?.pid, gateway.active('app')];
    assert.deepEqual(now, before);
    assert.equal(readBySupervisord(supervisord.configFile), undefined);
  });

  test('a user or log directory that install.sh did not create is rolled back, and no bad entry is written', async () => {
    const before = [entryText(), gateway.active('app')];
    await sendBad(BAD_AFTER_INSTALL, '3', 'rolled-back');
    assert.deepEqual([entryText(), gateway.active('app')], before);
    assert.equal((await supervisord.processInfo('app'))?.statename, 'RUNNING');
    assert.equal(readBySupervisord(supervisord.configFile), undefined);
  });

  test('a program that the operator wrote keeps its file byte by byte and its process, and the app is refused', async () => {
    const path = join(supervisord.confDirectory, 'mine.conf');
    const text = '[program:mine]\ncommand=sleep   2000\n; by hand\n\n';
    writeFileSync(path, text);
    execFileSync('/usr/bin/supervisorctl', ['-s', `unix://${supervisord.socketPath}`, 'update'], {
      stdio: 'ignore',
    });
    await until(async () => (await supervisord.processInfo('mine'))?.statename === 'RUNNING');
    const pid = (await supervisord.processInfo('mine'))?.pid;
    await platform.putContent('p1', 'mine.v1.tar.gz', app());
    const [report] = await sendCommand(platform, gateway, installCommand('mine.v1.tar.gz'));
    assert.deepEqual([report?.outcome, report?.code], ['rejected', 'SUPERVISOR_FOREIGN_PROGRAM']);
    assert.match(String(report?.reason), /mine\.conf' was not written by gwe, expected/);
    assert.equal(readFileSync(path, 'utf8'), text);
    assert.deepEqual(readdirSync(supervisord.confDirectory).sort(), ['app.conf', 'mine.conf']);
    assert.equal((await supervisord.processInfo('mine'))?.pid, pid);
    assert.equal(gateway.active('mine'), undefined);
  });
});
