/** Alias values and their history. */
import type { Device } from './device-storage.ts';

export type Writer = 'device' | 'operator';

export interface AliasValue {
  alias: string;
  value: string;
  /** Unix seconds of the value. */
  timestamp: number;
  /** Unix seconds, growing with every write that a reader could tell apart; what `Last-Modified` carries. */
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

/** What a device asks in one request. */
export interface CheckIn {
  cik: string;
  /** Where it came from: two machines that use one key are known by it. */
  address?: string | undefined;
  /** Written first, in one transaction with one timestamp. */
  writes: NewValues;
  /** Then read; what is found counts as shown to the device from then on. */
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
   * Knows the device by its key, notes that it is seen, writes, reads and notes what it was shown, as one call.
   *
   * **A command is not lost between the read and the clear.** An empty text that a device writes over a value that an
   * operator wrote after what the device was last shown of this alias is left out: the device means the older one, and
   * `reads` shows it the newer. A device that was never shown this alias empties whatever is there.
   */
  checkIn(call: CheckIn): Promise<CheckInResult>;
  /** One transaction, one timestamp; without the rule about what was shown for an operator. */
  write(deviceId: number, values: NewValues, writer: Writer): Promise<'done' | 'too-much'>;
  /** Stores the points that clash with none in the same second; returns those that do. */
  record(deviceId: number, points: readonly RecordPoint[]): Promise<RecordPoint[] | 'too-much'>;
  /** What has a value, in the order asked for. Shows nothing to the device. */
  read(deviceId: number, aliases: readonly string[]): Promise<AliasValue[]>;
  /** These very values are about to be sent to the device. */
  show(deviceId: number, values: readonly AliasValue[]): Promise<void>;
  /** Names of what has a value, sorted. */
  aliases(deviceId: number): Promise<string[]>;
  /**
   * Newest first. How much there is is bounded by number, size and age (bounds.ts); what is beyond goes some time after
   * the write that pushed it out, and the newest of an alias stays for good.
   */
  history(deviceId: number, alias: string, limit: number): Promise<HistoryEntry[]>;
}
