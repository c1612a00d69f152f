/** argv -> command -> exit status: the only place where errors become text. */
import { describeError, GweError } from '../base/errors.ts';
import { SELF_TEST_ANSWER } from '../service/self-test.ts';
import type { CommandIo, CommandSpec } from './command.ts';
import type { CommandTree } from './command-tree.ts';
import { EXIT, exitStatusOf } from './exit.ts';
import type { FlagOptions } from './flags.ts';
import { type CommandSummary, renderCommandHelp, renderGroupHelp } from './help.ts';
import { FLAG_OPTIONS, GLOBAL_OPTIONS } from './options.ts';
import { nearestWord, parseArguments } from './parse.ts';
import { foldText } from './screen.ts';

/** Words that begin a command. They are loaded when used: a gateway that only checks in pays for none of them. */
const COMMAND_GROUPS: readonly (CommandSummary & {
  word: string;
  load(): Promise<readonly CommandSpec[]>;
})[] = [
  {
    word: 'status',
    words: 'status',
    summary: 'who this gateway is, its check-ins and its last update',
    load: async () => [(await import('./status.ts')).statusCommand],
  },
  {
    word: 'list',
    words: 'list',
    summary: 'the installed apps and the state of their programs',
    load: async () => [(await import('./list.ts')).listCommand],
  },
  {
    word: 'history',
    words: 'history [APP]',
    summary: 'the last updates and how they ended',
    load: async () => [(await import('./history.ts')).historyCommand],
  },
  {
    word: 'logs',
    words: 'logs APP',
    summary: 'what the program of an app wrote',
    load: async () => [(await import('./logs.ts')).logsCommand],
  },
  {
    word: 'start',
    words: 'start APP',
    summary: 'start the program of an app',
    load: async () => [(await import('./control.ts')).startCommand],
  },
  {
    word: 'stop',
    words: 'stop APP',
    summary: 'stop it',
    load: async () => [(await import('./control.ts')).stopCommand],
  },
  {
    word: 'restart',
    words: 'restart APP',
    summary: 'stop and start it',
    load: async () => [(await import('./control.ts')).restartCommand],
  },
  {
    word: 'rollback',
    words: 'rollback APP',
    summary: 'go back to the version before',
    load: async () => [(await import('./rollback.ts')).rollbackCommand],
  },
  {
    word: 'remove',
    words: 'remove APP',
    summary: 'take an app away',
    load: async () => [(await import('./remove.ts')).removeCommand],
  },
  {
    word: 'plan',
    words: 'plan TARBALL|ID',
    summary: 'what an update would do, and whether it can',
    load: async () => [(await import('./plan.ts')).planCommand],
  },
  {
    word: 'traffic',
    words: 'traffic',
    summary: 'bytes by purpose and day, and what is left of the budget',
    load: async () => [(await import('./traffic.ts')).trafficCommand],
  },
  {
    word: 'report',
    words: 'report',
    summary: 'the reports that the next check-in would send',
    load: async () => [(await import('./report.ts')).reportCommand],
  },
  {
    word: 'lease',
    words: 'lease [APP]',
    summary: 'put updates of an app off for a while, or list who does',
    load: async () => [(await import('./lease.ts')).leaseCommand],
  },
  {
    word: 'check-in',
    words: 'check-in',
    summary: 'have the running gwe check in at once',
    load: async () => [(await import('./check-in.ts')).checkInCommand],
  },
  {
    word: 'keygen',
    words: 'keygen',
    summary: 'make a key to sign tarballs with',
    load: async () => [(await import('./keys.ts')).keygenCommand],
  },
  {
    word: 'sign',
    words: 'sign TARBALL',
    summary: 'add a signature to a tarball',
    load: async () => [(await import('./sign.ts')).signCommand],
  },
  {
    word: 'verify',
    words: 'verify TARBALL',
    summary: 'who has signed a tarball, and whether it is whole',
    load: async () => [(await import('./sign.ts')).verifyCommand],
  },
  {
    word: 'inspect',
    words: 'inspect TARBALL',
    summary: 'what is in a tarball, and what an update to it fetches',
    load: async () => [(await import('./inspect.ts')).inspectCommand],
  },
  {
    word: 'patch',
    words: 'patch OLD NEW',
    summary: 'make a patch that turns one version of an app into the next',
    load: async () => [(await import('./patch.ts')).patchCommand],
  },
  {
    word: 'keys',
    words: 'keys ...',
    summary: 'whose signatures this gateway trusts',
    load: async () => (await import('./keys.ts')).keysCommands,
  },
  {
    word: 'platform',
    words: 'platform ...',
    summary: 'run the embedded platform, or talk to one',
    load: async () => (await import('./platform.ts')).platformCommands,
  },
  {
    word: 'service',
    words: 'service ...',
    summary: 'have gwe started at every boot, or no longer',
    load: async () => (await import('./service.ts')).serviceCommands(loadTree),
  },
  {
    word: 'completion',
    words: 'completion SHELL',
    summary: 'a completion script for bash or zsh',
    load: async () => [(await import('./completion.ts')).completionCommand(loadTree)],
  },
  {
    word: 'man',
    words: 'man',
    summary: 'the manual page',
    load: async () => [(await import('./man.ts')).manCommand(loadTree)],
  },
  {
    word: 'doctor',
    words: 'doctor',
    summary: 'look for what would stop an update',
    load: async () => (await import('./doctor.ts')).doctorCommands,
  },
];

export type DispatchOptions = Pick<FlagOptions, 'control'>;

/** Everything that can be typed. */
async function loadTree(): Promise<CommandTree> {
  const commands = await Promise.all(COMMAND_GROUPS.map((group) => group.load()));
  return { flags: FLAG_OPTIONS, commands: commands.flat(), common: GLOBAL_OPTIONS };
}

/** Carries out one command line. Never throws. */
export async function dispatch(
  argv: readonly string[],
  io: CommandIo,
  options: DispatchOptions,
): Promise<number> {
  try {
    const [first] = argv;
    if (first === SELF_TEST && argv.length === 1) return await selfTest(io);
    if (first === CANARY && argv.length === 1) return await canary(io);
    const words = behindCommand(argv);
    const [command] = words;
    if (command !== undefined && !command.startsWith('-')) return await runNamedCommand(command, words, io);
    const { runFlags } = await import('./flags.ts');
    return await runFlags(argv, io, { ...options, commands: COMMAND_GROUPS });
  } catch (error) {
    return reportError(error, io);
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

/** Asked for by the launcher and before an executable is installed; not in the tables, so that --help is silent. */
const SELF_TEST = '--self-test';

/** Loads all that an agent needs, then says so: an executable that is damaged or lacks a library does not get so far. */
async function selfTest(io: CommandIo): Promise<number> {
  await Promise.all([import('./run.ts'), import('../agent/carry-out.ts'), import('../agent/recover.ts')]);
  return say(io, `${SELF_TEST_ANSWER}\n`);
}

/** Asked for by the running gwe before a new executable takes its place. */
const CANARY = '--canary';

async function canary(io: CommandIo): Promise<number> {
  const { canaryCommand } = await import('./canary.ts');
  return canaryCommand(io);
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

function say(io: CommandIo, text: string): number {
  io.stdout(text);
  return EXIT.ok;
}

function reportError(error: unknown, io: CommandIo): number {
  const text = `gwe: ${describeError(error)}`;
  io.stderr(`${io.terminal === undefined ? text : foldText(text, io.columns, 2).join('\n')}\n`);
  if (!(error instanceof GweError)) return EXIT.failed;
  const status = exitStatusOf(error.code);
  if (status === EXIT.usage) io.stderr("gwe: see 'gwe --help'\n");
  return status;
}
