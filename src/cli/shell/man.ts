/** `gwe man`: the manual page in roff, made from the tables that the parser reads. */
import { GweError } from '../../base/errors.ts';
import { VERSION } from '../../base/version.ts';
import type { CommandCall, CommandSpec, OptionSpec } from './command.ts';
import type { CommandTree } from './command-tree.ts';
import { exampleOf } from './examples.ts';
import { EXIT } from './exit.ts';
import { optionsShown } from './help.ts';
import { TOPICS, type Topic } from './topics.ts';

export function manCommand(loadTree: () => Promise<CommandTree>): CommandSpec {
  return {
    path: ['man'],
    positionals: ['[COMMAND]'],
    summary: 'Print the manual page, or that of a command, for man or into /usr/local/share/man/man8',
    options: [],
    run: async ({ io, positionals: [word] }: CommandCall) => {
      const tree = await loadTree();
      io.stdout(word === undefined ? renderManPage(tree) : renderGroupPage(tree, word));
      return EXIT.ok;
    },
  };
}

/** The words that several commands begin with: each has a page of its own. */
export function groupWords(tree: CommandTree): string[] {
  const words = tree.commands.filter(({ path }) => path.length > 1).map(({ path }) => path[0] ?? '');
  return [...new Set(words)];
}

/** The page of all commands that begin with `word`. Throws USAGE_BAD_VALUE. */
export function renderGroupPage(tree: CommandTree, word: string): string {
  const specs = tree.commands.filter(({ path }) => path[0] === word);
  if (specs.length === 0)
    throw new GweError('USAGE_BAD_VALUE', `no command '${word.slice(0, 40)}': see 'gwe help commands'`);
  const environment = TOPICS.filter(({ name }) => name === 'environment' || name === 'exit');
  return [
    `.TH GWE\\-${roff(word.toUpperCase())} 8 "" "gwe ${VERSION}" "Gateway Engine"`,
    '.SH NAME',
    roff(`gwe-${word} - ${specs[0]?.summary ?? ''}`),
    '.SH SYNOPSIS',
    ...specs.flatMap(({ path, positionals }, index) => [
      ...(index === 0 ? [] : ['.br']),
      `.B ${roff(['gwe', ...path, ...positionals].join(' '))}`,
    ]),
    '.SH COMMANDS',
    ...specs.flatMap((spec) => renderCommand({ ...spec, options: optionsShown(spec) })),
    ...environment.flatMap(renderTopic),
    '.SH SEE ALSO',
    '.BR gwe (8)',
    '',
  ].join('\n');
}

export function renderManPage(tree: CommandTree): string {
  return [
    `.TH GWE 8 "" "gwe ${VERSION}" "Gateway Engine"`,
    '.SH NAME',
    'gwe \\- keeps the software of a gateway up to date over the air',
    '.SH SYNOPSIS',
    '.B gwe',
    '.RI [ OPTION ...]',
    '.br',
    '.B gwe',
    '.IR COMMAND\\  [ OPTION ...]',
    '.SH DESCRIPTION',
    'Without options gwe runs in the foreground, as supervisord expects it: it checks in with its platform regularly,',
    'sends its reports, and carries out the updates that it is commanded to install.',
    '.SH OPTIONS',
    ...renderGroups(tree.flags),
    '.SH COMMANDS',
    ...tree.commands.flatMap(renderCommand),
    ...TOPICS.flatMap(renderTopic),
    '',
  ].join('\n');
}

function renderTopic({ title, intro, rows }: Topic): string[] {
  return [`.SH ${title}`, roff(intro), ...rows().flatMap(({ term, text }) => item(term, text))];
}

function renderGroups(options: readonly OptionSpec[]): string[] {
  const groups = [...new Set(options.map(({ group }) => group ?? 'Options'))];
  return groups.flatMap((group) => [
    `.SS ${roff(group)}`,
    ...options.filter((option) => (option.group ?? 'Options') === group).flatMap(renderOption),
  ]);
}

function renderOption(option: OptionSpec): string[] {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  const value = option.value === undefined ? '' : ` ${option.value}${option.many === true ? '...' : ''}`;
  const fallback = option.default === undefined ? '' : ` [default: ${option.default}]`;
  return item(`${short}--${option.name}${value}`, `${option.help}${fallback}`);
}

function renderCommand(spec: CommandSpec): string[] {
  const words = [...spec.path, ...spec.positionals].join(' ');
  const options = spec.options.flatMap(renderOption);
  const example = exampleOf(spec.path);
  const shown = example === undefined ? '' : ` Example: ${example}`;
  return [
    ...item(words, `${spec.summary}.${shown}`),
    ...(options.length === 0 ? [] : ['.RS', ...options, '.RE']),
  ];
}

function item(term: string, text: string): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(text)];
}

/** Nothing of `text` is a request or an escape of roff; a hyphen stays the one that can be copied. */
function roff(text: string): string {
  const plain = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq');
  return plain.replace(/^(?=[.'])/, '\\&');
}
