/** Help texts, made from the tables; no line is longer than 80 columns. */
import type { CommandSpec, OptionSpec } from './command.ts';
import { EXIT_STATUSES } from './exit.ts';

const WIDTH = 80;
const INDENT = 30;

export interface CommandSummary {
  words: string;
  summary: string;
}

export function renderMainHelp(options: readonly OptionSpec[], commands: readonly CommandSummary[]): string {
  return [
    'usage: gwe [OPTION...]            run the agent, or do what the options say',
    '       gwe COMMAND [OPTION...]    see gwe COMMAND --help',
    '',
    'Gateway Engine: keeps the software of this gateway up to date over the air.',
    'Without options it checks in with the platform, again and again.',
    ...renderOptionGroups(options),
    '',
    'Commands:',
    ...commands.flatMap((command) => renderRow(command.words, command.summary)),
    '',
    'Exit status:',
    ...EXIT_STATUSES.flatMap((row) => renderRow(String(row.status), row.meaning)),
    '',
  ].join('\n');
}

export function renderCommandHelp(spec: CommandSpec): string {
  const words = ['gwe', ...spec.path, ...spec.positionals].join(' ');
  return [
    ...wrap(`usage: ${words} [OPTION...]`, WIDTH),
    '',
    ...wrap(spec.summary, WIDTH),
    ...renderOptionGroups(spec.options),
    '',
  ].join('\n');
}

/** The commands that begin with the same word. */
export function renderGroupHelp(word: string, specs: readonly CommandSpec[]): string {
  const rows = specs.flatMap((spec) =>
    renderRow([...spec.path, ...spec.positionals].join(' '), spec.summary),
  );
  return [`usage: gwe ${word} COMMAND [OPTION...]`, '', ...rows, ''].join('\n');
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
  return renderRow(`${short}--${option.name}${value}`, `${option.help}${fallback}`);
}

/** Two columns; a left part that is too long gets a line of its own. */
function renderRow(left: string, right: string): string[] {
  const lines = wrap(right, WIDTH - INDENT);
  const head = `  ${left}`;
  const isLong = head.length > INDENT - 2;
  const first = isLong
    ? [head, `${' '.repeat(INDENT)}${lines[0] ?? ''}`]
    : [`${head.padEnd(INDENT)}${lines[0] ?? ''}`];
  return [...first, ...lines.slice(1).map((line) => `${' '.repeat(INDENT)}${line}`)];
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
