/**
 * Storage in PostgreSQL, for several processes on one database. Content is in an S3 store, or in a directory that
 * they share.
 */
import type { Clock } from '../../../base/clock.ts';
import { GweError } from '../../../base/errors.ts';
import { ACTIVATION_WINDOW_SECONDS } from '../../bounds.ts';
import type { ContentStorage } from '../content-storage.ts';
import type { FleetStorage } from '../fleet-storage.ts';
import { createFileObjects } from '../objects/file-objects.ts';
import type { S3Target } from '../objects/s3-client.ts';
import { createS3Objects } from '../objects/s3-objects.ts';
import type { RecordStorage } from '../record-storage.ts';
import type { Storage, StorageOptions, WriteListener } from '../storage.ts';
import { assertReachable, type Connection, createConnection, listenTo } from './connection.ts';
import { createContentTable } from './content-table.ts';
import { createDeviceTable } from './device-table.ts';
import { countAll } from './figures.ts';
import { createFleetHooks, NO_HOOKS } from './fleet-hooks.ts';
import { forgetMembers } from './fleet-members.ts';
import { createGatewayTable, joinFollowing } from './fleet-table.ts';
import { createMaintenance } from './maintenance.ts';
import { createNoFleet } from './no-fleet.ts';
import { createPeopleTable } from './people-table.ts';
import { createRecordTable } from './record-table.ts';
import { createRolloutTable } from './rollout-table.ts';
import { ensureSchema, FLEET_VERSION } from './schema.ts';
import { ensureSecret } from './secret-table.ts';
import { createValueTable, WRITE_CHANNEL } from './value-table.ts';

interface PostgresStorageOptions extends StorageOptions {
  /** `postgres://USER@HOST:PORT/DATABASE`. */
  url: string;
  password?: string | undefined;
  /** The store for content, if it is not in files. */
  objects?: S3Target | undefined;
  /** The directory for content, if it is in files. */
  directory: string;
  clock: Clock;
}

/** The id of the platform, by which an object store shows which database it belongs to. */
export const OWNER = { name: 'database', sizeBytes: 16, maxAgeSeconds: 2 ** 40 };

/** Makes the tables of an empty database. Throws PLATFORM_STATE where the database cannot be reached or used. */
export async function openPostgresStorage(options: PostgresStorageOptions): Promise<Storage> {
  const {
    clock,
    keepHistorySeconds,
    activationWindowSeconds: windowSeconds = ACTIVATION_WINDOW_SECONDS,
  } = options;
  const connection = createConnection(options);
  const objects =
    options.objects === undefined
      ? createFileObjects(options.directory, () => Math.floor(clock.wallMs() / 1000))
      : createS3Objects(options.objects, clock);
  try {
    await assertReachable(connection, options);
    const hasFleet = (await ensureSchema(connection)) >= FLEET_VERSION;
    await objects.claim((await ensureSecret(connection.query, OWNER)).toString('hex'));
    let listener: WriteListener = () => undefined;
    const tell: WriteListener = (ids) => listener(ids);
    const listening = await listenTo(options, WRITE_CHANNEL, clock, (payload) =>
      tell(payload === undefined || payload === ANY_DEVICE ? undefined : [Number(payload)]),
    );
    const maintenance = createMaintenance({ connection, clock, objects, keepHistorySeconds });
    const shared = { connection, windowSeconds, see: maintenance.see };
    const fleet = hasFleet
      ? createFleetHooks((query, deviceId, seenAt) =>
          joinFollowing(query, deviceId, { windowSeconds, seenAt }),
        )
      : NO_HOOKS;
    const forget = hasFleet ? forgetMembers : async () => undefined;
    return {
      ...(hasFleet ? createFleet(shared) : createNoFleet()),
      ...createDeviceTable({ ...shared, forget }),
      ...createValueTable({ ...shared, grown: maintenance.grown, tell, fleet }),
      ...createContentTable({ connection, objects }),
      ...(hasFleet ? {} : refuseContent()),
      figures: () => countAll(connection.query, windowSeconds, hasFleet),
      ping: connection.ping,
      onWrite(given) {
        listener = given;
      },
      secret: (name, sizeBytes, maxAgeSeconds) =>
        ensureSecret(connection.query, { name, sizeBytes, maxAgeSeconds }),
      async close() {
        await listening.close();
        await maintenance.close();
        objects.close();
        await connection.close();
      },
    };
  } catch (error) {
    objects.close();
    await connection.close();
    throw error;
  }
}

/** A database from before `gwe platform migrate` has no table for objects that become unused. */
function refuseContent(): Pick<ContentStorage, 'receive' | 'deleteContent'> {
  const refuse = async (): Promise<never> => {
    throw new GweError(
      'PLATFORM_STATE',
      'cannot change content: the database has no tables for it; run gwe platform migrate',
    );
  };
  return { receive: refuse, deleteContent: refuse };
}

/** Sent to all replicas where any device may be concerned. */
const ANY_DEVICE = 'any';

function createFleet(shared: {
  connection: Connection;
  windowSeconds: number;
}): Omit<FleetStorage, 'decideCommand'> & RecordStorage {
  const { connection } = shared;
  return {
    ...createGatewayTable(shared),
    ...createPeopleTable(connection),
    ...createRecordTable(connection),
    ...createRolloutTable({
      connection,
      tellAll: async (query) => {
        await query('SELECT pg_notify($1, $2)', WRITE_CHANNEL, ANY_DEVICE);
      },
    }),
  };
}
