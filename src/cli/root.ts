/** Which root a command line means. */
import { resolve } from 'node:path';
import { createLayout, type Layout } from '../store/layout.ts';
import type { CommandIo, ParsedOptions } from './command.ts';

/** The root: --root, else GWE_ROOT, else the real one. */
export function layoutOf(io: CommandIo, options: ParsedOptions): Layout {
  return createLayout(resolve(io.cwd, options.text('root') ?? io.env.GWE_ROOT ?? '/'));
}
