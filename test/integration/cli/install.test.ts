import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { acquireLock } from '../../../src/base/lock.ts';
import { type CommandLine, createCommandLine, drawnLines, screenLines } from '../../helpers/command-line.ts';
import { FROM_SOURCE } from '../../helpers/gateway.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine();
  t.after(() => line.remove());
  return line;
}

const oneOff = (script = INSTALL_OK): Buffer => makeTarball({ 'install.sh': script });

test('-I installs in order, goes on after a failure, and says what became of each', (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff('#!/bin/sh\necho "$GWE_APP_NAME" >> ../../../../../order\n'));
  line.file('bad.v1.tar.gz', oneOff('#!/bin/sh\necho no luck today\nexit 3\n'));
  line.file('two.v7.tar.gz', oneOff('#!/bin/sh\necho "$GWE_APP_NAME" >> ../../../../../order\n'));
  const done = line.gwe('-I', 'one.v1.tar.gz', 'bad.v1.tar.gz', 'none.v1.tar.gz', 'two.v7.tar.gz');
  assert.equal(done.status, 1);
  assert.equal(readFileSync(join(line.root, 'order'), 'utf8'), 'one\ntwo\n');
  const said = done.stdout.split('\n');
  assert.equal(said[0], 'one 1: installed');
  assert.match(said[1] ?? '', /^bad 1: rolled back: .*install\.sh exited with status 3.*no luck today/);
  assert.match(said.join('\n'), /none 1: failed no change: .*there is no such file/);
  assert.match(said.join('\n'), /two 7: installed/);
  assert.match(done.stderr, /one 1: running install\.sh\n/);
  assert.match(done.stderr, /\| no luck today/);
});

test('-I --json prints one document of version 1', (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff('#!/bin/sh\necho hello\n'));
  line.file('one.v2.tar.gz', oneOff());
  const done = line.gwe('--install-apps', 'one.v1.tar.gz', 'one.v2.tar.gz', 'no good', '--json');
  assert.equal(done.status, 1);
  const document = JSON.parse(done.stdout);
  assert.equal(document.version, 1);
  assert.deepEqual(
    document.installs.map((each: Record<string, unknown>) => [
      each.file,
      each.app,
      each.appVersion,
      each.outcome,
      each.from,
      each.active,
    ]),
    [
      ['one.v1.tar.gz', 'one', '1', 'installed', undefined, '1'],
      ['one.v2.tar.gz', 'one', '2', 'installed', '1', '2'],
      ['no good', 'no good', '', 'failed-no-change', undefined, undefined],
    ],
  );
  assert.equal(document.installs[0].output, 'hello\n');
  assert.equal(document.installs[0].exitCode, 0);
});

test('each local install leaves a report for the agent to send', (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff());
  assert.equal(line.gwe('-I', 'one.v1.tar.gz').status, 0);
  const outbox = join(line.root, 'var/lib/gwe/outbox');
  const [name = ''] = readdirSync(outbox);
  const report = JSON.parse(readFileSync(join(outbox, name), 'utf8'));
  assert.equal(report.alias, 'fetch_status');
  assert.equal(JSON.parse(report.value).outcome, 'installed');
});

test('an app with setup.py and no install.sh is installed by Python', (t) => {
  const line = commandLine(t);
  const tarball = makeTarball({ 'setup.py': "import sys\nopen('ran', 'w').write(sys.argv[1])\n" });
  line.file('library.v0-9.tar.gz', tarball);
  assert.equal(line.gwe('-I', 'library.v0-9.tar.gz').status, 0);
  assert.equal(readFileSync(join(line.root, 'opt/gwe/apps/library/current/ran'), 'utf8'), 'install');
});

test('a hostile tarball is refused and nothing of it runs', (t) => {
  const line = commandLine(t);
  line.file('evil.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, '../escaped': 'x' }));
  line.file('plain.v1.tar.gz', makeTarball({ 'install.sh': { content: INSTALL_OK, mode: 0o644 } }));
  const document = line.json('-I', 'evil.v1.tar.gz', 'plain.v1.tar.gz', '--json');
  const outcomes = (document.installs as { outcome: string; reason: string }[]).map((each) => each.outcome);
  assert.deepEqual(outcomes, ['rejected', 'rejected']);
  assert.equal(existsSync(join(line.root, 'opt/gwe/apps/plain/current')), false);
});

test('an update under way is waited for, with a word about it', async (t) => {
  const line = commandLine(t);
  line.file('one.v1.tar.gz', oneOff());
  const lock = acquireLock(join(line.root, 'run/gwe/transaction.lock'), 'transaction');
  assert.ok('release' in lock);
  const [program = '', ...first] = FROM_SOURCE;
  const child = spawn(program, [...first, '-I', 'one.v1.tar.gz'], { cwd: line.cwd, env: line.env });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes('in the middle of an update')) lock.release();
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(status, 0, said);
  assert.match(said, new RegExp(`process ${process.pid} is in the middle of an update; waiting up to`));
});

test('on a terminal a bar of at most 80 columns stands for the steps, and leaves no trace', (t) => {
  const line = commandLine(t);
  const name = `app-${'n'.repeat(60)}`;
  line.file(`${name}.v1.tar.gz`, oneOff('#!/bin/sh\nsleep 0.4\n'));
  const { status, stdout } = line.onTerminal(['-I', `${name}.v1.tar.gz`]);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /\[=* *\] +\d+% running install\.sh/);
  for (const shown of drawnLines(stdout)) assert.ok(shown.length <= 80, shown);
  assert.deepEqual(screenLines(stdout), [`${name} 1: installed`]);
});
