/** What a path on a command line means. */
import { isAbsolute, resolve } from 'node:path';
import { GweError, wrapError } from '../../base/errors.ts';
import type { CommandIo } from './command.ts';

/**
 * `path` from the working directory, which is read only where it matters: it may have been removed, and gwe has to
 * start all the same. Throws USAGE_BAD_VALUE for a relative path then.
 */
export function absolutePath(io: Pick<CommandIo, 'cwd'>, path: string): string {
  if (isAbsolute(path)) return resolve(path);
  try {
    return resolve(io.cwd(), path);
  } catch (error) {
    if (error instanceof GweError) throw error;
    throw wrapError(
      error,
      'USAGE_BAD_VALUE',
      `cannot use the relative path '${path}': the working directory cannot be read (it may have been removed), ` +
        'expected an absolute path, or gwe to be called from another directory',
    );
  }
}
