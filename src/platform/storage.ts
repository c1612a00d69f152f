/**
 * What the platform keeps, behind one interface: a fleet that outgrows SQLite and files gets other classes behind it.
 * Whatever a method acknowledges survives a crash. Names are checked by the caller; storage treats them as opaque text.
 */
import type { Readable } from 'node:stream';

/** `expired` covers a lapsed window and a disabled serial number alike. */
export type DeviceState = 'notactivated' | 'activated' | 'expired';

export interface Device {
  id: number;
  product: string;
  serial: string;
  state: DeviceState;
  /** The platform's own 40-digit name of the device; no secret. */
  rid: string;
  /** Vendor it was activated under; empty before. */
  vendor: string;
  /** Unix seconds. */
  enabledAt: number;
  /** Unix seconds of the last value written to it by anybody; 0 for never. */
  lastWriteAt: number;
  /** Unix seconds of its last request with a good key, to the minute; 0 for never. */
  lastSeenAt: number;
}

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

export interface ContentItem {
  id: string;
  contentType: string;
  sizeBytes: number;
  updatedAt: number;
  meta: string;
  isProtected: boolean;
  /** False between the creation of the entry and the end of its upload. */
  hasBlob: boolean;
}

export interface ByteRange {
  /** Both inclusive. */
  first: number;
  last: number;
}

/** The bytes of an upload, on the disk but not yet anybody's content. */
export interface Upload {
  sizeBytes: number;
  sha256: string;
  /** Removes it; does nothing once it has been adopted. */
  discard(): void;
}

export type ActivationResult =
  | { kind: 'activated'; cik: string }
  | { kind: 'unknown' }
  /** Activated already, disabled, or past its window. */
  | { kind: 'refused'; state: DeviceState };

export interface Storage {
  /** Opens a window for activation; makes the product and the device if need be. The old key is dead at once. */
  enableDevice(product: string, serial: string): Promise<Device>;
  /** False if there is no such device. */
  disableDevice(product: string, serial: string): Promise<boolean>;
  /** Gives a device another serial number, its key revoked. */
  remapDevice(product: string, from: string, to: string): Promise<'done' | 'unknown' | 'taken'>;
  findDevice(product: string, serial: string): Promise<Device | undefined>;
  findDeviceByKey(cik: string): Promise<Device | undefined>;
  /** The device has made a request now. */
  noteSeen(deviceId: number): Promise<void>;
  findProductsOfSerial(serial: string): Promise<string[]>;
  listDevices(product: string): Promise<Device[]>;
  hasProduct(product: string): Promise<boolean>;
  activate(vendor: string, product: string, serial: string): Promise<ActivationResult>;

  /** One transaction, one timestamp. `shownAt` is the last `modifiedAt` that the device's readers were shown. */
  write(
    deviceId: number,
    values: readonly (readonly [string, string])[],
    writer: Writer,
    shownAt: number,
  ): Promise<'done' | 'too-much'>;
  /** Stores the points that clash with none in the same second; returns those that do. */
  record(deviceId: number, points: readonly RecordPoint[]): Promise<RecordPoint[] | 'too-much'>;
  read(deviceId: number, aliases: readonly string[]): Promise<AliasValue[]>;
  /** Newest first. */
  history(deviceId: number, alias: string, limit: number): Promise<HistoryEntry[]>;

  listContent(product: string): Promise<ContentItem[]>;
  findContent(product: string, id: string): Promise<ContentItem | undefined>;
  /** False if there is one of that id. */
  createContent(product: string, id: string, meta: string, isProtected: boolean): Promise<boolean>;
  /** Streams to the disk; throws and leaves nothing if the source ends early or passes `limitBytes`. */
  receive(source: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Upload>;
  /** Gives an entry its blob. */
  fillContent(
    product: string,
    id: string,
    contentType: string,
    upload: Upload,
  ): Promise<'done' | 'unknown' | 'filled'>;
  /** Creates or replaces in one step: a reader sees the old or the new item. */
  putContent(
    product: string,
    id: string,
    contentType: string,
    meta: string,
    upload: Upload,
  ): Promise<ContentItem>;
  deleteContent(product: string, id: string): Promise<boolean>;
  /** The item and its bytes as of one moment; the stream outlives a replacement. `undefined` without a blob. */
  openContent(
    product: string,
    id: string,
  ): Promise<{ item: ContentItem; read(range: ByteRange): Readable; close(): void } | undefined>;

  close(): void;
}
