/** argv -> command -> exit status: the only place where errors become text. */
import { resolve } from 'node:path';
import { describeError, GweError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { createLayout, type Layout } from '../store/layout.ts';
import type { CommandIo, CommandSpec, ParsedOptions } from './command.ts';
import { configure, showCik, showEngineConfig, showGatewayConfig } from './configure.ts';
import { EXIT, exitStatusOf } from './exit.ts';
import { type CommandSummary, renderCommandHelp, renderGroupHelp, renderMainHelp } from './help.ts';
import { FLAG_OPTIONS, GLOBAL_OPTIONS } from './options.ts';
import { nearestWord, parseArguments } from './parse.ts';

/** Words that begin a command. They are loaded when used: a gateway that only checks in pays for none of them. */
const COMMAND_GROUPS: readonly (CommandSummary & {
  word: string;
  load(): Promise<readonly CommandSpec[]>;
})[] = [
  {
    word: 'platform',
    words: 'platform ...',
    summary: 'run the embedded platform, or talk to one',
    load: async () => (await import('./platform.ts')).platformCommands,
  },
];

export interface DispatchOptions {
  /** SIGHUP: check in at once. */
  onWake(wake: () => void): void;
}

/** Carries out one command line. Never throws. */
export async function dispatch(
  argv: readonly string[],
  io: CommandIo,
  options: DispatchOptions,
): Promise<number> {
  try {
    const [first] = argv;
    if (first !== undefined && !first.startsWith('-')) return await runNamedCommand(first, argv, io);
    return await runFlags(argv, io, options);
  } catch (error) {
    return reportError(error, io);
  }
}

async function runFlags(
  argv: readonly string[],
  io: CommandIo,
  dispatchOptions: DispatchOptions,
): Promise<number> {
  const { options, positionals } = parseArguments(argv, FLAG_OPTIONS);
  if (positionals[0] !== undefined) {
    throw new GweError(
      'USAGE_BAD_OPTION',
      `unexpected argument '${positionals[0]}'; a command comes before all options`,
    );
  }
  if (options.has('help')) return say(io, renderMainHelp(FLAG_OPTIONS, COMMAND_GROUPS));
  if (options.has('version')) return say(io, `${VERSION}\n`);
  if (BUILD_OPTIONS.some((name) => options.has(name))) return runBuild(io, options);
  const layout = layoutOf(io, options);
  const hasSet = configure(io, options, layout);
  const hasShown = show(io, options, layout);
  if ((hasSet || hasShown) && !options.has('once')) return EXIT.ok;
  const { runCommand } = await import('./run.ts');
  return runCommand(io, { layout, once: options.has('once'), onWake: dispatchOptions.onWake });
}

const BUILD_OPTIONS = [
  'create-buildfile',
  'check-buildfile',
  'build-app',
  'check-tarball',
  'build-app-tarball',
];

/** The developer's options; one at a time, and not together with those of a gateway. */
async function runBuild(io: CommandIo, options: ParsedOptions): Promise<number> {
  const given = BUILD_OPTIONS.filter((name) => options.has(name));
  if (given.length > 1) {
    throw new GweError(
      'USAGE_BAD_OPTION',
      `--${given.join(' and --')} contradict each other; give one of them`,
    );
  }
  const { buildActions } = await import('./build.ts');
  const name = options.text('app-name');
  const version = options.text('app-version');
  const file = options.text('file');
  const named = { ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) };
  if (options.has('create-buildfile')) {
    return buildActions.createBuildfile(io, { ...named, ...(file === undefined ? {} : { file }) });
  }
  if (options.has('build-app-tarball')) return buildActions.buildAppTarball(io, named);
  const argument = options.text(given[0] ?? '') ?? '';
  if (given[0] === 'check-buildfile') return buildActions.checkBuildfile(io, argument);
  if (given[0] === 'check-tarball') return buildActions.checkTarball(io, argument);
  return buildActions.buildApp(io, argument);
}

function show(io: CommandIo, options: ParsedOptions, layout: Layout): boolean {
  const shown = [
    options.has('gateway-cfg') ? showGatewayConfig(layout) : '',
    options.has('engine-conf') ? showEngineConfig(layout) : '',
    options.has('gateway-cik') ? showCik(layout) : '',
  ].filter((text) => text !== '');
  io.stdout(shown.join(''));
  return shown.length > 0;
}

async function runNamedCommand(first: string, argv: readonly string[], io: CommandIo): Promise<number> {
  const group = COMMAND_GROUPS.find((candidate) => candidate.word === first);
  if (group === undefined) {
    const nearest = nearestWord(
      first,
      COMMAND_GROUPS.map((candidate) => candidate.word),
    );
    throw new GweError(
      'USAGE_BAD_OPTION',
      `unknown command '${first}'${nearest === undefined ? '' : `, did you mean '${nearest}'?`}`,
    );
  }
  const specs = await group.load();
  const words = argv.slice(
    0,
    argv.findIndex((word) => word.startsWith('-')) === -1
      ? undefined
      : argv.findIndex((word) => word.startsWith('-')),
  );
  const spec = specs
    .filter((candidate) => candidate.path.every((word, index) => words[index] === word))
    .sort((a, b) => b.path.length - a.path.length)[0];
  if (spec === undefined) {
    if (argv.includes('--help') || argv.includes('-h')) return say(io, renderGroupHelp(first, specs));
    throw unknownCommand(words, specs, group.word);
  }
  return runSpec(spec, argv.slice(spec.path.length), io);
}

async function runSpec(spec: CommandSpec, argv: readonly string[], io: CommandIo): Promise<number> {
  const names = new Set(spec.options.map((option) => option.name));
  const specs = [...spec.options, ...GLOBAL_OPTIONS.filter((option) => !names.has(option.name))];
  const { options, positionals } = parseArguments(argv, specs);
  if (options.has('help')) return say(io, renderCommandHelp({ ...spec, options: specs }));
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

function unknownCommand(words: readonly string[], specs: readonly CommandSpec[], group: string): GweError {
  const found = words.slice(0, 3).join(' ');
  const nearest = nearestWord(
    found,
    specs.map((spec) => spec.path.join(' ')),
  );
  const hint = nearest === undefined ? `see 'gwe ${group} --help'` : `did you mean 'gwe ${nearest}'?`;
  return new GweError('USAGE_BAD_OPTION', `unknown command 'gwe ${found}', ${hint}`);
}

/** The root: --root, else GWE_ROOT, else the real one. */
export function layoutOf(io: CommandIo, options: ParsedOptions): Layout {
  return createLayout(resolve(io.cwd, options.text('root') ?? io.env.GWE_ROOT ?? '/'));
}

function say(io: CommandIo, text: string): number {
  io.stdout(text);
  return EXIT.ok;
}

function reportError(error: unknown, io: CommandIo): number {
  io.stderr(`gwe: ${describeError(error)}\n`);
  if (!(error instanceof GweError)) return EXIT.failed;
  const status = exitStatusOf(error.code);
  if (status === EXIT.usage) io.stderr("gwe: see 'gwe --help'\n");
  return status;
}
