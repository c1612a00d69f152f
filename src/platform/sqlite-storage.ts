/** Storage in one directory: `platform.db` and content as files. One process at a time. */
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { ensureDirectory } from '../base/fs.ts';
import { createBlobStore } from './blobs.ts';
import { createContentTable } from './content-table.ts';
import { createDeviceTable } from './device-table.ts';
import { ACTIVATION_WINDOW_SECONDS } from './limits.ts';
import { openDatabase } from './sqlite.ts';
import type { Storage } from './storage.ts';
import { createValueTable } from './value-table.ts';

export interface SqliteStorageOptions {
  directory: string;
  clock: Pick<Clock, 'wallMs'>;
}

/** Opens or makes the directory (0700) and removes what a crash left half done. Throws PLATFORM_STATE. */
export async function openSqliteStorage(options: SqliteStorageOptions): Promise<Storage> {
  ensureDirectory(options.directory, 0o700);
  const database = openDatabase(join(options.directory, 'platform.db'));
  const nowSeconds = (): number => Math.floor(options.clock.wallMs() / 1000);
  const blobs = createBlobStore(options.directory);
  const known = database.prepare('SELECT 1 FROM content WHERE blob = ?');
  blobs.sweep((blob) => known.get(blob) !== undefined);
  return {
    ...createDeviceTable({ database, nowSeconds, windowSeconds: ACTIVATION_WINDOW_SECONDS }),
    ...createValueTable({ database, nowSeconds }),
    ...createContentTable({ database, blobs, nowSeconds }),
    close: () => database.close(),
  };
}
