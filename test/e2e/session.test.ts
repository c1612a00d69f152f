/** A first session as somebody new to gwe would type it, on a terminal 80 columns wide, with a real supervisord. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CommandLine, createCommandLine, drawnLines, screenLines } from '../helpers/command-line.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';

const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`);

describe('a session: create, build, check, install, look, roll back, remove', () => {
  let line: CommandLine;
  let supervisord: Supervisord;
  before(async () => {
    line = createCommandLine([EXECUTABLE]);
    supervisord = await startSupervisord(line.root);
  });
  after(async () => {
    await supervisord?.stop();
    line?.remove();
  });

  /** Types a command at the terminal: the lines that are on the screen afterwards. */
  function type(args: readonly string[], input = ''): string[] {
    const { status, stdout } = line.onTerminal(args, input);
    assert.equal(status, 0, stdout);
    for (const each of drawnLines(stdout)) assert.ok(each.length <= 80, `${each.length} columns: ${each}`);
    return screenLines(stdout);
  }

  test('a buildfile is made by answering three questions', () => {
    const { status, stdout } = line.onTerminal(['--create-buildfile'], 'hello.json\nhello\n1\n');
    assert.equal(status, 0, stdout);
    // Nobody presses Enter here, so the answers' line breaks are not on the screen.
    const shown = stdout.replaceAll(']: ', ']:\n');
    for (const each of drawnLines(shown)) assert.ok(each.length <= 80, each);
    assert.match(shown, /Name of the app \[my_app\]:/);
    assert.match(shown, /Created .*hello\.json/);
    const buildfile = JSON.parse(readFileSync(join(line.cwd, 'hello.json'), 'utf8'));
    assert.deepEqual([buildfile.name, buildfile.version, buildfile.includes], ['hello', '1', ['install.sh']]);
  });

  test('two versions are built and checked', () => {
    line.file('install.sh', '#!/bin/sh\necho "installing $GWE_APP_NAME $GWE_APP_VERSION"\n', 0o755);
    line.file('supervisor.conf', "[supervisord]\ncommand = sh -c 'echo up; exec sleep 1000'\n");
    for (const version of ['1', '2']) {
      const buildfile = { name: 'hello', version, includes: ['install.sh', 'supervisor.conf'] };
      line.file('hello.json', JSON.stringify(buildfile));
      assert.deepEqual(type(['--check-buildfile', 'hello.json']), ['[PASS] buildfile hello.json']);
      const path = join(line.cwd, `hello.v${version}.tar.gz`);
      assert.deepEqual(type(['--build-app', 'hello.json']), [path]);
      const checks = type(['--check-tarball', path]);
      assert.ok(checks.length > 3 && checks.every((each) => each.startsWith('[PASS] ')), checks.join('\n'));
    }
  });

  test('both are installed, one after the other', async () => {
    assert.deepEqual(type(['-I', 'hello.v1.tar.gz', 'hello.v2.tar.gz']), [
      'hello 1: installed',
      'hello 2: installed (was 1)',
    ]);
    assert.equal((await supervisord.processInfo('hello'))?.statename, 'RUNNING');
  });

  test('list, status, logs and history show what is there', () => {
    assert.match(type(['list']).join('\n'), /^APP .*\nhello +2 +RUNNING +\d+ s +20\S+ \S+ +1$/);
    const status = type(['status']).join('\n');
    assert.match(status, /^apps +1 installed, 1 running$/m);
    assert.match(status, /^update +hello 2 installed \d+ s ago$/m);
    assert.match(status, /^disk +\S+ \wB of \S+ \wB free for apps$/m);
    assert.deepEqual(type(['logs', 'hello', '-n', '1']), ['up']);
    assert.match(
      type(['history']).join('\n'),
      /^ENDED.*\n.*hello +1 +installed +-\n.*hello +1 -> 2 +installed +-$/,
    );
  });

  test('stop and start, then back to the version before', () => {
    assert.deepEqual(type(['stop', 'hello']), ['hello: STOPPED']);
    assert.deepEqual(type(['start', 'hello']), ['hello: RUNNING']);
    assert.deepEqual(type(['rollback', 'hello']), ['hello 1: active again (was 2)']);
    assert.match(type(['list']).join('\n'), /hello +1 +RUNNING .* 2$/);
  });

  test('digests and long paths do not run over the edge either', () => {
    assert.match(type(['service', 'install', '--dry-run']).join(' '), /would write .*supervisord +start gwe/);
    type(['plan', 'hello.v2.tar.gz']);
    const { status, stdout } = line.onTerminal(['verify', 'hello.v2.tar.gz']);
    assert.equal(status, 1);
    assert.match(screenLines(stdout).join(''), /\[PASS\] content .*sha256 +[0-9a-f ]{64}/);
    for (const each of drawnLines(stdout)) assert.ok(each.length <= 80, each);
  });

  test('a broken version rolls itself back, and the reason fits the screen', () => {
    line.file(
      'install.sh',
      '#!/bin/sh\necho the disk of the sensor is not there, so this can not go on at all\nexit 7\n',
      0o755,
    );
    line.file('hello.json', JSON.stringify({ name: 'hello', version: '3', includes: ['install.sh'] }));
    type(['--build-app', 'hello.json']);
    const { status, stdout } = line.onTerminal(['-I', 'hello.v3.tar.gz']);
    assert.equal(status, 1);
    for (const each of drawnLines(stdout)) assert.ok(each.length <= 80, each);
    assert.match(
      screenLines(stdout).join(' ').replace(/ +/g, ' '),
      /hello 3: rolled back, 1 is active: .*exited with status 7/,
    );
    type(['history']);
    type(['status']);
  });

  test('colours are for terminals, and not with NO_COLOR', () => {
    assert.match(line.onTerminal(['list']).stdout, COLOUR);
    assert.doesNotMatch(line.gwe('list').stdout, COLOUR);
    line.env.NO_COLOR = '1';
    assert.doesNotMatch(line.onTerminal(['list']).stdout, COLOUR);
    delete line.env.NO_COLOR;
  });

  test('remove leaves nothing behind but what it names', async () => {
    const shown = type(['remove', 'hello'], 'y\n').join('\n');
    // Nobody presses Enter here: it stands behind the question.
    assert.match(shown, /Go on\? \[y\/N\] removed program hello \(stopped\)$/m);
    assert.match(shown, /^left as it is: whatever its install\.sh put elsewhere/m);
    assert.equal(await supervisord.processInfo('hello'), undefined);
    assert.equal(existsSync(join(line.root, 'opt/gwe/apps/hello')), false);
    assert.deepEqual(type(['list']), ['no apps are installed']);
  });
});
