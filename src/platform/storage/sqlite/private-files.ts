/**
 * The directory of a platform is private: nobody else may read the values, the digests of keys or the admin token.
 */
import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../../base/errors.ts';
import { ensureDirectory, listDirectory } from '../../../base/fs.ts';

const OF_OTHERS = 0o077;
const DATABASE_FILES = ['platform.db', 'platform.db-wal', 'platform.db-shm', 'admin-token'];

/**
 * Makes the directory (0700); an existing empty one gets that mode. Files in it that others may read are closed to
 * them. Throws PLATFORM_STATE for a directory that is not empty and that others may enter: somebody may have read it
 * already.
 */
export function ensurePrivateDirectory(directory: string): void {
  ensureDirectory(directory, 0o700);
  const mode = statSync(directory).mode & 0o777;
  if ((mode & OF_OTHERS) !== 0) {
    if (listDirectory(directory).length > 0)
      throw new GweError(
        'PLATFORM_STATE',
        `cannot keep a platform in '${directory}': found mode ${mode.toString(8)}, expected 700, since others could ` +
          `read its values; run chmod 700 '${directory}' and start again`,
      );
    chmodSync(directory, 0o700);
  }
  for (const name of DATABASE_FILES) {
    const path = join(directory, name);
    if (existsSync(path) && (statSync(path).mode & OF_OTHERS) !== 0) chmodSync(path, 0o600);
  }
  // SQLite would create it by the umask, and its other files with the same mode.
  closeSync(openSync(join(directory, 'platform.db'), 'a', 0o600));
}
