/** SIGKILL of the only platform, at any moment under load, on each database. GWE_FLEET=full: 35 rounds on each. */
import { after, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createFleetLoad, type FleetLoad } from '../helpers/fleet-load.ts';
import { type PlatformProcess, startPlatformProcess } from '../helpers/platform-process.ts';
import { startPostgres, type TestPostgres } from '../helpers/postgres.ts';

const isFull = process.env.GWE_FLEET === 'full';
const [rounds, longestMs] = isFull ? [35, 2000] : [2, 400];

let server: TestPostgres | undefined;
after(() => server?.end());

async function killedOften(t: TestContext, platform: PlatformProcess): Promise<void> {
  t.after(() => platform.end());
  // Few writers, each often alone in its commit, and many together; both know what they know from round to round.
  const loads: Record<number, FleetLoad> = {};
  for (let round = 0; round < rounds; round++) {
    const gateways = round % 2 === 0 ? 8 : 40;
    loads[gateways] ??= await createFleetLoad({ urls: [platform.url], name: `of-${gateways}`, gateways });
    const load = loads[gateways];
    load.start();
    await load.progress();
    await delay(Math.random() * longestMs);
    await platform.kill();
    const stopped = load.stop();
    await platform.start();
    await stopped;
    await load.verify();
  }
  const counts = Object.values(loads).map((load) => JSON.stringify(load.counts));
  t.diagnostic(`${rounds} rounds: ${counts.join(', ')}; nothing lost`);
}

test('killed again and again, a platform in SQLite loses nothing that it acknowledged', async (t) => {
  await killedOften(t, await startPlatformProcess());
});

test('killed again and again, a platform in PostgreSQL loses nothing that it acknowledged', async (t) => {
  server = await startPostgres();
  await killedOften(t, await startPlatformProcess({ database: { url: server.freshUrl() } }));
});
