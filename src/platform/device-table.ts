/** Devices, their keys and states in SQLite. */
import { createHash, randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { transaction } from './sqlite.ts';
import type { ActivationResult, Device, DeviceState, Storage } from './storage.ts';

export type DeviceTable = Pick<
  Storage,
  | 'enableDevice'
  | 'disableDevice'
  | 'remapDevice'
  | 'findDevice'
  | 'findDeviceByKey'
  | 'noteSeen'
  | 'findProductsOfSerial'
  | 'listDevices'
  | 'hasProduct'
  | 'activate'
>;

interface Context {
  database: DatabaseSync;
  nowSeconds(): number;
  windowSeconds: number;
}

export function createDeviceTable(context: Context): DeviceTable {
  const { database } = context;
  const toDevice = (row: Record<string, unknown>): Device => rowToDevice(row, context);
  const find = (product: string, serial: string): Device | undefined => {
    const row = database
      .prepare('SELECT * FROM device WHERE product = ? AND serial = ?')
      .get(product, serial);
    return row === undefined ? undefined : toDevice(row);
  };
  return {
    enableDevice: async (product, serial) => enableDevice(context, product, serial, find),
    disableDevice: async (product, serial) => {
      const sql = "UPDATE device SET state = 'expired', key_hash = NULL WHERE product = ? AND serial = ?";
      return Number(database.prepare(sql).run(product, serial).changes) > 0;
    },
    remapDevice: async (product, from, to) =>
      transaction(database, () => {
        if (find(product, from) === undefined) return 'unknown';
        if (find(product, to) !== undefined) return 'taken';
        database
          .prepare(
            "UPDATE device SET serial = ?, key_hash = NULL, state = 'notactivated', enabled_at = ? WHERE product = ? AND serial = ?",
          )
          .run(to, context.nowSeconds(), product, from);
        return 'done';
      }),
    findDevice: async (product, serial) => find(product, serial),
    findDeviceByKey: async (cik) => {
      const row = database.prepare('SELECT * FROM device WHERE key_hash = ?').get(hashKey(cik));
      return row === undefined ? undefined : toDevice(row);
    },
    noteSeen: async (deviceId) => {
      database.prepare('UPDATE device SET last_seen_at = ? WHERE id = ?').run(context.nowSeconds(), deviceId);
    },
    findProductsOfSerial: async (serial) =>
      database
        .prepare('SELECT product FROM device WHERE serial = ? LIMIT 2')
        .all(serial)
        .map((row) => String(row.product)),
    listDevices: async (product) =>
      database.prepare('SELECT * FROM device WHERE product = ? ORDER BY serial').all(product).map(toDevice),
    hasProduct: async (product) =>
      database.prepare('SELECT 1 FROM product WHERE name = ?').get(product) !== undefined,
    activate: async (vendor, product, serial) =>
      transaction(database, () => activateDevice(context, vendor, find(product, serial))),
  };
}

/** Only a digest of a key is stored, so that a stolen database gives no access, and look-up time tells nothing. */
function hashKey(cik: string): string {
  return createHash('sha256').update(cik).digest('hex');
}

export function ensureProduct(database: DatabaseSync, product: string): void {
  database.prepare('INSERT INTO product (name) VALUES (?) ON CONFLICT DO NOTHING').run(product);
}

function enableDevice(
  { database, nowSeconds }: Context,
  product: string,
  serial: string,
  find: (product: string, serial: string) => Device | undefined,
): Device {
  return transaction(database, () => {
    ensureProduct(database, product);
    database
      .prepare(
        `INSERT INTO device (product, serial, rid, state, enabled_at) VALUES (?, ?, ?, 'notactivated', ?)
         ON CONFLICT (product, serial) DO UPDATE
         SET state = 'notactivated', key_hash = NULL, enabled_at = excluded.enabled_at`,
      )
      .run(product, serial, randomBytes(20).toString('hex'), nowSeconds());
    const device = find(product, serial);
    if (device === undefined) throw new Error('an enabled device is not in its table');
    return device;
  });
}

function activateDevice(context: Context, vendor: string, device: Device | undefined): ActivationResult {
  if (device === undefined) return { kind: 'unknown' };
  if (device.state !== 'notactivated') return { kind: 'refused', state: device.state };
  const cik = randomBytes(20).toString('hex');
  context.database
    .prepare("UPDATE device SET state = 'activated', key_hash = ?, vendor = ? WHERE id = ?")
    .run(hashKey(cik), vendor, device.id);
  return { kind: 'activated', cik };
}

function rowToDevice(row: Record<string, unknown>, context: Context): Device {
  const enabledAt = Number(row.enabled_at);
  const lapsed = row.state === 'notactivated' && context.nowSeconds() - enabledAt > context.windowSeconds;
  return {
    id: Number(row.id),
    product: String(row.product),
    serial: String(row.serial),
    state: lapsed ? 'expired' : toState(row.state),
    rid: String(row.rid),
    vendor: String(row.vendor),
    enabledAt,
    lastWriteAt: Number(row.last_write_at),
    lastSeenAt: Number(row.last_seen_at),
  };
}

function toState(value: unknown): DeviceState {
  if (value === 'notactivated' || value === 'activated' || value === 'expired') return value;
  throw new Error(`unexpected device state ${JSON.stringify(value)} in the database`);
}
