/** What the fleet keeps, in SQLite. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { fleetSuite } from '../../helpers/fleet-suite.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

fleetSuite('SQLite', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  let nowS = 0;
  const clock = { wallMs: () => nowS * 1000, sleep: () => Promise.resolve() };
  const storage = await openSqliteStorage({ directory, clock });
  t.after(async () => {
    await storage.close();
    removeRoot(directory);
  });
  return {
    storage,
    async setClock(unixSeconds) {
      nowS = unixSeconds;
    },
  };
});
