/** Devices, their keys and states. */
import type { Page, PageRequest } from './page.ts';

/** `unused` was added and never enabled; `expired` covers a lapsed window and a disabled serial number alike. */
export type DeviceState = 'unused' | 'notactivated' | 'activated' | 'expired';

export interface Device {
  id: number;
  product: string;
  serial: string;
  state: DeviceState;
  /** The platform's own 40-digit name of the device; no secret. */
  rid: string;
  /** Vendor that it was activated under; empty before. */
  vendor: string;
  /** Unix seconds. */
  enabledAt: number;
  /** Unix seconds of the last value written to it by anybody; 0 for never. */
  lastWriteAt: number;
  /** Unix seconds of its last request with a good key, to the minute; 0 for never. */
  lastSeenAt: number;
  /** What its maker noted about the serial number; one line. */
  extra: string;
  /**
   * Unix seconds until which it may be activated once more, whatever its state. Set by a restore, for devices whose
   * key is newer than the backup. 0 once the device has used the key that is stored.
   */
  reactivateUntil: number;
}

export interface ActivationEntry {
  /** Unix seconds. */
  at: number;
  /** The address that the call came from. */
  connection: string;
  entry: string;
}

/** Which devices a list contains; a field that is not given does not matter. */
export interface DeviceFilter {
  /** The beginning of the serial number. */
  prefix?: string | undefined;
  state?: DeviceState | undefined;
  /** Last seen before this second, or never. */
  seenBefore?: number | undefined;
}

export type ActivationResult =
  /** `isAgain`: it had a key before, and the platform has been restored from a backup since. */
  | { kind: 'activated'; cik: string; id: number; isAgain: boolean }
  | { kind: 'unknown' }
  /** It was activated already, is disabled, or its window is over. */
  | { kind: 'refused'; state: DeviceState; id: number };

/** Where a call about a serial number came from; this goes into that number's activation log. */
interface LoggedCall {
  product: string;
  serial: string;
  connection: string;
}

export interface DeviceStorage {
  /**
   * Opens a window for activation; makes the product and the device if they do not exist. The old key stops working
   * at once. With `unlessActivated`, a device that has a key is left as it is.
   */
  enableDevice(call: LoggedCall & { unlessActivated: boolean }): Promise<Device | 'activated'>;
  /** False if there is no such device. */
  disableDevice(call: LoggedCall): Promise<boolean>;
  /** Gives the device `from` the serial number of the call, and revokes its key. */
  remapDevice(call: LoggedCall & { from: string }): Promise<'done' | 'unknown' | 'taken'>;
  activate(call: LoggedCall & { vendor: string }): Promise<ActivationResult>;
  /** The newest hundred entries, oldest first. */
  activationLog(deviceId: number): Promise<ActivationEntry[]>;

  /**
   * The device of this key, which is noted as seen now. That note is the only write that may be lost, with the last
   * second before a crash.
   */
  authenticate(cik: string): Promise<Device | undefined>;
  findDevice(product: string, serial: string): Promise<Device | undefined>;
  /** At most two. */
  findProductsOfSerial(serial: string): Promise<string[]>;
  /** By serial number, in the order of its bytes. */
  listDevices(product: string, request: PageRequest & DeviceFilter): Promise<Page<Device>>;
  /** The same by offset, as the One Platform's own list has it. */
  pageDevices(product: string, page: { offset: number; limit: number }): Promise<Device[]>;
  /** All or none. Returns one that exists already. */
  addDevices(
    product: string,
    devices: readonly { serial: string; extra: string }[],
  ): Promise<string | undefined>;
  /** All or none, with their values. Returns one that does not exist. */
  removeDevices(product: string, serials: readonly string[]): Promise<string | undefined>;

  hasProduct(product: string): Promise<boolean>;
  listProducts(request: PageRequest): Promise<Page<string>>;
  /** False if it exists already. */
  createProduct(product: string): Promise<boolean>;
}
