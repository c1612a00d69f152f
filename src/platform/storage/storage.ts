/**
 * What the platform stores, behind one interface. SQLite and files store it for one process (`sqlite/`); a database
 * server and an object store do so for many (the same calls, the same conformance suite:
 * test/helpers/storage-suite.ts, a function that takes a storage).
 *
 * The contract, for all methods of all parts:
 * - **Durable.** Whatever a method acknowledges by resolving survives a crash. The one exception is the time at which
 *   a device was last seen.
 * - **Whole.** A method does all of its work or none, also beside other calls and other processes: nobody has to look
 *   before acting, since each answer says what was found. Calls that arrive together may share one commit.
 * - **Bounded.** Lists come in pages with a cursor; no answer contains everything.
 * - **Times** are unix seconds by the clock of the database, never of the caller.
 * - **Names** are checked by the caller; storage treats them as opaque text. Keys are stored as digests only.
 *
 * What another part of the platform stores (groups, rollouts) belongs in tables of its own beside these, as one more
 * interface here and one more `create...Table(context)` for each database.
 */
import type { ContentStorage } from './content-storage.ts';
import type { DeviceStorage } from './device-storage.ts';
import type { FleetStorage } from './fleet-storage.ts';
import type { RecordStorage } from './record-storage.ts';
import type { ValueStorage } from './value-storage.ts';

/**
 * Receives the devices that were written to; `undefined` for any of them: then the listener checks all that it waits
 * for.
 */
export type WriteListener = (deviceIds: readonly number[] | undefined) => void;

/** What is stored, in numbers. */
export interface Figures {
  readonly devices: readonly { product: string; state: string; count: number }[];
  /** The size of all blobs together. */
  readonly contentBytes: number;
  /** Missing where the storage has no tables of the fleet. */
  readonly fleet?: {
    /** Not heard of for two of their intervals. */
    readonly lateDevices: number;
    /** The versions that run on the most gateways. */
    readonly apps: readonly { app: string; version: string; count: number }[];
    /** Members of rollouts that have not ended. */
    readonly members: readonly { rollout: string; state: string; count: number }[];
    /** How many rollouts the rule has ever stopped. */
    readonly stopped: number;
  };
}

/** What every kind of storage has. */
export interface CoreStorage extends DeviceStorage, ValueStorage, ContentStorage {
  /**
   * Calls the listener for every write of this process, and for writes of operators by other processes. One listener
   * at most.
   */
  onWrite(listener: WriteListener): void;
  /** Random bytes of this name, the same for every process; replaced when they are older than `maxAgeSeconds`. */
  secret(name: string, sizeBytes: number, maxAgeSeconds: number): Promise<Buffer>;
  /** What is stored, counted a part at a time while everything else goes on. */
  figures(): Promise<Figures>;
  /** Rejects where nothing can be read now. */
  ping(): Promise<void>;
  /** Writes what is left to write. Nothing may be called after it. */
  close(): Promise<void>;
}

export interface Storage extends CoreStorage, FleetStorage, RecordStorage {}

/** What every kind of storage is opened with. */
export interface StorageOptions {
  /**
   * How long history is kept, except the newest entry of an alias, which stays; without it, as long as there is room.
   */
  keepHistorySeconds?: number | undefined;
  /** How long an enabled serial number may wait for its activation. */
  activationWindowSeconds?: number | undefined;
  /** Called with the number of writes in each commit. */
  committed?: ((writes: number) => void) | undefined;
}
