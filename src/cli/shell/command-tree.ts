/** All that can be typed, as data: what help, completion and the man page are made from. */
import type { CommandSpec, OptionSpec } from './command.ts';

export interface CommandTree {
  /** Options without a command. */
  flags: readonly OptionSpec[];
  commands: readonly CommandSpec[];
}

/** `-f` and `--follow`. */
export function spellings(option: OptionSpec): string[] {
  return [...(option.short === undefined ? [] : [`-${option.short}`]), `--${option.name}`];
}
