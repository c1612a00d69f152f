/**
 * Rollouts in PostgreSQL at two processes whose own clocks are wrong, and one or the other of which is killed between any
 * two calls.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Clock, createSystemClock } from '../../../src/base/clock.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { fleetModelTest } from '../../helpers/fleet-model.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { databaseClock } from '../../helpers/postgres-clock.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

const HOUR_MS = 3_600_000;
/** The clock of the database decides: that of one process is five hours ahead, another's goes backwards from last week. */
function wrongClocks(): () => Clock {
  const right = createSystemClock();
  const begunMs = right.wallMs();
  const ahead = { ...right, wallMs: () => right.wallMs() + 5 * HOUR_MS };
  const backwards = { ...right, wallMs: () => 2 * begunMs - right.wallMs() - 7 * 24 * HOUR_MS };
  let opened = 0;
  return () => (opened++ % 2 === 0 ? ahead : backwards);
}

const server = await startPostgres();
after(() => server.end());

fleetModelTest(
  'PostgreSQL',
  async (t) => {
    const { url, set, end } = await databaseClock(server.freshUrl());
    const directory = mkdtempSync(join(tmpdir(), 'gwe-rollouts-'));
    const nextClock = wrongClocks();
    const open = (): Promise<Storage> => openPostgresStorage({ url, directory, clock: nextClock() });
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
