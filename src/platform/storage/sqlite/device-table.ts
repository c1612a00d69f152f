/** Devices, their keys and states in SQLite. */

import { randomBytes } from 'node:crypto';
import { hashKey, judgeActivation, NEVER_ENABLED, toDeviceState } from '../device-rows.ts';
import type {
  ActivationResult,
  Device,
  DeviceFilter,
  DeviceState,
  DeviceStorage,
} from '../device-storage.ts';
import { type Page, type PageRequest, toPage } from '../page.ts';
import { logActivation, readActivationLog } from './activation-table.ts';
import { type Connection, TakenBack } from './connection.ts';
import { forgetMembers } from './fleet-members.ts';
import type { SeenDevices } from './seen.ts';
import { type NextTurn, ROWS_A_TURN } from './turns.ts';

interface Context {
  connection: Connection;
  seen: SeenDevices;
  nowSeconds(): number;
  nextTurn: NextTurn;
  windowSeconds: number;
}

interface DeviceTable extends DeviceStorage {
  findByKey(cik: string): Device | undefined;
  see(device: Device): void;
  toDevice(row: Record<string, unknown>): Device;
}

export function createDeviceTable(context: Context): DeviceTable {
  const { connection, seen } = context;
  const find = (product: string, serial: string): Device | undefined => findDevice(context, product, serial);
  const findByKey = (cik: string): Device | undefined => {
    const row = connection.statement('SELECT * FROM device WHERE key_hash = ?').get(hashKey(cik));
    return row === undefined ? undefined : rowToDevice(row, context);
  };
  const see = (device: Device): void => seen.note(device.id, device.lastSeenAt);
  return {
    findByKey,
    see,
    toDevice: (row) => rowToDevice(row, context),
    enableDevice: async (call) => connection.commit(() => enableDevice(context, call)),
    disableDevice: async (call) => connection.commit(() => disableDevice(context, call)),
    remapDevice: async (call) => connection.commit(() => remapDevice(context, call)),
    activate: async (call) => connection.commit(() => activateDevice(context, call)),
    activationLog: async (deviceId) => readActivationLog(connection, deviceId),
    authenticate: async (cik) => {
      const device = findByKey(cik);
      if (device === undefined) return undefined;
      see(device);
      await keepKey(connection, device);
      return device;
    },
    findDevice: async (product, serial) => find(product, serial),
    findProductsOfSerial: async (serial) =>
      connection
        .statement('SELECT product FROM device WHERE serial = ? LIMIT 2')
        .all(serial)
        .map((row) => String(row.product)),
    listDevices: (product, request) => listDevices(context, product, request),
    pageDevices: async (product, { offset, limit }) =>
      connection
        .statement('SELECT * FROM device WHERE product = ? ORDER BY serial LIMIT ? OFFSET ?')
        .all(product, limit, offset)
        .map((row) => rowToDevice(row, context)),
    addDevices: async (product, devices) => connection.commit(() => addDevices(connection, product, devices)),
    removeDevices: async (product, serials) =>
      connection.commit(() => removeDevices(connection, product, serials)),
    hasProduct: async (product) =>
      connection.statement('SELECT 1 FROM product WHERE name = ?').get(product) !== undefined,
    listProducts: async ({ after = '', limit }) => {
      const rows = connection
        .statement('SELECT name FROM product WHERE name > ? ORDER BY name LIMIT ?')
        .all(after, limit + 1);
      return toPage(
        rows.map((row) => String(row.name)),
        limit,
        (name) => name,
      );
    },
    createProduct: async (product) => connection.commit(() => ensureProduct(connection, product)),
  };
}

function findDevice(context: Context, product: string, serial: string): Device | undefined {
  const row = context.connection
    .statement('SELECT * FROM device WHERE product = ? AND serial = ?')
    .get(product, serial);
  return row === undefined ? undefined : rowToDevice(row, context);
}

/** The device has used the key that is stored: nobody else can be activated in its place. */
export async function keepKey(connection: Connection, { id, reactivateUntil }: Device): Promise<void> {
  if (reactivateUntil === 0) return;
  await connection.commit(() =>
    connection
      .statement('UPDATE device SET reactivate_until = 0 WHERE id = ? AND reactivate_until = ?')
      .run(id, reactivateUntil),
  );
}

/** Part of a commit. False if the product existed already. */
export function ensureProduct(connection: Connection, product: string): boolean {
  const sql = 'INSERT INTO product (name) VALUES (?) ON CONFLICT DO NOTHING';
  return Number(connection.statement(sql).run(product).changes) > 0;
}

async function listDevices(
  context: Context,
  product: string,
  { after = '', limit, prefix = '', state, seenBefore }: PageRequest & DeviceFilter,
): Promise<Page<Device>> {
  const sql = `SELECT * FROM device WHERE product = ? AND serial > ? AND serial >= ? ORDER BY serial LIMIT ?`;
  const found: Device[] = [];
  for (let next = after; found.length <= limit; next = found.at(-1)?.serial ?? '') {
    await context.nextTurn();
    const count = Math.min(ROWS_A_TURN, limit + 1 - found.length);
    const rows = context.connection.statement(sql).all(product, next, prefix, count);
    found.push(...rows.map((row) => rowToDevice(row, context)));
    if (rows.length < count || found.at(-1)?.serial.startsWith(prefix) === false) break;
  }
  const within = found.filter(({ serial }) => serial.startsWith(prefix));
  const { items, next } = toPage(within, limit, ({ serial }) => serial);
  return { items: items.filter((device) => isWanted(device, state, seenBefore)), next };
}

function isWanted(device: Device, state: DeviceState | undefined, seenBefore: number | undefined): boolean {
  return (
    (state === undefined || device.state === state) &&
    (seenBefore === undefined || device.lastSeenAt < seenBefore)
  );
}

function addDevices(
  connection: Connection,
  product: string,
  devices: readonly { serial: string; extra: string }[],
): string | undefined | TakenBack<string> {
  const insert = connection.statement(
    `INSERT INTO device (product, serial, rid, state, enabled_at, extra) VALUES (?, ?, ?, 'expired', ${NEVER_ENABLED}, ?)
     ON CONFLICT DO NOTHING`,
  );
  for (const { serial, extra } of devices) {
    const rid = randomBytes(20).toString('hex');
    if (Number(insert.run(product, serial, rid, extra).changes) === 0) return new TakenBack(serial);
  }
  return undefined;
}

function removeDevices(
  connection: Connection,
  product: string,
  serials: readonly string[],
): string | undefined | TakenBack<string> {
  const find = connection.statement('SELECT id FROM device WHERE product = ? AND serial = ?');
  for (const serial of serials) {
    const row = find.get(product, serial);
    if (row === undefined) return new TakenBack(serial);
    forgetMembers(connection, Number(row.id));
    for (const table of ['current', 'history', 'activation'])
      connection.statement(`DELETE FROM ${table} WHERE device = ?`).run(Number(row.id));
    connection.statement('DELETE FROM device WHERE id = ?').run(Number(row.id));
  }
  return undefined;
}

function enableDevice(
  context: Context,
  { product, serial, connection: from, unlessActivated }: Parameters<DeviceStorage['enableDevice']>[0],
): Device | 'activated' {
  const { connection, nowSeconds } = context;
  if (unlessActivated && findDevice(context, product, serial)?.state === 'activated') return 'activated';
  ensureProduct(connection, product);
  connection
    .statement(
      `INSERT INTO device (product, serial, rid, state, enabled_at) VALUES (?, ?, ?, 'notactivated', ?)
       ON CONFLICT (product, serial) DO UPDATE
       SET state = 'notactivated', key_hash = NULL, enabled_at = excluded.enabled_at, reactivate_until = 0`,
    )
    .run(product, serial, randomBytes(20).toString('hex'), nowSeconds());
  const device = findDevice(context, product, serial);
  if (device === undefined) throw new Error('an enabled device is not in its table');
  logActivation(connection, device.id, { at: nowSeconds(), connection: from, entry: 'enabled' });
  return device;
}

function disableDevice(
  context: Context,
  { product, serial, connection: from }: Parameters<DeviceStorage['disableDevice']>[0],
): boolean {
  const row = context.connection
    .statement(
      "UPDATE device SET state = 'expired', key_hash = NULL, reactivate_until = 0 WHERE product = ? AND serial = ? RETURNING id",
    )
    .get(product, serial);
  if (row === undefined) return false;
  const entry = { at: context.nowSeconds(), connection: from, entry: 'disabled' };
  logActivation(context.connection, Number(row.id), entry);
  return true;
}

function remapDevice(
  context: Context,
  { product, serial, from, connection: by }: Parameters<DeviceStorage['remapDevice']>[0],
): 'done' | 'unknown' | 'taken' {
  const device = findDevice(context, product, from);
  if (device === undefined) return 'unknown';
  if (findDevice(context, product, serial) !== undefined) return 'taken';
  const now = context.nowSeconds();
  context.connection
    .statement(
      "UPDATE device SET serial = ?, key_hash = NULL, state = 'notactivated', enabled_at = ?, reactivate_until = 0 WHERE id = ?",
    )
    .run(serial, now, device.id);
  logActivation(context.connection, device.id, { at: now, connection: by, entry: 'enabled' });
  return 'done';
}

function activateDevice(
  context: Context,
  { product, serial, vendor, connection: from }: Parameters<DeviceStorage['activate']>[0],
): ActivationResult {
  const device = findDevice(context, product, serial);
  if (device === undefined) return { kind: 'unknown' };
  const { id, state } = device;
  const { isAllowed, isAgain, entry } = judgeActivation(device, context.nowSeconds());
  logActivation(context.connection, id, { at: context.nowSeconds(), connection: from, entry });
  if (!isAllowed) return { kind: 'refused', state, id };
  const cik = randomBytes(20).toString('hex');
  context.connection
    .statement(
      "UPDATE device SET state = 'activated', key_hash = ?, vendor = ?, reactivate_until = 0 WHERE id = ?",
    )
    .run(hashKey(cik), vendor, id);
  return { kind: 'activated', cik, id, isAgain };
}

function rowToDevice(row: Record<string, unknown>, context: Context): Device {
  const enabledAt = Number(row.enabled_at);
  const isLapsed = context.nowSeconds() - enabledAt > context.windowSeconds;
  const id = Number(row.id);
  return {
    id,
    product: String(row.product),
    serial: String(row.serial),
    state: toDeviceState(row.state, { enabledAt, isLapsed }),
    rid: String(row.rid),
    vendor: String(row.vendor),
    enabledAt,
    lastWriteAt: Number(row.last_write_at),
    lastSeenAt: context.seen.lastSeenAt(id, Number(row.last_seen_at)),
    extra: String(row.extra),
    reactivateUntil: Number(row.reactivate_until),
  };
}
