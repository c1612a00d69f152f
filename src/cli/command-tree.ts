/** All that can be typed, as data: what help, completion and the man page are made from. */
import type { CommandSpec, OptionSpec } from './command.ts';

export interface CommandTree {
  /** Options without a command. */
  flags: readonly OptionSpec[];
  commands: readonly CommandSpec[];
  /** Options that every command takes besides its own. */
  common: readonly OptionSpec[];
}

/** Every option of a command, its own first. */
export function optionsOf(tree: CommandTree, spec: CommandSpec): readonly OptionSpec[] {
  const names = new Set(spec.options.map(({ name }) => name));
  return [...spec.options, ...tree.common.filter(({ name }) => !names.has(name))];
}

/** `-f` and `--follow`. */
export function spellings(option: OptionSpec): string[] {
  return [...(option.short === undefined ? [] : [`-${option.short}`]), `--${option.name}`];
}
