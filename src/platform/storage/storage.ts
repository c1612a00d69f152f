/**
 * What the platform keeps, behind one interface. SQLite and files carry it for one process (`sqlite/`); a database
 * server and an object store can carry it for many (the same calls, the same conformance suite:
 * test/helpers/storage-suite.ts, a function that takes a storage).
 *
 * The contract, for all methods of all parts:
 * - **Durable.** Whatever a method acknowledges by resolving survives a crash. The one exception says so: when a device
 *   was last seen.
 * - **Whole.** A method does all of its work or none, also beside other calls and other processes: nobody has to look
 *   before he acts, each answer says what was found. Calls that arrive together may share one commit.
 * - **Bounded.** Lists come in pages with a cursor; nothing answers with all there is.
 * - **Times** are unix seconds by the clock of the database, never of the caller.
 * - **Names** are checked by the caller; storage treats them as opaque text. Keys are stored as digests only.
 *
 * What another part of the platform keeps (groups, rollouts) belongs into tables of its own beside these, as one more
 * interface here and one more `create...Table(context)` for each database.
 */
import type { ContentStorage } from './content-storage.ts';
import type { DeviceStorage } from './device-storage.ts';
import type { FleetStorage } from './fleet-storage.ts';
import type { RecordStorage } from './record-storage.ts';
import type { ValueStorage } from './value-storage.ts';

/** The devices that were written to; `undefined` for any of them: the caller looks again at all that it waits for. */
export type WriteListener = (deviceIds: readonly number[] | undefined) => void;

/** What is kept, in numbers. */
export interface Figures {
  readonly devices: readonly { product: string; state: string; count: number }[];
  /** The size of all blobs together. */
  readonly contentBytes: number;
  /** Not there where the storage keeps no fleet. */
  readonly fleet?: {
    /** Not heard of for two of their intervals. */
    readonly lateDevices: number;
    /** The versions that the most gateways have. */
    readonly apps: readonly { app: string; version: string; count: number }[];
    /** Members of rollouts that go on. */
    readonly members: readonly { rollout: string; state: string; count: number }[];
    /** Rollouts that the rule has stopped, ever. */
    readonly stopped: number;
  };
}

/** What every kind of storage has. */
export interface CoreStorage extends DeviceStorage, ValueStorage, ContentStorage {
  /** Tells of every write of this process, and of what operators write by others. One listener at most. */
  onWrite(listener: WriteListener): void;
  /** Random bytes of this name, the same for every process; made anew where they are older than that. */
  secret(name: string, sizeBytes: number, maxAgeSeconds: number): Promise<Buffer>;
  /** What is kept, counted a part at a time beside everything else. */
  figures(): Promise<Figures>;
  /** Rejects where nothing could be read now. */
  ping(): Promise<void>;
  /** Writes what is left to write. Nothing may be called after it. */
  close(): Promise<void>;
}

export interface Storage extends CoreStorage, FleetStorage, RecordStorage {}

/** What every kind of storage is opened with. */
export interface StorageOptions {
  /** History is kept for so long, the newest of an alias for good; without it as long as there is room. */
  keepHistorySeconds?: number | undefined;
  /** How long an enabled serial number may wait for its activation. */
  activationWindowSeconds?: number | undefined;
  /** Is told how many writes a commit had. */
  committed?: ((writes: number) => void) | undefined;
}
