/** Rollouts in SQLite, killed between any two calls. */
import { cpSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { fleetModelTest } from '../../helpers/fleet-model.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

fleetModelTest(
  'SQLite',
  async (t) => {
    const home = mkdtempSync(join(tmpdir(), 'gwe-rollouts-'));
    let nowS = 0;
    let lives = 0;
    const clock = { wallMs: () => nowS * 1000, sleep: () => Promise.resolve() };
    const open = (): Promise<Storage> => openSqliteStorage({ directory: join(home, `${lives}`), clock });
    const storages = [await open()];
    t.after(async () => {
      for (const storage of storages) await storage.close();
      removeRoot(home);
    });
    return {
      storages,
      async setClock(unixSeconds) {
        nowS = unixSeconds;
      },
      async kill() {
        // What the files say at this moment is all that the next process finds.
        const [dead] = storages;
        mkdirSync(join(home, `${lives + 1}`), { mode: 0o700 });
        cpSync(join(home, `${lives}`), join(home, `${lives + 1}`), { recursive: true });
        lives += 1;
        storages[0] = await open();
        await dead?.close();
        removeRoot(join(home, `${lives - 1}`));
      },
    };
  },
  { runs: 20, steps: 60 },
);
