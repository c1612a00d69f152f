/** argv -> command -> exit status: the only place where errors become text. */
import { describeError, GweError } from '../base/errors.ts';
import { SELF_TEST_ANSWER } from '../service/self-test.ts';
import { COMMAND_GROUPS } from './commands.ts';
import type { FlagOptions } from './flags.ts';
import type { CommandIo, CommandSpec } from './shell/command.ts';
import { EXIT, exitStatusOf } from './shell/exit.ts';
import { nearestMeaning } from './shell/meaning.ts';
import { GLOBAL_OPTIONS } from './shell/options.ts';
import { parseArguments } from './shell/parse.ts';
import { believeColumns, foldText } from './shell/screen.ts';

type DispatchOptions = Pick<FlagOptions, 'control'>;

/** Carries out one command line. Never throws. */
export async function dispatch(
  argv: readonly string[],
  io: CommandIo,
  options: DispatchOptions,
): Promise<number> {
  let page = 'gwe help options';
  const found = (path: readonly string[]): void => {
    page = `gwe help ${path.join(' ')}`;
  };
  try {
    const [first] = argv;
    if (first === SELF_TEST && argv.length === 1) return await selfTest(io);
    if (first === CANARY && argv.length === 1) return await canary(io);
    if (first === COMPLETE) return await complete(io, argv.slice(1));
    const words = behindCommand(argv);
    const [command] = words;
    if (command !== undefined && !command.startsWith('-')) return await runNamedCommand(words, io, found);
    const { runFlags } = await import('./flags.ts');
    return await runFlags(argv, io, options);
  } catch (error) {
    return reportError(error, io, page);
  }
}

/** `gwe --root DIR list` as `gwe list --root DIR`: a person who writes scripts puts the root first. */
function behindCommand(argv: readonly string[]): readonly string[] {
  const [first = ''] = argv;
  const count = first === '--root' ? 2 : first.startsWith('--root=') ? 1 : 0;
  return count === 0 || argv[count] === undefined || argv[count].startsWith('-')
    ? argv
    : [...argv.slice(count), ...argv.slice(0, count)];
}

/** Used by the launcher, and before an executable is installed; not in the tables, so that --help is silent. */
const SELF_TEST = '--self-test';

/**
 * Loads all that an agent needs, then says so: an executable that is damaged or lacks a library does not get that
 * far.
 */
async function selfTest(io: CommandIo): Promise<number> {
  await Promise.all([
    import('./gateway/run.ts'),
    import('../agent/commands/carry-out.ts'),
    import('../agent/effects/recover.ts'),
  ]);
  return say(io, `${SELF_TEST_ANSWER}\n`);
}

/** Asked for by the running gwe before a new executable takes its place. */
const CANARY = '--canary';

async function canary(io: CommandIo): Promise<number> {
  const { canaryCommand } = await import('./gateway/canary.ts');
  return canaryCommand(io);
}

/** Asked for by the completion scripts of shells. */
const COMPLETE = '--complete';

async function complete(io: CommandIo, words: readonly string[]): Promise<number> {
  const { printOffers } = await import('./shell/complete.ts');
  await printOffers(io, COMMAND_GROUPS, words);
  return EXIT.ok;
}

/** `found` receives the words of the command, for the message about what was wrong with it. */
async function runNamedCommand(
  argv: readonly string[],
  io: CommandIo,
  found: (path: readonly string[]) => void,
): Promise<number> {
  const [first = ''] = argv;
  const group = COMMAND_GROUPS.find((candidate) => candidate.word === first);
  if (group === undefined) {
    throw unknownWord(
      [first],
      [],
      COMMAND_GROUPS.map((candidate) => candidate.word),
    );
  }
  const specs = await group.load();
  const firstOption = argv.findIndex((word) => word.startsWith('-'));
  const words = argv.slice(0, firstOption === -1 ? undefined : firstOption);
  const spec = specs
    .filter((candidate) => candidate.path.every((word, index) => words[index] === word))
    .sort((a, b) => b.path.length - a.path.length)[0];
  if (spec !== undefined) {
    found(spec.path);
    return runSpec(spec, argv.slice(spec.path.length), io);
  }
  const below = deepestGroup(words, specs);
  // `gwe platform` alone is a question.
  if (below.path.length === words.length) {
    const options = argv.slice(words.length).filter((word) => word !== '--help' && word !== '-h');
    if (options[0] === undefined) return showGroup(io, below);
  }
  const next = below.specs.map((candidate) => candidate.path[below.path.length] ?? '');
  throw unknownWord(words, below.path, next);
}

interface CommandGroupPath {
  path: readonly string[];
  specs: readonly CommandSpec[];
}

/** The commands that begin with as many of `words` as any do. */
function deepestGroup(words: readonly string[], specs: readonly CommandSpec[]): CommandGroupPath {
  for (let depth = words.length; ; depth--) {
    const path = words.slice(0, depth);
    const found = specs.filter((spec) => path.every((word, index) => spec.path[index] === word));
    if (found.length > 0 || depth === 0) return { path, specs: found };
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  const words = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined);
  return words.includes('--help') || words.includes('-h');
}

/** Help is loaded by whoever wants it. */
async function showGroup(io: CommandIo, group: CommandGroupPath): Promise<number> {
  const [help, pager] = await Promise.all([import('./shell/help.ts'), import('./shell/pager.ts')]);
  return pager.showPage(io, help.renderGroupHelp(group.path, group.specs));
}

async function showCommand(io: CommandIo, spec: CommandSpec): Promise<number> {
  const [help, pager] = await Promise.all([import('./shell/help.ts'), import('./shell/pager.ts')]);
  return pager.showPage(io, help.renderCommandHelp({ ...spec, options: help.optionsShown(spec) }));
}

async function runSpec(spec: CommandSpec, argv: readonly string[], io: CommandIo): Promise<number> {
  const names = new Set(spec.options.map((option) => option.name));
  const specs = [...spec.options, ...GLOBAL_OPTIONS.filter((option) => !names.has(option.name))];
  if (asksForHelp(argv)) return showCommand(io, spec);
  const { options, positionals } = parseArguments(argv, specs);
  if (options.has('help')) return showCommand(io, spec);
  checkPositionals(spec, positionals);
  return spec.run({ io, options, positionals });
}

function checkPositionals(spec: CommandSpec, positionals: readonly string[]): void {
  const least = spec.positionals.filter((name) => !name.startsWith('[')).length;
  const isOpen = spec.positionals.some((name) => name.includes('...'));
  const usage = ['gwe', ...spec.path, ...spec.positionals].join(' ');
  if (positionals.length < least) {
    throw new GweError('USAGE_MISSING', `missing ${spec.positionals[positionals.length]}; usage: ${usage}`);
  }
  if (!isOpen && positionals.length > spec.positionals.length) {
    throw new GweError(
      'USAGE_BAD_OPTION',
      `unexpected argument '${positionals[spec.positionals.length]}'; usage: ${usage}`,
    );
  }
}

/** `words` were typed, `known` of them name a group, and `candidates` are what may follow. */
function unknownWord(
  words: readonly string[],
  known: readonly string[],
  candidates: readonly string[],
): GweError {
  const word = words[known.length];
  const page = ['gwe', 'help', ...known].join(' ');
  const before = ['gwe', ...known].join(' ');
  if (word === undefined)
    return new GweError('USAGE_MISSING', `${before}: a command is missing; see '${page}'`);
  const nearest = nearestMeaning(word, candidates);
  const meant = nearest === undefined ? '' : `, did you mean '${before} ${nearest}'?`;
  return new GweError(
    'USAGE_BAD_OPTION',
    `unknown command '${before} ${word.slice(0, 60)}'${meant}; see '${page}'`,
  );
}

function say(io: CommandIo, text: string): number {
  io.stdout(text);
  return EXIT.ok;
}

/** `page` is the help of what was typed. */
function reportError(error: unknown, io: CommandIo, page: string): number {
  const said = error instanceof GweError && error.said !== undefined ? `; ${error.said}` : '';
  const text = `gwe: ${describeError(error)}${said}`;
  io.stderr(
    `${io.terminal === undefined ? text : foldText(text, believeColumns(io.columns), 2).join('\n')}\n`,
  );
  if (!(error instanceof GweError)) return EXIT.failed;
  const status = exitStatusOf(error.code);
  if (status === EXIT.usage && !text.includes("'gwe help")) io.stderr(`gwe: see '${page}'\n`);
  return status;
}
