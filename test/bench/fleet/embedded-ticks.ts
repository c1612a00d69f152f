/** The same ticks over 100,000 members in SQLite, where everything else waits while a part is looked at. */
import { chmodSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { createSystemClock } from '../../../src/base/clock.ts';
import { abort } from '../../../src/fleet/rollout/operate.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { rolloutOf } from './on-database.ts';
import { PRODUCT } from './parts.ts';
import type { Bench } from './table.ts';

const TICKS = 50;

export async function embeddedTicks({ scratch, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const count = part(100_000);
  const directory = join(scratch, 'ticks');
  cpSync((await fleetOf(100_000)).directory, directory, { recursive: true });
  chmodSync(directory, 0o700);
  const storage = await openSqliteStorage({ directory, clock: createSystemClock() });
  const now = Math.floor(Date.now() / 1000);
  const audit = { at: now, actor: 'ann', request: '', action: '', target: 'r', before: '', after: '' };
  const serials = Array.from({ length: count }, (_, n) => `gw-${String(n).padStart(7, '0')}`);
  const rollout = rolloutOf('r', [0, count, 0], now);
  await storage.createRollout({ product: PRODUCT, name: 'r', rollout }, [[], serials, []], audit);
  const change = (rollout: Parameters<typeof abort>[0]): ReturnType<typeof abort> =>
    abort(rollout, { by: 'ann', at: now });
  await storage.changeRollout({ product: PRODUCT, id: 'r' }, change, audit);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let most = 0;
  for (let at = 0; at < TICKS; at++) {
    const begun = performance.now();
    await storage.tickRollouts();
    most = Math.max(most, performance.now() - begun);
    await turn();
  }
  delay.disable();
  await storage.close();
  const name = `${count} members in SQLite, withdrawn after an abort`;
  tell({ what: `${name}: the longest of ${TICKS} ticks`, value: most, unit: 'ms', goal: { most: 1000 } });
  tell({ what: 'the longest time in which nothing else was done', value: delay.max / 1e6, unit: 'ms' });
}
