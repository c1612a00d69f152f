/** A PostgreSQL database whose clock stands where a test sets it. */
import { createConnection } from '../../src/platform/storage/postgres/connection.ts';

interface DatabaseClock {
  /** Who opens the database by it has this clock. */
  url: string;
  set(unixSeconds: number): Promise<void>;
  end(): Promise<void>;
}

/** `clock_timestamp()` is found in a schema of the test's own, before that of PostgreSQL. */
export async function databaseClock(url: string): Promise<DatabaseClock> {
  const { query, close } = createConnection({ url });
  await query('CREATE SCHEMA standing');
  await query('CREATE TABLE standing.clock AS SELECT 0::bigint AS unix_seconds');
  await query(
    `CREATE FUNCTION standing.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
       AS 'SELECT to_timestamp(unix_seconds) FROM standing.clock'`,
  );
  const options = encodeURIComponent('-c search_path=standing,public,pg_catalog');
  return {
    url: `${url}?options=${options}`,
    async set(unixSeconds) {
      await query('UPDATE standing.clock SET unix_seconds = $1', unixSeconds);
    },
    end: close,
  };
}
