/** Devices, their keys and states in PostgreSQL. */
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
import { type Connection, NOW, type Query, type Row, TakenBack } from './connection.ts';

interface Context {
  connection: Connection;
  /** Part of a transaction; called before these devices are removed. */
  forget(query: Query, product: string, serials: readonly string[]): Promise<void>;
  windowSeconds: number;
  /** Notes that the device is seen now. */
  see(row: Row): void;
}

/** What `toDevice` reads; the time comes with the row, so that all times are of one clock. */
export const DEVICE_COLUMNS = `device.*, ${NOW} AS now`;

export function createDeviceTable(context: Context): DeviceStorage {
  const { connection, windowSeconds } = context;
  const { query, transaction } = connection;
  const toDevices = (rows: readonly Row[]): Device[] => rows.map((row) => toDevice(row, windowSeconds));
  return {
    enableDevice: (call) => transaction((tx) => enableDevice(tx, windowSeconds, call)),
    disableDevice: (call) => transaction((tx) => disableDevice(tx, call)),
    remapDevice: (call) => transaction((tx) => remapDevice(tx, call)),
    activate: (call) => transaction((tx) => activateDevice(tx, windowSeconds, call)),
    activationLog: (deviceId) => readActivationLog(query, deviceId),
    async authenticate(cik) {
      const [row] = await query(`SELECT ${DEVICE_COLUMNS} FROM device WHERE key_hash = $1`, hashKey(cik));
      if (row === undefined) return undefined;
      context.see(row);
      await keepKey(query, row);
      return toDevice(row, windowSeconds);
    },
    findDevice: async (product, serial) => toDevices(await findRows(query, product, serial))[0],
    findProductsOfSerial: async (serial) =>
      (await query('SELECT product FROM device WHERE serial = $1 LIMIT 2', serial)).map((row) =>
        String(row.product),
      ),
    listDevices: (product, request) => listDevices(context, product, request),
    pageDevices: async (product, { offset, limit }) =>
      toDevices(
        await query(
          `SELECT ${DEVICE_COLUMNS} FROM device WHERE product = $1 ORDER BY serial LIMIT $2 OFFSET $3`,
          product,
          limit,
          offset,
        ),
      ),
    addDevices: (product, devices) => transaction((tx) => addDevices(tx, product, devices)),
    removeDevices: (product, serials) =>
      transaction(async (tx) => {
        await context.forget(tx, product, serials);
        return removeDevices(tx, product, serials);
      }),
    hasProduct: async (product) => (await query('SELECT 1 FROM product WHERE name = $1', product)).length > 0,
    listProducts: async ({ after = '', limit }) => {
      const sql = 'SELECT name FROM product WHERE name > $1 ORDER BY name LIMIT $2';
      const names = (await query(sql, after, limit + 1)).map((row) => String(row.name));
      return toPage(names, limit, (name) => name);
    },
    createProduct: (product) => ensureProduct(query, product),
  };
}

/** The device has used the key that is stored: nobody else can be activated in its place. */
export async function keepKey(query: Query, row: Row): Promise<void> {
  if (!(Number(row.reactivate_until) > 0)) return;
  const sql = 'UPDATE device SET reactivate_until = 0 WHERE id = $1 AND key_hash = $2';
  await query(sql, row.id, row.key_hash);
}

/** False if the product existed already. */
export async function ensureProduct(query: Query, product: string): Promise<boolean> {
  const sql = 'INSERT INTO product (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name';
  return (await query(sql, product)).length > 0;
}

function findRows(query: Query, product: string, serial: string): Promise<Row[]> {
  return query(`SELECT ${DEVICE_COLUMNS} FROM device WHERE product = $1 AND serial = $2`, product, serial);
}

/** The row cannot change until the transaction ends. */
async function lockDevice(
  query: Query,
  windowSeconds: number,
  { product, serial }: { product: string; serial: string },
): Promise<{ device: Device; now: number } | undefined> {
  const sql = `SELECT ${DEVICE_COLUMNS} FROM device WHERE product = $1 AND serial = $2 FOR UPDATE`;
  const [row] = await query(sql, product, serial);
  return row === undefined ? undefined : { device: toDevice(row, windowSeconds), now: Number(row.now) };
}

async function listDevices(
  { connection, windowSeconds }: Context,
  product: string,
  { after = '', limit, prefix = '', state, seenBefore }: PageRequest & DeviceFilter,
): Promise<Page<Device>> {
  const rows = await connection.query(
    `SELECT ${DEVICE_COLUMNS} FROM device
     WHERE product = $1 AND serial > $2 AND serial >= $3 AND starts_with(serial, $3) ORDER BY serial LIMIT $4`,
    product,
    after,
    prefix,
    limit + 1,
  );
  const devices = rows.map((row) => toDevice(row, windowSeconds));
  const { items, next } = toPage(devices, limit, ({ serial }) => serial);
  const isWanted = (device: Device): boolean =>
    (state === undefined || device.state === state) &&
    (seenBefore === undefined || device.lastSeenAt < seenBefore);
  return { items: items.filter(isWanted), next };
}

async function addDevices(
  query: Query,
  product: string,
  devices: readonly { serial: string; extra: string }[],
): Promise<string | undefined | TakenBack<string | undefined>> {
  await ensureProduct(query, product);
  const added = await query(
    `INSERT INTO device (product, serial, rid, state, enabled_at, extra)
     SELECT $1, serial, rid, 'expired', ${NEVER_ENABLED}, extra
     FROM unnest($2::text[], $3::text[], $4::text[]) AS new (serial, rid, extra)
     ON CONFLICT DO NOTHING RETURNING serial`,
    product,
    devices.map(({ serial }) => serial),
    devices.map(() => randomBytes(20).toString('hex')),
    devices.map(({ extra }) => extra),
  );
  const left = new Set(added.map((row) => String(row.serial)));
  const taken = devices.find(({ serial }) => !left.delete(serial));
  return taken === undefined ? undefined : new TakenBack(taken.serial);
}

async function removeDevices(
  query: Query,
  product: string,
  serials: readonly string[],
): Promise<string | undefined | TakenBack<string | undefined>> {
  const removed = await query(
    'DELETE FROM device WHERE product = $1 AND serial = ANY($2::text[]) RETURNING serial',
    product,
    serials,
  );
  const left = new Set(removed.map((row) => String(row.serial)));
  const missing = serials.find((serial) => !left.delete(serial));
  return missing === undefined ? undefined : new TakenBack(missing);
}

async function enableDevice(
  query: Query,
  windowSeconds: number,
  call: Parameters<DeviceStorage['enableDevice']>[0],
): Promise<Device | 'activated'> {
  await ensureProduct(query, call.product);
  const rows = await query(
    `INSERT INTO device (product, serial, rid, state, enabled_at) VALUES ($1, $2, $3, 'notactivated', ${NOW})
     ON CONFLICT (product, serial) DO UPDATE
     SET state = 'notactivated', key_hash = NULL, enabled_at = excluded.enabled_at, reactivate_until = 0
     WHERE NOT ($4 AND device.state = 'activated') RETURNING ${DEVICE_COLUMNS}`,
    call.product,
    call.serial,
    randomBytes(20).toString('hex'),
    call.unlessActivated,
  );
  const [row] = rows;
  if (row === undefined) return 'activated';
  const device = toDevice(row, windowSeconds);
  await logActivation(query, device.id, call.connection, 'enabled');
  return device;
}

async function disableDevice(
  query: Query,
  { product, serial, connection }: Parameters<DeviceStorage['disableDevice']>[0],
): Promise<boolean> {
  const [row] = await query(
    "UPDATE device SET state = 'expired', key_hash = NULL, reactivate_until = 0 WHERE product = $1 AND serial = $2 RETURNING id",
    product,
    serial,
  );
  if (row === undefined) return false;
  await logActivation(query, Number(row.id), connection, 'disabled');
  return true;
}

async function remapDevice(
  query: Query,
  { product, serial, from, connection }: Parameters<DeviceStorage['remapDevice']>[0],
): Promise<'done' | 'unknown' | 'taken'> {
  const found = await lockDevice(query, 0, { product, serial: from });
  if (found === undefined) return 'unknown';
  const { device } = found;
  // Another transaction may be giving the name away: the second of the two waits, and then finds it taken.
  await query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', `${product}\n${serial}`);
  if ((await findRows(query, product, serial)).length > 0) return 'taken';
  await query(
    `UPDATE device SET serial = $2, key_hash = NULL, state = 'notactivated', enabled_at = ${NOW}, reactivate_until = 0
     WHERE id = $1`,
    device.id,
    serial,
  );
  await logActivation(query, device.id, connection, 'enabled');
  return 'done';
}

async function activateDevice(
  query: Query,
  windowSeconds: number,
  call: Parameters<DeviceStorage['activate']>[0],
): Promise<ActivationResult> {
  const found = await lockDevice(query, windowSeconds, call);
  if (found === undefined) return { kind: 'unknown' };
  const { id, state } = found.device;
  const { isAllowed, isAgain, entry } = judgeActivation(found.device, found.now);
  await logActivation(query, id, call.connection, entry);
  if (!isAllowed) return { kind: 'refused', state, id };
  const cik = randomBytes(20).toString('hex');
  await query(
    "UPDATE device SET state = 'activated', key_hash = $2, vendor = $3, reactivate_until = 0 WHERE id = $1",
    id,
    hashKey(cik),
    call.vendor,
  );
  return { kind: 'activated', cik, id, isAgain };
}

/** The device in a row that has DEVICE_COLUMNS. */
export function toDevice(row: Row, windowSeconds: number): Device {
  const enabledAt = Number(row.enabled_at);
  const state: DeviceState = toDeviceState(row.state, {
    enabledAt,
    isLapsed: Number(row.now) - enabledAt > windowSeconds,
  });
  return {
    id: Number(row.id),
    product: String(row.product),
    serial: String(row.serial),
    state,
    rid: String(row.rid),
    vendor: String(row.vendor),
    enabledAt,
    lastWriteAt: Number(row.last_write_at),
    lastSeenAt: Number(row.last_seen_at),
    extra: String(row.extra),
    reactivateUntil: Number(row.reactivate_until),
  };
}
