/** A killed platform on each database: a sample for `make test`, in full by `make test-fleet`. */
import { after, test } from 'node:test';
import { killedOften } from '../helpers/kill-rounds.ts';
import { startPlatformProcess } from '../helpers/platform-process.ts';
import { startPostgres, type TestPostgres } from '../helpers/postgres.ts';

let server: TestPostgres | undefined;
after(() => server?.end());

test('killed again and again, a platform in SQLite loses nothing that it acknowledged', async (t) => {
  await killedOften(t, await startPlatformProcess());
});

test('killed again and again, a platform in PostgreSQL loses nothing that it acknowledged', async (t) => {
  const postgres = await startPostgres();
  server = postgres;
  const platform = await startPlatformProcess({ database: { url: postgres.freshUrl() } });
  await killedOften(t, platform, () => postgres.noSession('gwe'));
});
