/** What a command is. Every command, option and help text comes from tables of these. */
import type { Clock } from '../../base/clock.ts';

export interface OptionSpec {
  /** Long name without dashes; also the key to read it by. */
  name: string;
  short?: string;
  /** Placeholder of its value (`SECONDS`); an option without one is a flag. */
  value?: string;
  /** With a value: takes every following word up to the next option, and may be repeated. */
  many?: boolean;
  help: string;
  /** Shown behind the help text as `[default: ...]`. */
  default?: string;
  /** Heading it is listed under in `--help`. */
  group?: string;
  /** Names that work and are not shown. */
  aliases?: readonly string[];
}

/** The world as a command sees it; tests pass their own. */
export interface CommandIo {
  stdout(text: string): void;
  stderr(text: string): void;
  stdin: NodeJS.ReadableStream;
  env: Readonly<Record<string, string | undefined>>;
  /** The working directory. Throws where it has been removed: ask `absolutePath`. */
  cwd(): string;
  /** Whether stdout is a terminal. */
  isTerminal: boolean;
  /** stderr, when it is a terminal: for what is redrawn in place. */
  terminal?: NodeJS.WritableStream | undefined;
  /** Width of the terminal, as far as it can be believed; 80 when it is not one. */
  columns: number;
  /** Its height, where it says one. */
  rows?: number | undefined;
  /** Aborts on SIGINT and SIGTERM. */
  signal: AbortSignal;
  clock: Clock;
}

export interface ParsedOptions {
  has(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): readonly string[];
}

export interface CommandCall {
  io: CommandIo;
  options: ParsedOptions;
  positionals: readonly string[];
}

export interface CommandSpec {
  /** The words that name it: ['platform', 'device', 'add']. */
  path: readonly string[];
  /** Names of its positional arguments; `[X]` is optional, `X...` takes one or more. */
  positionals: readonly string[];
  summary: string;
  options: readonly OptionSpec[];
  /** Returns the exit status. Throws GweError for anything that should be shown as an error. */
  run(call: CommandCall): Promise<number>;
}
