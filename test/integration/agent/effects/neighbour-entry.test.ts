/** A program entry in conf.d that supervisord cannot read: a neighbour's, or the app's own. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { type CommandLine, createCommandLine } from '../../../helpers/command-line.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const BROKEN = '[program:other]\ncommand = /bin/true\nnumprocs = abc\n';

let line: CommandLine;
let supervisord: Supervisord;
let neighbour: string;

before(async () => {
  line = createCommandLine();
  supervisord = await startSupervisord(line.root);
  neighbour = join(supervisord.confDirectory, 'other.conf');
});
after(async () => {
  await supervisord.stop();
  line.remove();
});
beforeEach(() => rmSync(neighbour, { force: true }));

/** A tarball whose install.sh leaves a mark and then does `work`. */
function tarball(name: string, version: string, work = 'true', command = 'sleep 1000'): string {
  const files = {
    'install.sh': `#!/bin/sh\necho ${version} >> "$HOME/${name}.ran"\n${work}\n`,
    'supervisor.conf': `[supervisord]\ncommand = ${command}\nstartretries = 0\n`,
    version,
  };
  return line.file(`${name}.v${version}.tar.gz`, makeTarball(files));
}

function install(path: string): Record<string, unknown> {
  const { stdout, stderr } = line.gwe('-I', path, '--json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout).installs[0] as Record<string, unknown>;
}

function runs(name: string): string {
  const path = join(line.cwd, `${name}.ran`);
  return existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\n', ' ').trim() : '';
}

test('an update is refused before install.sh with the words of supervisord, and works once the file is corrected', async () => {
  assert.equal(install(tarball('a', '1')).outcome, 'installed');
  const pid = (await supervisord.processInfo('a'))?.pid;
  writeFileSync(neighbour, BROKEN);
  const refused = install(tarball('a', '2'));
  assert.deepEqual([refused.outcome, refused.code], ['failed-no-change', 'SUPERVISOR_REFUSED']);
  assert.match(String(refused.reason), /invalid literal.*abc.*other\.conf.*correct or remove the file/);
  assert.equal(runs('a'), '1', 'install.sh of version 2 has not run');
  assert.equal((await supervisord.processInfo('a'))?.pid, pid, 'the program was not touched');
  rmSync(neighbour);
  assert.equal(install(tarball('a', '2')).outcome, 'installed');
});

test('of the versions that were kept from beginning one stays, however many are commanded', () => {
  for (const version of ['1', '2']) assert.equal(install(tarball('d', version)).outcome, 'installed');
  writeFileSync(neighbour, BROKEN);
  for (const version of ['3', '4', '5'])
    assert.equal(install(tarball('d', version)).outcome, 'failed-no-change');
  const versions = readdirSync(join(line.root, 'opt/gwe/apps/d')).map((name) => name.split('-')[0]);
  assert.deepEqual(versions.sort(), ['1', '2', '5', 'current']);
  rmSync(neighbour);
  assert.equal(install(tarball('d', '5')).outcome, 'installed');
});

test('plan and doctor say the same beforehand', () => {
  install(tarball('b', '1'));
  writeFileSync(neighbour, BROKEN);
  const plan = line.gwe('plan', tarball('b', '2'), '--json');
  const { code, reason } = JSON.parse(plan.stdout).refusal;
  assert.deepEqual([plan.status, code], [1, 'SUPERVISOR_REFUSED']);
  assert.match(reason, /other\.conf/);
  const { checks } = line.json('doctor', '--json') as { checks: Record<string, string>[] };
  const found = checks.find(({ id }) => id === 'supervisord');
  assert.equal(found?.status, 'fail');
  assert.match(String(found?.finding), /RUNNING, but it can no longer read its configuration.*other\.conf/);
});

test('a one-off asks nothing of supervisord, and one in the place of a program ends that', async () => {
  install(tarball('c', '1'));
  writeFileSync(neighbour, BROKEN);
  const files = { 'install.sh': '#!/bin/sh\ntrue\n' };
  assert.equal(install(line.file('once.v1.tar.gz', makeTarball(files))).outcome, 'installed');
  assert.equal(install(line.file('c.v2.tar.gz', makeTarball(files))).outcome, 'installed');
  assert.equal(await supervisord.processInfo('c'), undefined);
});

test('the way back does not need a configuration that can be read where the entry was not changed yet', async () => {
  install(tarball('d', '1'));
  for (const [version, end] of [
    ['2', 'exit 3'],
    ['3', 'true'],
  ] as const) {
    const work = `printf '${BROKEN.replaceAll('\n', '\\n')}' > ${neighbour}\n${end}`;
    const report = install(tarball('d', version, work, 'sleep 2000'));
    assert.deepEqual([report.outcome, report.active], ['rolled-back', '1'], JSON.stringify(report));
    assert.equal((await supervisord.processInfo('d'))?.statename, 'RUNNING');
    assert.match(readFileSync(join(supervisord.confDirectory, 'd.conf'), 'utf8'), /command = sleep 1000/);
    rmSync(neighbour);
  }
});

test("the app's own broken entry is rewritten first, and plan says so", async () => {
  install(tarball('e', '1'));
  const entry = join(supervisord.confDirectory, 'e.conf');
  const good = readFileSync(entry, 'utf8');
  writeFileSync(entry, `${good}numprocs = many\n`);
  const plan = line.json('plan', tarball('e', '2', 'exit 1'), '--json');
  assert.equal(plan.refusal, null);
  assert.match(String(plan.notes), /its present program entry is broken and would be rewritten/);
  const report = install(tarball('e', '2', 'exit 1'));
  assert.equal(report.outcome, 'rolled-back', JSON.stringify(report));
  assert.match(String(report.notes), /the program entry of the active version was rewritten/);
  assert.equal(readFileSync(entry, 'utf8'), good);
  assert.equal((await supervisord.processInfo('e'))?.statename, 'RUNNING');
});
