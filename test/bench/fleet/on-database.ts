/** The fleet of the bench in PostgreSQL: rows made by the server itself, so that a million of them takes a minute. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSystemClock } from '../../../src/base/clock.ts';
import { ALWAYS_OPEN } from '../../../src/base/time/windows.ts';
import { noCounts, type Rollout } from '../../../src/fleet/rollout/rollout.ts';
import { encodeRollout } from '../../../src/platform/storage/fleet-rows.ts';
import { type Connection, createConnection } from '../../../src/platform/storage/postgres/connection.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { type Fleet, PRODUCT } from './parts.ts';

export interface DatabaseFleet extends Fleet {
  url: string;
  connection: Connection;
  storage: Storage;
  /** As another process of the platform has it. */
  open(): Promise<Storage>;
  end(): Promise<void>;
}

/** The database does this too: the key of gateway N. */
const KEY = "md5(n::text || 'bench') || '00000000'";

function keyOf(n: number): string {
  return `${createHash('md5').update(`${n}bench`).digest('hex')}00000000`;
}

/** `count` activated gateways, seen a minute ago; the key file has the first hundred thousand. */
export async function makeDatabaseFleet(scratch: string, count: number): Promise<DatabaseFleet> {
  const directory = join(scratch, `database-${count}`);
  mkdirSync(directory, { mode: 0o700 });
  const server = await startPostgres();
  const url = server.freshUrl();
  const open = (): Promise<Storage> => openPostgresStorage({ url, directory, clock: createSystemClock() });
  const storage = await open();
  const connection = createConnection({ url });
  await connection.query('INSERT INTO product (name) VALUES ($1)', PRODUCT);
  await connection.query(
    `INSERT INTO device (product, serial, rid, state, enabled_at, key_hash, vendor, last_seen_at)
     SELECT $1::text, 'gw-' || lpad(n::text, 7, '0'), md5(n::text) || '00000000', 'activated', 1,
       encode(sha256((${KEY})::bytea), 'hex'), $1, extract(epoch FROM now())::bigint - 60
     FROM generate_series(0, $2::integer - 1) AS n`,
    PRODUCT,
    count,
  );
  await connection.query('ANALYZE device');
  const keyFile = join(scratch, `database-keys-${count}`);
  writeFileSync(
    keyFile,
    Array.from({ length: Math.min(count, 100_000) }, (_, n) => `${keyOf(n)}\n`).join(''),
  );
  return {
    directory,
    keyFile,
    url,
    connection,
    storage,
    open,
    async end() {
      await connection.close();
      await storage.close();
      await server.end();
    },
  };
}

const INTERVAL_S = 14_400;

/** Its first wave has succeeded, its second is open. */
export function rolloutOf(id: string, sizes: readonly number[], startedAt: number): Rollout {
  return {
    id,
    artifacts: [{ app: 'hello', version: '2.1' }],
    policy: {
      limit: 0.05,
      need: 0.95,
      stopsAtFailedRollback: false,
      // No slot is free: a check-in is shown nothing.
      concurrency: 0,
      soakS: 86_400,
      reachS: 259_200,
      installS: 1800,
      retriesS: [],
      windows: ALWAYS_OPEN,
    },
    state: 'running',
    wave: 1,
    waves: sizes.map((size, wave) => ({
      openedAt: wave < 2 ? startedAt : 0,
      lastTakenAt: wave < 2 ? startedAt : 0,
      counts: wave === 0 ? { ...noCounts(), succeeded: size } : { ...noCounts(), waiting: size },
    })),
    author: 'ann',
    needsApproval: false,
    startedAt,
    since: startedAt,
    by: 'ann',
    reason: '',
    rollbackFailures: 0,
    acceptedBad: 0,
  };
}

/** A rollout to all of them, one gateway in a hundred in the first wave, half of them in the wave that is open. */
export async function addRollout(
  { connection }: DatabaseFleet,
  id: string,
  startedAt: number,
): Promise<Rollout> {
  const [row] = await connection.query('SELECT count(*) AS count FROM device');
  const count = Number(row?.count);
  const sizes = [
    Math.floor(count / 100),
    Math.floor(count / 2) - Math.floor(count / 100),
    Math.ceil(count / 2),
  ];
  const rollout = rolloutOf(id, sizes, startedAt);
  await connection.query(
    'INSERT INTO fleet_rollout (id, product, name, state, revision, body) VALUES ($1, $2, $1, $3, 0, $4)',
    ...[id, PRODUCT, rollout.state, encodeRollout(rollout)],
  );
  await connection.query(
    `INSERT INTO fleet_member (rollout, device, wave, state, since, heard_at, interval_s, attempt, not_before, good, shown)
     SELECT $1::text, id, CASE WHEN place < $2::bigint THEN 0 WHEN place < $3::bigint THEN 1 ELSE 2 END,
       CASE WHEN place < $2 THEN 'succeeded' ELSE 'waiting' END, $4::bigint, $4, ${INTERVAL_S}, 1, 0, '[]', '[]'
     FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM device) AS numbered`,
    ...[id, sizes[0], Math.floor(count / 2), startedAt],
  );
  await connection.query('ANALYZE fleet_member');
  return rollout;
}
