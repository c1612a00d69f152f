/** A tick of a platform over a rollout to all gateways of a large fleet, and what their check-ins notice of it. */
import { setTimeout as delay } from 'node:timers/promises';
import { abort } from '../../../src/fleet/rollout/operate.ts';
import type { Change } from '../../../src/platform/storage/fleet-storage.ts';
import { addRollout, type DatabaseFleet, makeDatabaseFleet } from './on-database.ts';
import { drive, PRODUCT, serve } from './parts.ts';
import { type Bench, middleOf } from './table.ts';

/** Past the time in which a gateway may come and read. */
const LONG_AGO_S = 300_000;
const TICKS = 20;

export async function million({ scratch, load, part, tell }: Bench): Promise<void> {
  const count = part(1_000_000);
  const fleet = await makeDatabaseFleet(scratch, count);
  const now = Math.floor(Date.now() / 1000);
  await addRollout(fleet, 'young', now);
  const served = await serve(fleet, { words: ['--database', fleet.url] });
  try {
    await drive(load, ['-n', part(4000), served.port, fleet.keyFile]);
    const beside = async (what: string, work: () => Promise<number[]>): Promise<void> => {
      const checkIns = drive(load, [
        ...['-r', 200, '-n', 200 * TICKS, '-s', 5000, '-c', 512],
        ...[served.port, fleet.keyFile],
      ]);
      const ticks = await work();
      const { p99, failed } = await checkIns;
      if (failed > 0)
        tell({ what: 'check-ins that failed meanwhile', value: failed, unit: '', goal: { most: 0 } });
      const most = Math.max(...ticks);
      const name = `${count} members in PostgreSQL, ${what}`;
      tell({
        what: `${name}: the longest of ${ticks.length} ticks`,
        value: most,
        unit: 'ms',
        goal: { most: 1000 },
      });
      tell({ what: 'the middle one of them', value: middleOf(ticks), unit: 'ms' });
      tell({ what: 'p99 of check-ins at 200/s meanwhile', value: p99, unit: 'ms' });
    };
    await beside('none due', () => timeTicks(fleet));
    // Its waves have been open for so long that each member is looked at; all gateways have been heard of since.
    await addRollout(fleet, 'old', now - LONG_AGO_S);
    await beside('each looked at', () => timeTicks(fleet));
    const change = (id: string, run: Change): Promise<unknown> =>
      fleet.storage.changeRollout({ product: PRODUCT, id }, run, {
        ...{
          at: now,
          actor: 'ann',
          request: '',
          action: 'rollout.change',
          target: id,
          before: '',
          after: '',
        },
      });
    await change('young', (rollout) => abort(rollout, { by: 'ann', at: now }));
    await beside('withdrawn after an abort', () => timeTicks(fleet));
    await change('old', (rollout) => ({
      rollout: { ...rollout, policy: { ...rollout.policy, concurrency: count } },
    }));
    // Gateways of the second wave, the first time that they read.
    const args = ['-n', part(5000), '-s', part(50_000), served.port, fleet.keyFile];
    const { done, seconds, failed } = await drive(load, args);
    tell({ what: 'check-ins that are shown a command', value: done / seconds, unit: '/s' });
    if (failed > 0) tell({ what: 'of them failed', value: failed, unit: '', goal: { most: 0 } });
  } finally {
    await served.end();
    await fleet.end();
  }
}

/** What ticks take, one a second, of a process that has just started beside the one that serves. */
async function timeTicks(fleet: DatabaseFleet): Promise<number[]> {
  const storage = await fleet.open();
  const taken: number[] = [];
  for (let at = 0; at < TICKS; at++) {
    const begun = performance.now();
    await storage.tickRollouts();
    taken.push(performance.now() - begun);
    await delay(Math.max(0, 1000 - (taken.at(-1) ?? 0)));
  }
  await storage.close();
  return taken;
}
