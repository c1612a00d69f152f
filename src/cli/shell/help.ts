/** Help texts, made from the tables; no line is longer than 80 columns. */
import type { CommandSpec, OptionSpec } from './command.ts';
import { exampleOf } from './examples.ts';
import { GLOBAL_OPTIONS } from './options.ts';
import { TOPICS, type Topic } from './topics.ts';

const WIDTH = 80;
const INDENT = 30;

export interface CommandSummary {
  word: string;
  /** Heading of the first page that it stands under. */
  section: 'Look' | 'Apps' | 'Set up' | 'Make apps' | 'Platform' | 'Help';
  words: string;
  summary: string;
}

/** The first page: no more than fits a terminal of 24 lines. */
export function renderMainHelp(commands: readonly CommandSummary[]): string {
  const sections = [...new Set(commands.map(({ section }) => section))];
  return [
    'usage: gwe COMMAND [ARGUMENT...] [OPTION...]',
    '       gwe [OPTION...]             run the agent, or do what the options say',
    '',
    'Gateway Engine: keeps the software of this gateway up to date over the air.',
    '',
    ...sections.flatMap((section) => {
      const words = commands.filter((command) => command.section === section).map(({ word }) => word);
      return renderRow(section, words.join('  '), SECTION_COLUMNS);
    }),
    '',
    'Examples:',
    '  gwe install sine.v2.tar.gz     install a tarball that is on this machine',
    '  gwe status                     who this gateway is, and its last update',
    '',
    "See 'gwe help COMMAND', 'gwe help commands' for all in a line each, 'gwe help",
    `options' for the options without a command, and 'gwe help TOPIC' for`,
    `${TOPICS.map(({ name }) => name).join(', ')}.`,
    '',
  ].join('\n');
}

const SECTION_COLUMNS = 13;

/** Every command in a line, by sections. */
export function renderCommandList(commands: readonly CommandSummary[]): string {
  const sections = [...new Set(commands.map(({ section }) => section))];
  return sections
    .flatMap((section) => [
      `${section}:`,
      ...commands
        .filter((command) => command.section === section)
        .flatMap((command) => renderRow(command.words, sentence(command.summary))),
      '',
    ])
    .join('\n');
}

/** The options without a command, and what they are called as commands. */
export function renderFlagHelp(options: readonly OptionSpec[]): string {
  return [
    'usage: gwe [OPTION...]',
    '',
    'Without any the agent runs, in the foreground.',
    ...renderOptionGroups(options),
    '',
  ].join('\n');
}

export function renderTopic(topic: Topic): string {
  return [
    topic.intro,
    '',
    ...topic.rows().flatMap(({ term, text }) => renderRow(term, sentence(text))),
    '',
  ].join('\n');
}

export function renderCommandHelp(spec: CommandSpec): string {
  const words = ['gwe', ...spec.path, ...spec.positionals].join(' ');
  const example = exampleOf(spec.path);
  return [
    ...wrap(`usage: ${words} [OPTION...]`, WIDTH),
    '',
    ...wrap(sentence(spec.summary), WIDTH),
    ...renderOptionGroups(spec.options),
    ...(example === undefined ? [] : ['', 'Example:', `  ${example}`]),
    '',
  ].join('\n');
}

/** Commands that are about no gateway of this machine: a root means nothing to them. */
const ELSEWHERE = new Set([
  'build',
  'completion',
  'help',
  'init',
  'inspect',
  'keygen',
  'man',
  'patch',
  'platform',
  'sign',
]);

/** What the help of a command shows: its own options, and those of all that mean something to it. */
export function optionsShown({ path, options }: CommandSpec): OptionSpec[] {
  const names = new Set(options.map(({ name }) => name));
  const common = GLOBAL_OPTIONS.filter(({ name }) => !names.has(name));
  const meant = common.filter(({ name }) => name !== 'root' || !ELSEWHERE.has(path[0] ?? ''));
  return [...options, ...meant.map(({ group: _, ...option }) => option)];
}

/** The commands that begin with the same words. */
export function renderGroupHelp(path: readonly string[], specs: readonly CommandSpec[]): string {
  const rows = specs.flatMap((spec) =>
    renderRow([...spec.path.slice(path.length), ...spec.positionals].join(' '), sentence(spec.summary)),
  );
  const words = ['gwe', ...path].join(' ');
  return [
    `usage: ${words} COMMAND [ARGUMENT...] [OPTION...]`,
    '',
    'Commands:',
    ...rows,
    '',
    `See '${words} COMMAND --help' for its options.`,
    '',
  ].join('\n');
}

/** With a capital letter in front, unless the first word is a name. */
function sentence(text: string): string {
  const [first = ''] = text.split(' ');
  const isWord = /^[a-z]+[,:;]?$/.test(first) && !/^(gwe|supervisord|etc)\b/.test(first);
  return isWord ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

function renderOptionGroups(options: readonly OptionSpec[]): string[] {
  const groups = [...new Set(options.map((option) => option.group ?? 'Options'))];
  return groups.flatMap((group) => [
    '',
    `${group}:`,
    ...options.filter((option) => (option.group ?? 'Options') === group).flatMap(renderOption),
  ]);
}

function renderOption(option: OptionSpec): string[] {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  const value = option.value === undefined ? '' : ` ${option.value}${option.many === true ? '...' : ''}`;
  const fallback = option.default === undefined ? '' : ` [default: ${option.default}]`;
  return renderRow(`${short}--${option.name}${value}`, `${sentence(option.help)}${fallback}`);
}

/** Two columns; a left part that is too long gets a line of its own. */
function renderRow(left: string, right: string, indent = INDENT): string[] {
  const lines = wrap(right, WIDTH - indent);
  const head = `  ${left}`;
  const isLong = head.length > indent - 2;
  const first = isLong
    ? [head, `${' '.repeat(indent)}${lines[0] ?? ''}`]
    : [`${head.padEnd(indent)}${lines[0] ?? ''}`];
  return [...first, ...lines.slice(1).map((line) => `${' '.repeat(indent)}${line}`)].map((line) =>
    line.trimEnd(),
  );
}

/** Breaks `text` between words; a word longer than a line stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
