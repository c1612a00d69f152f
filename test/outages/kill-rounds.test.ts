/** A killed platform whose content is in a real S3 store; `make test-fleet` alone runs it. */
import { after, before, test } from 'node:test';
import { killedOften } from '../helpers/kill-rounds.ts';
import { startObjectStore, type TestObjectStore } from '../helpers/object-store.ts';
import { startPlatformProcess } from '../helpers/platform-process.ts';
import { startPostgres, type TestPostgres } from '../helpers/postgres.ts';

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

test('killed again and again, a platform in PostgreSQL and S3 loses nothing that it acknowledged', async (t) => {
  const platform = await startPlatformProcess({
    database: { url: server.freshUrl() },
    objects: await store.freshBucket(),
  });
  await killedOften(t, platform, () => server.noSession('gwe'));
});
