/** Storage in one directory: `platform.db` and content as files. One process at a time. */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../../base/clock.ts';
import { ACTIVATION_WINDOW_SECONDS } from '../../bounds.ts';
import type { Storage, StorageOptions, WriteListener } from '../storage.ts';
import { createBlobStore } from './blobs.ts';
import { type Connection, createConnection } from './connection.ts';
import { createContentTable } from './content-table.ts';
import { openDatabase } from './database.ts';
import { createDeviceTable } from './device-table.ts';
import { countAll } from './figures.ts';
import { createFleetHooks } from './fleet-hooks.ts';
import { createGatewayTable, joinFollowing } from './fleet-table.ts';
import { createMaintenance } from './maintenance.ts';
import { createPeopleTable } from './people-table.ts';
import { ensurePrivateDirectory } from './private-files.ts';
import { createRecordTable } from './record-table.ts';
import { finishRestore, refuseMoved } from './replaced.ts';
import { createRolloutTable } from './rollout-table.ts';
import { ensureSecret } from './secret-table.ts';
import { createSeenDevices } from './seen.ts';
import { createTurns } from './turns.ts';
import { createValueTable } from './value-table.ts';

interface SqliteStorageOptions extends StorageOptions {
  directory: string;
  clock: Pick<Clock, 'wallMs' | 'sleep'>;
}

/** A storage that its own process can back up, copy and replace as a whole. */
export interface EmbeddedStorage extends Storage {
  readonly inside: {
    database: DatabaseSync;
    directory: string;
    freeze: Connection['freeze'];
    /** Until the returned function is called, replaced or deleted content stays. */
    holdContent(): () => void;
  };
}

/** Opens or makes the directory (0700), and removes what a crash left incomplete. Throws PLATFORM_STATE. */
export async function openSqliteStorage(options: SqliteStorageOptions): Promise<EmbeddedStorage> {
  const {
    directory,
    clock,
    keepHistorySeconds,
    activationWindowSeconds = ACTIVATION_WINDOW_SECONDS,
  } = options;
  ensurePrivateDirectory(directory);
  finishRestore(directory);
  refuseMoved(directory);
  const database = openDatabase(join(directory, 'platform.db'));
  const connection = createConnection(database, options.committed);
  const nowSeconds = (): number => Math.floor(clock.wallMs() / 1000);
  const blobs = createBlobStore(directory);
  const known = connection.statement('SELECT 1 FROM content WHERE blob = ?');
  blobs.sweep((blob) => known.get(blob) !== undefined);
  const seen = createSeenDevices(connection, clock, nowSeconds);
  const maintenance = createMaintenance({ connection, clock, nowSeconds, keepHistorySeconds });
  const nextTurn = createTurns();
  let listener: WriteListener = () => undefined;
  const { findByKey, see, toDevice, ...devices } = createDeviceTable({
    connection,
    seen,
    nowSeconds,
    nextTurn,
    windowSeconds: activationWindowSeconds,
  });
  const gateways = { connection, nowSeconds, nextTurn, toDevice };
  return {
    ...devices,
    ...createValueTable({
      connection,
      maintenance,
      nowSeconds,
      findByKey,
      see,
      tell: (ids) => listener(ids),
      fleet: createFleetHooks(connection, (deviceId, at) => joinFollowing(gateways, deviceId, at)),
    }),
    ...createGatewayTable(gateways),
    ...createPeopleTable(connection),
    ...createRecordTable(connection, nowSeconds),
    ...createRolloutTable({ connection, nowSeconds, tell: (ids) => listener(ids) }),
    ...createContentTable({ connection, blobs, nowSeconds }),
    figures: () => countAll(connection, nowSeconds(), activationWindowSeconds),
    ping: async () => {
      connection.statement('SELECT 1').get();
    },
    inside: {
      database,
      directory,
      freeze: async (why) => {
        if (!connection.isFrozen()) await seen.flush();
        return connection.freeze(why);
      },
      holdContent: blobs.hold,
    },
    onWrite(given) {
      listener = given;
    },
    secret: (name, sizeBytes, maxAgeSeconds) =>
      connection.commit(() => ensureSecret(connection, { name, sizeBytes, maxAgeSeconds }, nowSeconds())),
    async close() {
      await maintenance.close();
      await seen.close();
      await connection.close();
    },
  };
}
