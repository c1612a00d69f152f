/** Completion in real shells, and the manual pages as roff takes them: they hold everything that can be typed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { COMMAND_GROUPS, loadTree } from '../../src/cli/commands.ts';
import { spellings } from '../../src/cli/shell/command-tree.ts';
import { groupWords } from '../../src/cli/shell/man.ts';
import { FLAG_OPTIONS } from '../../src/cli/shell/options.ts';
import { ENGINE_SETTINGS } from '../../src/config/schema.ts';
import { type CommandLine, createCommandLine } from '../helpers/command-line.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';

const tree = await loadTree();
let line: CommandLine;

before(() => {
  line = createCommandLine([EXECUTABLE]);
  const path = line.file('sine.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  assert.equal(line.gwe('install', path).status, 0);
  mkdirSync(join(line.cwd, 'bin'));
  symlinkSync(EXECUTABLE, join(line.cwd, 'bin/gwe'));
  line.env.PATH = `${join(line.cwd, 'bin')}:${line.env.PATH}`;
});
after(() => line.remove());

const gwe = (...args: string[]): string => {
  const { status, stdout, stderr } = line.gwe(...args);
  assert.equal(status, 0, stderr);
  return stdout;
};

/** What gwe itself offers behind these words. */
const offers = (...typed: string[]): string[] =>
  gwe('--complete', ...typed)
    .split('\n')
    .filter((each) => each !== '')
    .map((each) => each.split('\t')[0] ?? '');

test('the first press shows the commands, and options only behind a dash', () => {
  assert.deepEqual(
    offers(''),
    COMMAND_GROUPS.map(({ word }) => word),
  );
  assert.deepEqual(offers('--set-up'), ['--set-update-interval']);
  assert.ok(offers('-').includes('-I'));
});

test('every command, option, setting and choice of one is offered in its place', () => {
  for (const { path, options } of tree.commands) {
    for (const [depth, word] of path.entries())
      assert.ok(offers(...path.slice(0, depth), word.slice(0, 2)).includes(word), path.join(' '));
    const shown = offers(...path, '-');
    for (const word of options.flatMap(spellings))
      assert.ok(shown.includes(word), `${path.join(' ')} ${word}`);
  }
  for (const word of FLAG_OPTIONS.flatMap(spellings)) assert.ok(offers('-').includes(word), word);
  const keys = Object.values(ENGINE_SETTINGS).map(({ key }) => key);
  for (const key of keys) assert.ok(offers('--set', key.slice(0, 3)).includes(`${key}=`), key);
  assert.ok(keys.every((key) => offers('config', 'get', '').includes(key)));
  assert.deepEqual(offers('config', 'set', 'long_poll=1', 'log_format='), [
    'log_format=text',
    'log_format=json',
  ]);
  assert.deepEqual(offers('--set', 'long_poll='), ['long_poll=true', 'long_poll=false']);
  assert.deepEqual(offers('-d', 'W'), ['WARNING']);
});

test('apps, files, shells, topics and pages are offered where they belong, and nothing where nothing is known', () => {
  assert.deepEqual(offers('logs', ''), ['sine']);
  assert.deepEqual(offers('logs', '-f', 's'), ['sine']);
  assert.deepEqual(offers('--root', '/nowhere', 'logs', '-n', ''), []);
  for (const words of [
    ['install', ''],
    ['-I', 'a', ''],
    ['patch', 'a', ''],
    ['sign', 'a', '--key', ''],
  ])
    assert.deepEqual(offers(...words), [':files'], words.join(' '));
  assert.deepEqual(offers('completion', ''), ['bash', 'zsh', 'fish']);
  assert.deepEqual(offers('list', '-o', ''), ['table', 'csv', 'json']);
  assert.deepEqual(offers('help', 'set'), ['settings']);
  assert.deepEqual(offers('man', 'plat'), ['platform']);
  for (const words of [
    ['nonsense', ''],
    ['status', ''],
    ['logs', 'sine', ''],
  ])
    assert.deepEqual(offers(...words), []);
});

/** What bash has behind `typed` when the key is pressed. */
function inBash(typed: string): string[] {
  const script = `source <(gwe completion bash)
COMP_LINE=$1; COMP_POINT=\${#COMP_LINE}; _gwe gwe; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const run = spawnSync('bash', ['--norc', '-uc', script, 'bash', typed], {
    cwd: line.cwd,
    env: line.env,
    encoding: 'utf8',
  });
  assert.equal(run.stderr, '');
  return run.stdout.trim().split('\n');
}

test('bash completes commands, options, apps, files, and values behind an equals sign', () => {
  assert.deepEqual(inBash('gwe rol'), ['rollback']);
  assert.deepEqual(inBash('gwe platform device a'), ['add']);
  assert.deepEqual(inBash('gwe logs sine --fo'), ['--follow']);
  assert.deepEqual(inBash('gwe logs '), ['sine']);
  assert.deepEqual(inBash('gwe install si'), ['sine.v1.tar.gz']);
  assert.deepEqual(inBash('gwe config set log_format=j'), ['json'], 'bash has taken = for the end of a word');
  assert.deepEqual(inBash('gwe config set update_i'), ['update_interval=']);
});

test('zsh completes at the first key press that loads the script from its fpath', () => {
  const script = gwe('completion', 'zsh');
  assert.match(
    script,
    /^if \[ "\$\{funcstack\[1\]\}" = _gwe \]; then _gwe "\$@"; else compdef _gwe gwe; fi$/m,
  );
  const file = line.file('zsh/_gwe', script);
  const press = (typed: string): string => {
    const run = spawnSync(
      'zsh',
      [
        '-fc',
        `zmodload zsh/zpty; zpty z zsh -f -i; zpty -w z "PS1=; fpath=($1 \\$fpath); autoload -U compinit; compinit -u -D; cd $2"
zpty -w z "echo RE''ADY"; while zpty -r z out; do [[ $out == *READY* ]] && break; done
zpty -w -n z "$3"$'\\t'; zpty -w z $'\\x01echo GOT:\\x05:END'
while zpty -r z out; do print -r -- "$out"; [[ $out == *:END* && $out == *GOT* && $out != *echo* ]] && break; done`,
        'zsh',
        dirname(file),
        line.cwd,
        typed,
      ],
      { encoding: 'utf8', env: { ...line.env, TERM: 'dumb' }, timeout: 90_000 },
    );
    return /^GOT:(.*):END/m.exec(run.stdout.replaceAll('\r', ''))?.[1]?.trim() ?? run.stdout + run.stderr;
  };
  assert.equal(press('gwe rol'), 'gwe rollback');
  assert.equal(press('gwe platform device reg'), 'gwe platform device regenerate');
  assert.equal(press('gwe logs s'), 'gwe logs sine');
  assert.equal(press('gwe install si'), 'gwe install sine.v1.tar.gz');
  assert.equal(press('gwe config set log_format=j'), 'gwe config set log_format=json');
});

test('fish completes commands with what they do, apps, files and settings', () => {
  const file = line.file('gwe.fish', gwe('completion', 'fish'));
  const press = (typed: string): string[] => {
    const run = spawnSync('fish', ['--no-config', '-c', `source ${file}; complete -C "$argv"`, typed], {
      cwd: line.cwd,
      env: line.env,
      encoding: 'utf8',
    });
    assert.equal(run.stderr, '');
    return run.stdout.trim().split('\n');
  };
  assert.deepEqual(press('gwe rol'), ['rollback\troll back to the previous version']);
  assert.deepEqual(press('gwe logs '), ['sine']);
  assert.deepEqual(press('gwe install si'), ['sine.v1.tar.gz']);
  assert.deepEqual(press('gwe config set log_format=j'), ['log_format=json']);
});

const pages = [[], ...groupWords(tree).map((word) => [word])];

test('the manual page holds every option and command, and each group has one with its commands and the environment', () => {
  const main = gwe('man').replaceAll('\\-', '-');
  for (const { name } of FLAG_OPTIONS) assert.ok(main.includes(`--${name}`), name);
  for (const { path, options } of tree.commands) {
    const group = path.length > 1 ? gwe('man', path[0] ?? '').replaceAll('\\-', '-') : main;
    for (const page of [main, group]) {
      assert.ok(page.includes(path.join(' ')), path.join(' '));
      for (const { name } of options) assert.ok(page.includes(`--${name}`), `${path.join(' ')} --${name}`);
    }
  }
  for (const page of pages) assert.match(gwe('man', ...page), /GWE_PLATFORM_TOKEN_FILE/);
  assert.match(line.gwe('man', 'nonsense').stderr, /no command 'nonsense': see 'gwe help commands'/);
});

test('the manual pages have only requests that roff knows, and groff renders them without a warning', () => {
  for (const words of pages) {
    const page = gwe('man', ...words);
    for (const each of page.split('\n').filter((text) => /^[.']/.test(text)))
      assert.match(each, /^\.(TH|SH|SS|TP|B|BR|RI|IR|br|RS|RE)( |$)/);
    assert.equal(page.match(/^\.RS/gm)?.length, page.match(/^\.RE/gm)?.length);
    const run = spawnSync('groff', ['-man', '-Tascii', '-ww', '-P-cbou'], { input: page, encoding: 'utf8' });
    assert.equal(run.stderr, '');
    assert.match(run.stdout, /^EXIT STATUS$/m);
  }
});

test('another shell is a usage error', () => {
  const run = spawnSync(EXECUTABLE, ['completion', 'tcsh'], { encoding: 'utf8' });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /expected bash, zsh or fish/);
});
