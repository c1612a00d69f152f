/** SQLite and files hold to what every storage of the platform holds to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '../../../src/base/clock.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { storageSuite } from '../../helpers/storage-suite.ts';

storageSuite('SQLite and files', async (options = {}) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-storage-'));
  const clock = createSystemClock();
  const under = {
    storage: await openSqliteStorage({ ...options, directory, clock }),
    async reopen(again = options) {
      await under.storage.close();
      under.storage = await openSqliteStorage({ ...again, directory, clock });
      return under.storage;
    },
    async end() {
      await under.storage.close();
      rmSync(directory, { recursive: true });
    },
  };
  return under;
});
