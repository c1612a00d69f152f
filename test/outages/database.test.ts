/** Three platforms on one PostgreSQL, under load, while the database crashes: `make test-fleet` alone runs it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createFleetLoad } from '../helpers/fleet-load.ts';
import { type PlatformProcess, startPlatformProcess } from '../helpers/platform-process.ts';
import { startPostgres, type TestPostgres } from '../helpers/postgres.ts';

const isFull = process.env.GWE_FLEET === 'full';
const [rounds, longestMs] = isFull ? [10, 2000] : [1, 300];
const content = mkdtempSync(join(tmpdir(), 'gwe-outages-'));

let server: TestPostgres;
before(async () => {
  server = await startPostgres();
});
after(async () => {
  await server.end();
  rmSync(content, { recursive: true, force: true });
});

type Shared = Parameters<typeof startPlatformProcess>[0];

async function threePlatforms(t: TestContext, shared: Shared): Promise<PlatformProcess[]> {
  const platforms: PlatformProcess[] = [];
  t.after(() => Promise.all(platforms.map((each) => each.end())));
  const database = { url: server.freshUrl() };
  for (let n = 0; n < 3; n++) platforms.push(await startPlatformProcess({ database, ...shared }));
  return platforms;
}

/** `outage` begins and ends with everybody at work; after each one all are answered again, and nothing is lost. */
async function underLoad(
  t: TestContext,
  platforms: readonly PlatformProcess[],
  outage: (round: number) => Promise<void>,
): Promise<void> {
  const urls = platforms.map(({ url }) => url);
  const load = await createFleetLoad({ urls, name: 'gw', gateways: 12 });
  for (let round = 0; round < rounds; round++) {
    load.start();
    await load.progress();
    await delay(Math.random() * longestMs);
    await outage(round);
    await load.progress();
    await load.stop();
    await load.verify();
  }
  t.diagnostic(`${rounds} rounds: ${JSON.stringify(load.counts)}; nothing lost`);
}

test('the database crashes and comes back: the platforms wait and go on by themselves', async (t) => {
  await underLoad(t, await threePlatforms(t, { dir: join(content, 'crashed') }), () => server.crash());
});
