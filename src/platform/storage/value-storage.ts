/** Alias values and their history. */
import type { Device } from './device-storage.ts';

export type Writer = 'device' | 'operator';

export interface AliasValue {
  alias: string;
  value: string;
  /** Unix seconds of the value. */
  timestamp: number;
  /**
   * Unix seconds, growing with every write that a reader has to tell from the one before; sent as `Last-Modified`.
   */
  modifiedAt: number;
  /** Grows with every write of this device. */
  sequence: number;
  /** Whether the device had been shown this very value before this call. */
  isShown: boolean;
}

export interface HistoryEntry {
  value: string;
  timestamp: number;
  writer: Writer;
}

export interface RecordPoint {
  alias: string;
  timestamp: number;
  value: string;
}

export type NewValues = readonly (readonly [alias: string, value: string])[];

/** What a device asks for in one request. */
export interface CheckIn {
  cik: string;
  /** Where the request came from: it helps to detect two machines that use one key. */
  address?: string | undefined;
  /** Written first, in one transaction with one timestamp. */
  writes: NewValues;
  /** Read after the writes; the values found count as shown to the device from then on. */
  reads: readonly string[];
}

export type CheckInResult =
  /** No device has this key. */
  | { kind: 'unknown' }
  /** The device would have more values than its share; nothing was written. */
  | { kind: 'too-much' }
  | { kind: 'done'; device: Device; values: AliasValue[] };

export interface ValueStorage {
  /**
   * Finds the device by its key, notes that it is seen, writes, reads, and notes what it was shown, as one call.
   *
   * **A command is not lost between the read and the clear.** An empty text from a device is left out if an operator
   * has written a value after the one that the device was last shown of this alias: the device means the older value,
   * and `reads` shows it the newer. A device that was never shown this alias empties whatever is there.
   */
  checkIn(call: CheckIn): Promise<CheckInResult>;
  /** In one transaction, with one timestamp; for an operator, without the rule about what was shown. */
  write(deviceId: number, values: NewValues, writer: Writer): Promise<'done' | 'too-much'>;
  /** Stores the points in whose second there is no other value; returns the remaining ones. */
  record(deviceId: number, points: readonly RecordPoint[]): Promise<RecordPoint[] | 'too-much'>;
  /** The aliases that have a value, in the order asked for. Does not count as shown to the device. */
  read(deviceId: number, aliases: readonly string[]): Promise<AliasValue[]>;
  /** These very values are about to be sent to the device. */
  show(deviceId: number, values: readonly AliasValue[]): Promise<void>;
  /** Names of the aliases that have a value, sorted. */
  aliases(deviceId: number): Promise<string[]>;
  /**
   * Newest first. The amount is bounded by number, size and age (bounds.ts); what exceeds the bounds is removed some
   * time after the write that made it do so, and the newest entry of an alias always stays.
   */
  history(deviceId: number, alias: string, limit: number): Promise<HistoryEntry[]>;
}
