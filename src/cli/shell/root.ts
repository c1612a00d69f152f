/** Which root a command line means. */
import { loadEngineConfig } from '../../config/config-files.ts';
import { createLayout, type Layout } from '../../store/layout.ts';
import { findProgramPlace } from '../../supervisor/find-supervisor.ts';
import type { CommandIo, ParsedOptions } from './command.ts';
import { absolutePath } from './path.ts';

/** The root: --root, else GWE_ROOT, else the real one. */
export function layoutOf(io: CommandIo, options: ParsedOptions): Layout {
  return layoutAt(io, absolutePath(io, options.text('root') ?? io.env.GWE_ROOT ?? '/'));
}

/** With program entries where supervisord of this root includes them from. */
export function layoutAt({ env }: Pick<CommandIo, 'env'>, root: string): Layout {
  const usual = createLayout(root);
  try {
    return createLayout(root, findProgramPlace(env, root, loadEngineConfig(usual.engineConfig).values));
  } catch {
    // A file that cannot be read is reported by whatever needs it.
    return usual;
  }
}
