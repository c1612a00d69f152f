/**
 * Three platforms on one PostgreSQL and one S3 store, under load, while one of them, the database or the store is killed:
 * `make test-fleet` alone runs it.
 */
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createFleetLoad, type FleetLoad } from '../helpers/fleet-load.ts';
import { startObjectStore, type TestObjectStore } from '../helpers/object-store.ts';
import { type PlatformProcess, startPlatformProcess } from '../helpers/platform-process.ts';
import { startPostgres, type TestPostgres } from '../helpers/postgres.ts';
import { until } from '../helpers/until.ts';

const isFull = process.env.GWE_FLEET === 'full';
const [rounds, longestMs] = isFull ? [10, 2000] : [1, 300];

let server: TestPostgres;
let store: TestObjectStore;
before(async () => {
  server = await startPostgres();
  store = await startObjectStore();
});
after(async () => {
  await server?.end();
  await store?.end();
});

interface Replica extends PlatformProcess {
  /** Of its connections to the database. */
  name: string;
}

async function threeReplicas(t: TestContext): Promise<Replica[]> {
  const replicas: Replica[] = [];
  t.after(() => Promise.all(replicas.map((each) => each.end())));
  const [url, objects] = [server.freshUrl(), await store.freshBucket()];
  for (let n = 0; n < 3; n++) {
    const name = `replica-${n}`;
    const database = { url: `${url}?application_name=${name}` };
    replicas.push({ ...(await startPlatformProcess({ database, objects })), name });
  }
  return replicas;
}

interface Outage {
  /** Begins and ends with everybody at work. */
  happens(round: number, load: FleetLoad): Promise<void>;
  settled?: (url: string) => Promise<void>;
}

/** After each outage all are answered again, and nothing is lost. */
async function underLoad(t: TestContext, urls: readonly string[], outage: Outage): Promise<void> {
  const load = await createFleetLoad({ urls, name: 'gw', gateways: 12, settled: outage.settled });
  for (let round = 0; round < rounds; round++) {
    load.start();
    await load.progress();
    await delay(Math.random() * longestMs);
    await outage.happens(round, load);
    await load.progress();
    await load.stop();
    await load.verify();
  }
  t.diagnostic(`${rounds} rounds: ${JSON.stringify(load.counts)}; nothing lost`);
}

const urlsOf = (replicas: readonly Replica[]): string[] => replicas.map(({ url }) => url);

test('one replica is killed: the others answer everybody, and it comes back', async (t) => {
  const replicas = await threeReplicas(t);
  const gone = new Map<string, Promise<void>>();
  await underLoad(t, urlsOf(replicas), {
    settled: (url) => gone.get(url) ?? Promise.resolve(),
    async happens(round, load) {
      const replica = replicas[round % replicas.length];
      if (replica === undefined) return;
      gone.set(
        replica.url,
        replica.kill().then(() => server.noSession(replica.name)),
      );
      await gone.get(replica.url);
      await load.progress();
      await replica.start();
    },
  });
});

test('the database is killed and comes back: the replicas wait and go on by themselves', async (t) => {
  await underLoad(t, urlsOf(await threeReplicas(t)), { happens: () => server.crash() });
});

test('the object store is killed: check-ins and commands go on, and uploads when it is back', async (t) => {
  await underLoad(t, urlsOf(await threeReplicas(t)), {
    async happens(_round, load) {
      await store.kill();
      await load.progress();
      const { uploads } = load.counts;
      await store.start();
      await until(() => load.counts.uploads > uploads);
    },
  });
});
