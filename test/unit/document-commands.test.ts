/** What the documents have a reader type exists: each command, and each option of it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { COMMAND_GROUPS } from '../../src/cli/commands.ts';
import type { CommandSpec, OptionSpec } from '../../src/cli/shell/command.ts';
import { spellings } from '../../src/cli/shell/command-tree.ts';
import { FLAG_OPTIONS, GLOBAL_OPTIONS } from '../../src/cli/shell/options.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENTS = ['README.md', ...globSync('{src,test}/**/*.md', { cwd: ROOT })];
let commands: readonly CommandSpec[] = [];

before(async () => {
  commands = (await Promise.all(COMMAND_GROUPS.map((group) => group.load()))).flat();
});

/** Lines of code blocks that begin with gwe, and code within a line that does. */
function typedIn(text: string): string[] {
  const blocks = [...text.matchAll(/^ *```\w*\n([\s\S]*?)^ *```$/gm)].map(([, block = '']) =>
    block.replaceAll('\\\n', ' '),
  );
  const indented = [...text.matchAll(/^ {4}(gwe .*)$/gm)].map(([, line = '']) => line);
  const inline = text.replace(/^ *```[\s\S]*?^ *```$/gm, '').matchAll(/`(gwe [^`\n]*)`/g);
  return [
    ...blocks.flatMap((block) => block.split('\n').map((line) => line.replace(/^[\s$]+/, ''))),
    ...indented,
    ...[...inline].map(([, code = '']) => code),
  ].filter((line) => /^gwe [a-z-]/i.test(line));
}

/** The words of the first command of `line`: no comment, quoted text, or pipe. */
function wordsOf(line: string): string[] {
  const command = line.replace(/'[^']*'|"[^"]*"/g, 'TEXT').replace(/\s(?:#|\||&&|>).*$/, '');
  return command
    .replace(/[[\],;.]+(?=\s|$)|\[/g, '')
    .split(/\s+/)
    .slice(1);
}

/** Why `line` cannot be typed, if it cannot. */
function faultOf(line: string): string | undefined {
  const words = wordsOf(line);
  const isUsed = (spec: CommandSpec) => spec.path.every((word, at) => words[at] === word);
  const [spec] = commands.filter(isUsed).sort((a, b) => b.path.length - a.path.length);
  const isGroup = commands.some(({ path }) => path.length > words.length && path[0] === words[0]);
  if (spec === undefined && words[0]?.startsWith('-') !== true)
    return isGroup ? undefined : `no command '${words[0]}'`;
  const known: readonly OptionSpec[] = [...(spec?.options ?? FLAG_OPTIONS), ...GLOBAL_OPTIONS];
  const names = ['--help', ...known.flatMap(spellings)];
  const unknown = words.find((word) => /^--?[a-z]/i.test(word) && !names.includes(word.split('=')[0] ?? ''));
  return unknown === undefined ? undefined : `no option '${unknown}'`;
}

test('every command and option that a document has a reader type exists', () => {
  let lines = 0;
  for (const document of DOCUMENTS) {
    for (const line of typedIn(readFileSync(join(ROOT, document), 'utf8'))) {
      lines++;
      if (/^gwe (artifact manifest|command|release list) v1$/.test(line)) continue;
      assert.equal(faultOf(line), undefined, `${document}: ${line}`);
    }
  }
  assert.ok(lines > 150, `${lines} lines`);
});

test('a command or an option that does not exist is found', () => {
  assert.equal(faultOf('gwe frobnicate APP'), "no command 'frobnicate'");
  assert.equal(faultOf('gwe logs APP --installl'), "no option '--installl'");
  assert.equal(faultOf('gwe --set-uid X'), "no option '--set-uid'");
  assert.equal(faultOf('gwe platform device add P S'), undefined);
});
