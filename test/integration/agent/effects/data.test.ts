/**
 * What an app keeps outlives its versions, and what it kept in a version's directory before there was a place is
 * brought along.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { createSupervisorClient } from '../../../../src/supervisor/client.ts';
import { type CommandLine, createCommandLine } from '../../../helpers/command-line.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

const KEEPS_A_KEY = `[supervisord]
command = /bin/sh -c "[ -f key ] || echo $$ > key; mkdir -p log/day; echo up >> log/day/1; exec sleep 1000"
`;

interface Site {
  line: CommandLine;
  supervisord: Supervisord;
  data: string;
  entry: string;
}

interface Installed {
  outcome: string;
  notes: string[];
  reason?: string;
}

async function site(t: TestContext): Promise<Site> {
  const line = createCommandLine();
  const supervisord = await startSupervisord(line.root);
  t.after(async () => {
    await supervisord.stop();
    line.remove();
  });
  const entry = join(supervisord.confDirectory, 'keep.conf');
  return { line, supervisord, data: join(line.root, 'var/opt/gwe/keep'), entry };
}

function install({ line }: Site, version: string, files: Record<string, string> = {}): Installed {
  const content = { 'install.sh': '#!/bin/sh\n', 'supervisor.conf': KEEPS_A_KEY, version, ...files };
  line.file(`keep.v${version}.tar.gz`, makeTarball(content));
  const done = line.gwe('-I', `keep.v${version}.tar.gz`, '--json');
  assert.notEqual(done.stdout, '', done.stderr);
  return JSON.parse(done.stdout).installs[0];
}

/** As gwe left it before there were data directories: the program runs in its version's directory. */
async function runInVersion({ line, supervisord, entry, data }: Site): Promise<string> {
  const current = join(line.root, 'opt/gwe/apps/keep/current');
  const text = readFileSync(entry, 'utf8')
    .replace(/^directory = .*$/m, `directory = ${current}`)
    .replace(/^environment = .*\n/m, '');
  writeFileSync(entry, text);
  const client = createSupervisorClient({
    address: supervisord.socketPath,
    timeoutMs: 5000,
    maxAttempts: 1,
    clock: createSystemClock(),
  });
  await client.stopProcessGroup('keep', false);
  await until(async () => (await supervisord.processInfo('keep'))?.statename === 'STOPPED');
  rmSync(data, { recursive: true });
  await client.reloadConfig();
  await client.removeProcessGroup('keep');
  await client.addProcessGroup('keep');
  await until(() => existsSync(join(current, 'log/day/1')));
  return readFileSync(join(current, 'key'), 'utf8');
}

test('the program runs in its data directory, which no update and no pruning touches', async (t) => {
  const at = await site(t);
  assert.equal(install(at, '1').outcome, 'installed');
  const key = readFileSync(join(at.data, 'key'), 'utf8');
  assert.equal(statSync(at.data).mode & 0o7777, 0o750);
  for (const version of ['2', '3']) assert.deepEqual(install(at, version).notes, []);
  assert.equal(readFileSync(join(at.data, 'key'), 'utf8'), key);
  assert.equal(readFileSync(join(at.data, 'log/day/1'), 'utf8'), 'up\nup\nup\n');
});

test('what a program had written into its version is brought to its data directory, once, and named', async (t) => {
  const at = await site(t);
  install(at, '1', { 'install.sh': '#!/bin/sh\necho made > by-install\n', config: 'as packed' });
  const key = await runInVersion(at);
  const seen = '#!/bin/sh\ncat "$GWE_DATA_DIR/key"\n';
  const second = install(at, '2', { 'install.sh': seen });
  const note = `2 files written to the directory of version 1 were copied to '${at.data}': key, log/day/1`;
  assert.deepEqual(second.notes, [note]);
  assert.equal((second as unknown as { output: string }).output, key);
  assert.equal(readFileSync(join(at.data, 'key'), 'utf8'), key);
  assert.equal(readFileSync(join(at.data, 'log/day/1'), 'utf8'), 'up\nup\n');
  assert.deepEqual(install(at, '3').notes, []);
});

test('an update that fails after that goes back to a program that has what it had written', async (t) => {
  const at = await site(t);
  install(at, '1');
  const key = await runInVersion(at);
  const failed = install(at, '2', { 'install.sh': '#!/bin/sh\nexit 3\n' });
  assert.equal(failed.outcome, 'rolled-back', JSON.stringify(failed));
  await until(() => readFileSync(join(at.data, 'log/day/1'), 'utf8') === 'up\nup\n');
  assert.equal(readFileSync(join(at.data, 'key'), 'utf8'), key);
});

test('scripts get the data directory and the version before, also on the way back', async (t) => {
  const at = await site(t);
  const tells = (end: string): string =>
    `#!/bin/sh\necho "$GWE_APP_VERSION after '$GWE_PREVIOUS_VERSION' in $GWE_DATA_DIR" >> ../../../../../told\n${end}\n`;
  install(at, '1', { 'install.sh': tells(''), 'health.sh': tells('') });
  install(at, '2', { 'install.sh': tells('exit 3') });
  const told = readFileSync(join(at.line.root, 'told'), 'utf8').trim().split('\n');
  const expected = ["1 after ''", "1 after ''", "2 after '1'", "1 after '2'", "1 after '2'"];
  assert.deepEqual(
    told,
    expected.map((text) => `${text} in ${at.data}`),
  );
});

test('removing the app leaves its data until that is asked for, and then it goes without the app too', async (t) => {
  const at = await site(t);
  install(at, '1');
  const kept = JSON.parse(at.line.gwe('remove', 'keep', '--yes', '--json').stdout);
  assert.ok(
    kept.left.includes(`its data ${at.data} ('gwe remove keep --data' removes it)`),
    String(kept.left),
  );
  assert.ok(existsSync(join(at.data, 'key')));
  const gone = JSON.parse(at.line.gwe('remove', 'keep', '--yes', '--data', '--json').stdout);
  assert.deepEqual(gone.removed, [`its data ${at.data}`]);
  assert.equal(existsSync(at.data), false);
  assert.equal(at.line.gwe('remove', 'keep', '--yes', '--data').status, 2);
});

test('a data directory that is gone is made again before the program is started in it', async (t) => {
  const at = await site(t);
  install(at, '1');
  at.line.gwe('stop', 'keep');
  rmSync(at.data, { recursive: true });
  assert.equal(at.line.gwe('start', 'keep').status, 0);
  assert.ok(existsSync(join(at.data, 'key')));
});
