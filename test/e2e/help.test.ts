/** Help as it is read: on 24 lines of 80 columns, by pipes, and by who has typed something wrong. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { COMMAND_GROUPS, loadTree } from '../../src/cli/commands.ts';
import { TOPICS } from '../../src/cli/shell/topics.ts';
import { type CommandLine, createCommandLine } from '../helpers/command-line.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine([EXECUTABLE]);
  t.after(() => line.remove());
  return line;
}

const { commands } = await loadTree();

test('the first page leaves room for the prompt on 24 lines and names every command', (t) => {
  const line = commandLine(t);
  const { status, stdout } = line.gwe('help');
  assert.equal(status, 0);
  assert.ok(stdout.split('\n').length <= 24, stdout);
  assert.equal(line.gwe('--help').stdout, stdout);
  for (const { word } of COMMAND_GROUPS) assert.match(stdout, new RegExp(`[ ]${word}( |$)`, 'm'));
  for (const { name } of TOPICS) assert.ok(stdout.includes(name), name);
});

test('every page fits 80 columns and is the same by help and by --help', (t) => {
  const line = commandLine(t);
  const pages = [
    ['commands'],
    ['options'],
    ...TOPICS.map(({ name }) => [name]),
    ...commands.map(({ path }) => path),
  ];
  for (const page of pages) {
    const { status, stdout, stderr } = line.gwe('help', ...page);
    assert.equal(status, 0, stderr);
    for (const each of stdout.split('\n')) assert.ok(each.length <= 80, `${page.join(' ')}: ${each}`);
  }
  for (const path of [['logs'], ['platform', 'write'], ['keys', 'add'], ['verify']])
    assert.equal(line.gwe(...path, '--help').stdout, line.gwe('help', ...path).stdout);
});

test('every command shows an example, in sentence case, and no option that means nothing to it', (t) => {
  const line = commandLine(t);
  for (const { path, options } of commands) {
    const { stdout } = line.gwe('help', ...path);
    assert.match(stdout, new RegExp(`\n\nExample:\n  gwe ${path.join(' ')}( |$)`, 'm'), path.join(' '));
    assert.match(stdout.split('\n')[2] ?? '', /^([A-Z']|gwe |install\.sh)/, path.join(' '));
    for (const { name } of options) assert.ok(stdout.includes(`--${name}`), `${path.join(' ')} --${name}`);
  }
  for (const word of ['platform', 'keygen', 'sign', 'man', 'help'])
    assert.doesNotMatch(line.gwe('help', word).stdout, /--root/);
  assert.match(line.gwe('help', 'status').stdout, /--root DIR/);
});

test('the name of a group alone shows its commands', (t) => {
  const line = commandLine(t);
  for (const path of [['platform'], ['platform', 'device'], ['keys'], ['service']]) {
    const { status, stdout } = line.gwe(...path);
    assert.equal(status, 0);
    assert.ok(stdout.startsWith(`usage: gwe ${path.join(' ')} COMMAND`), stdout);
    assert.equal(line.gwe(...path, '--help').stdout, stdout);
  }
});

test('a wrong word is answered with the command of that meaning and its page, never with the opposite', (t) => {
  const line = commandLine(t);
  const meant: readonly [typed: string, answer: RegExp][] = [
    ['lsit', /did you mean 'gwe list'\?; see 'gwe help'/],
    ['uninstall', /did you mean 'gwe remove'\?/],
    ['undo', /did you mean 'gwe rollback'\?/],
    ['ps', /did you mean 'gwe list'\?/],
    [
      'platform device remove',
      /did you mean 'gwe platform device disable'\?; see 'gwe help platform device'/,
    ],
    ['platform content add', /did you mean 'gwe platform content put'\?/],
    ['keys trust', /did you mean 'gwe keys add'\?/],
    ['keys frobnicate', /^gwe: unknown command 'gwe keys frobnicate'; see 'gwe help keys'\n$/],
    ['help lsit', /did you mean 'gwe help list'\?/],
  ];
  for (const [typed, answer] of meant) {
    const { status, stderr } = line.gwe(...typed.split(' '));
    assert.equal(status, 2, typed);
    assert.match(stderr, answer);
  }
  assert.doesNotMatch(line.gwe('keys', 'remov').stderr, /keys add/);
});

test('what is wrong with the arguments of a command names its page', (t) => {
  const line = commandLine(t);
  const pages: readonly [typed: string[], page: string][] = [
    [['list', '--jsno'], 'gwe help list'],
    [['rollback'], 'gwe help rollback'],
    [['platform', 'device', 'add', '--nope'], 'gwe help platform device add'],
    [['--nope'], 'gwe help options'],
    [['keys', 'add'], 'gwe help keys add'],
  ];
  for (const [typed, page] of pages) {
    const { status, stderr } = line.gwe(...typed);
    assert.equal(status, 2, typed.join(' '));
    assert.ok(stderr.endsWith(`\ngwe: see '${page}'\n`), stderr);
    assert.equal(line.gwe(...page.split(' ').slice(1)).status, 0);
  }
  assert.equal(
    line.gwe('list', '--hel').stdout,
    line.gwe('help', 'list').stdout,
    'a beginning of --help is one',
  );
});

test('what is longer than the terminal goes through the pager, and nothing else does', (t) => {
  const line = commandLine(t);
  const pager = line.file('pager', '#!/bin/sh\necho "PAGED $LESS"\nexec cat\n', 0o755);
  const onTerminal = (variables: Record<string, string>, ...args: string[]): string => {
    Object.assign(line.env, { TERM: 'xterm', PAGER: pager }, variables);
    return line.onTerminal(args).stdout;
  };
  assert.match(onTerminal({}, 'help', 'settings'), /^PAGED FRX\r\n[\s\S]*update_interval/);
  assert.doesNotMatch(onTerminal({}, 'help'), /PAGED/);
  assert.doesNotMatch(onTerminal({ TERM: 'dumb' }, 'help', 'settings'), /PAGED/);
  assert.match(onTerminal({ PAGER: '/no/such/pager' }, 'help', 'settings'), /update_interval/);
  assert.doesNotMatch(line.gwe('help', 'settings').stdout, /PAGED/);
});

test('every variable that gwe reads or gives is in the topic about the environment', (t) => {
  const line = commandLine(t);
  const page = line.gwe('help', 'environment').stdout;
  // Between processes of gwe itself, or of its build.
  const own = [
    'GWE_BUILD_TIME',
    'GWE_CONSOLE',
    'GWE_LAUNCHED',
    'GWE_PATCH_THREAD',
    'GWE_VERSION',
    'GWE_WOKEN',
  ];
  const sources = join(import.meta.dirname, '../../src');
  const names = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap(
      (path) =>
        readFileSync(join(sources, path), 'utf8').match(/\bGWE_[A-Z_]+\b|(?<=io\.env\.)[A-Z_]+/g) ?? [],
    )
    .filter((name) => !own.includes(name) && !name.startsWith('GWE_RUNTIME_'));
  assert.ok(names.length > 10);
  for (const name of new Set(names)) assert.ok(page.includes(name), name);
});
