/** Programs on their own terms: how long they take to start and to end, and whether they are to run at all. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type CommandLine, createCommandLine } from '../../../helpers/command-line.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

let line: CommandLine;
let supervisord: Supervisord;

before(async () => {
  line = createCommandLine(undefined, { start_deadline: 1, install_timeout: 600 });
  supervisord = await startSupervisord(line.root);
});
after(async () => {
  await supervisord.stop();
  line.remove();
});

function install(app: string, version: string, ...options: string[]): Record<string, unknown> {
  const conf = ['[supervisord]', 'command = sleep 1000', ...options, ''].join('\n');
  const files = { 'install.sh': INSTALL_OK, 'supervisor.conf': conf, version };
  const path = line.file(`${app}.v${version}.tar.gz`, makeTarball(files));
  const { stdout, stderr } = line.gwe('-I', path, '--json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout).installs[0] as Record<string, unknown>;
}

test('a program that takes longer to count as started than the gateway waits is given its time', async () => {
  const report = install('slow', '1', 'startsecs = 4');
  assert.equal(report.outcome, 'installed', JSON.stringify(report));
  assert.equal((await supervisord.processInfo('slow'))?.statename, 'RUNNING');
});

test('more time than install.sh itself may take is refused at the check, with the line and the limit', async () => {
  for (const option of ['startsecs', 'stopwaitsecs']) {
    const report = install('endless', '1', `${option} = 601`);
    assert.deepEqual([report.outcome, report.code], ['rejected', 'SUPERVISOR_PROGRAM_INVALID']);
    const words = new RegExp(`line 3: ${option} is '601', expected at most 600, the install_timeout`);
    assert.match(String(report.reason), words);
  }
  assert.equal(await supervisord.processInfo('endless'), undefined);
});

test('a program that had been stopped by hand stays stopped through an update, until somebody starts it', async () => {
  install('halted', '1');
  assert.equal(line.gwe('stop', 'halted').status, 0);
  const report = install('halted', '2');
  assert.deepEqual([report.outcome, report.active], ['installed', '2'], JSON.stringify(report));
  assert.match(String(report.notes), /had been stopped by hand, so it was not started/);
  assert.equal((await supervisord.processInfo('halted'))?.statename, 'STOPPED');
  assert.equal(line.gwe('start', 'halted').status, 0);
  assert.equal((await supervisord.processInfo('halted'))?.statename, 'RUNNING');
});
