/** Rollouts in PostgreSQL at two processes, one or the other of which is killed between any two calls. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { fleetModelTest } from '../../helpers/fleet-model.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { databaseClock } from '../../helpers/postgres-clock.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

const server = await startPostgres();
after(() => server.end());

fleetModelTest(
  'PostgreSQL',
  async (t) => {
    const { url, set, end } = await databaseClock(server.freshUrl());
    const directory = mkdtempSync(join(tmpdir(), 'gwe-rollouts-'));
    const open = (): Promise<Storage> => openPostgresStorage({ url, directory, clock: createSystemClock() });
    const storages = [await open(), await open()];
    // A process that is gone answers nobody: it is closed when all is over, so that nothing of it is written before.
    const dead: Storage[] = [];
    t.after(async () => {
      for (const storage of [...storages, ...dead]) await storage.close();
      await end();
      removeRoot(directory);
    });
    return {
      storages,
      setClock: set,
      async kill(at) {
        const killed = storages[at];
        if (killed !== undefined) dead.push(killed);
        storages[at] = await open();
      },
    };
  },
  { runs: 4, steps: 30 },
);
