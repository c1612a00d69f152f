/** Completion and manual page hold everything that --help shows, and the shells and roff take them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FLAG_OPTIONS } from '../../src/cli/options.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';

const gwe = (...args: string[]): string => execFileSync(EXECUTABLE, args, { encoding: 'utf8' });

/** The commands that `gwe --help` lists, with those of each group. */
function commandWords(): string[] {
  const [, list = ''] = /\nCommands:\n([\s\S]*?)\n\n/.exec(gwe('--help')) ?? [];
  const words = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map((match) => match[1] ?? '');
  assert.ok(words.length > 10, list);
  return words;
}

const longOptions = (help: string): string[] => [...new Set(help.match(/(?<=^ {2}(-\w, | {4}))--[a-z-]+/gm))];

const bashScript = gwe('completion', 'bash');

/** What bash offers after `typed`, the last word of which is being completed. */
function complete(...typed: string[]): string[] {
  const script = `source <(cat <&3)\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n_gwe\nprintf '%s\\n' "\${COMPREPLY[@]}"\n`;
  const run = spawnSync('bash', ['-euc', `exec 3<<<"$GWE_COMPLETION"\n${script}`, 'bash', ...typed], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH ?? '', GWE_COMPLETION: bashScript },
  });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.trim().split('\n');
}

test('bash completes options, commands, commands of a group, and options of a command', () => {
  assert.deepEqual(complete('gwe', '--set-up'), ['--set-update-interval']);
  assert.deepEqual(complete('gwe', 'rol'), ['rollback']);
  assert.ok(complete('gwe', 'platform', '').includes('device'));
  assert.deepEqual(complete('gwe', 'platform', 'device', 'a'), ['add']);
  assert.deepEqual(complete('gwe', 'logs', 'sine', '--fo'), ['--follow']);
  assert.deepEqual(
    complete('gwe', '--check-tarball', '/etc/host'),
    execFileSync('bash', ['-c', 'compgen -f /etc/host'], { encoding: 'utf8' }).trim().split('\n'),
  );
});

test('zsh completes at the first key press that loads the script from its fpath', () => {
  const script = gwe('completion', 'zsh');
  assert.match(
    script,
    /^if \[ "\$\{funcstack\[1\]\}" = _gwe \]; then _gwe "\$@"; else compdef _gwe gwe; fi$/m,
  );
  if (!existsSync('/usr/bin/zsh')) return; // The rule above is what can be said without it.
  const directory = mkdtempSync(join(tmpdir(), 'gwe-zsh-'));
  try {
    writeFileSync(join(directory, '_gwe'), script);
    const press =
      'fpath=("$1"); autoload -Uz _gwe; compadd() { print -l -- "$@" }; words=(gwe rol); CURRENT=2; _gwe';
    const run = spawnSync('zsh', ['-fc', press, 'zsh', directory], { encoding: 'utf8' });
    assert.equal(run.stderr, '');
    assert.ok(run.stdout.split('\n').includes('rollback'), run.stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('completion of both shells and the manual page hold every option and command', () => {
  const page = gwe('man').replaceAll('\\-', '-');
  const words = commandWords().map((word) => ({ word, options: longOptions(gwe(word, '--help')) }));
  for (const shown of [bashScript, gwe('completion', 'zsh'), page]) {
    for (const { name } of FLAG_OPTIONS) assert.ok(shown.includes(`--${name}`), name);
    for (const { word, options } of words) {
      assert.match(shown, new RegExp(`(^|[ "])${word}([ ".]|$)`, 'm'), word);
      for (const option of options) assert.ok(shown.includes(option), `${word} ${option}`);
    }
  }
});

test('the manual page has only requests that roff knows, and groff renders it without a warning', () => {
  const page = gwe('man');
  for (const line of page.split('\n').filter((each) => /^[.']/.test(each))) {
    assert.match(line, /^\.(TH|SH|SS|TP|B|BR|RI|IR|br|RS|RE)( |$)/);
  }
  assert.equal(page.match(/^\.RS/gm)?.length, page.match(/^\.RE/gm)?.length);
  if (!existsSync('/usr/bin/groff')) return; // The rules above are what can be said without it.
  const run = spawnSync('groff', ['-man', '-Tascii', '-ww', '-P-cbou'], { input: page, encoding: 'utf8' });
  assert.equal(run.stderr, '');
  assert.match(run.stdout, /^EXIT STATUS$/m);
  assert.match(run.stdout, /--set-update-interval SECONDS/);
});

test('another shell is a usage error', () => {
  const run = spawnSync(EXECUTABLE, ['completion', 'fish'], { encoding: 'utf8' });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /expected bash or zsh/);
});
