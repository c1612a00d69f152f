import { lstatSync } from 'node:fs';
import { GweError } from './errors.ts';
import { type FileAccess, writeFileDurable } from './fs.ts';

/**
 * {@link writeFileDurable} for a path that a person chose. What stands there is theirs: anything but a file or a
 * symbolic link stays as it is, with `STORE_IO`, where a directory in the place of gwe's own state is moved aside.
 */
export function writeNamedFile(
  path: string,
  data: string | Uint8Array,
  access: number | FileAccess = 0o644,
): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile() && !there.isSymbolicLink()) {
    const found = there.isDirectory() ? 'a directory' : 'no regular file';
    throw new GweError(
      'STORE_IO',
      `cannot write '${path}': found ${found}, expected a file or nothing; it is left as it is`,
    );
  }
  writeFileDurable(path, data, access);
}
