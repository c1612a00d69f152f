/** Gateways as the fleet knows them, their tags, events and groups in PostgreSQL. */
import type { AuditFacts } from '../../../fleet/people/audit.ts';
import { toFleetGateway, toStoredEvent } from '../fleet-rows.ts';
import type { FleetGateway, FleetStorage } from '../fleet-storage.ts';
import { type Page, toPage } from '../page.ts';
import type { Connection, Query, Row } from './connection.ts';
import { DEVICE_COLUMNS, toDevice } from './device-table.ts';
import { joinRollouts } from './fleet-members.ts';
import { addAudit } from './people-table.ts';

type GatewayTable = Pick<
  FleetStorage,
  | 'listGateways'
  | 'findGateway'
  | 'tagGateway'
  | 'holdGateway'
  | 'lastEventId'
  | 'listEvents'
  | 'putGroup'
  | 'listGroups'
>;

interface Context {
  connection: Connection;
  windowSeconds: number;
}

export function createGatewayTable({ connection, windowSeconds }: Context): GatewayTable {
  const { query, transaction } = connection;
  const toGateway = (row: Row): FleetGateway => rowToGateway(row, windowSeconds);
  const change = (act: (tx: Query) => Promise<number | undefined>, audit: AuditFacts): Promise<boolean> =>
    transaction(async (tx) => {
      const deviceId = await act(tx);
      if (deviceId === undefined) return false;
      await joinFollowing(tx, deviceId, { windowSeconds });
      await addAudit(tx, audit);
      return true;
    });
  return {
    listGateways: (product, request) => listGateways(query, toGateway, product, request),
    findGateway: async (product, serial) => {
      const [row] = await query(`${GATEWAY_SQL} WHERE product = $1 AND serial = $2`, product, serial);
      return row === undefined ? undefined : toGateway(row);
    },
    tagGateway: (product, serial, tags, audit) =>
      change((tx) => tagGateway(tx, product, serial, tags), audit),
    holdGateway: (product, serial, reason, audit) =>
      change((tx) => holdGateway(tx, product, serial, reason), audit),
    lastEventId: async () => Number((await query('SELECT max(id) AS id FROM fleet_event'))[0]?.id ?? 0),
    listEvents: async (product, { after, limit, serial }) => {
      const sql = `SELECT fleet_event.*, device.serial FROM fleet_event JOIN device ON device.id = fleet_event.device
        WHERE fleet_event.id > $1 AND device.product = $2 AND ($3::text IS NULL OR device.serial = $3)
        ORDER BY fleet_event.id LIMIT $4`;
      return (await query(sql, after, product, serial ?? null, limit)).map(toStoredEvent);
    },
    putGroup: (product, { name, filter }, audit) =>
      transaction(async (tx) => {
        const sql = `INSERT INTO fleet_group (product, name, filter) VALUES ($1, $2, $3)
          ON CONFLICT (product, name) DO UPDATE SET filter = excluded.filter`;
        await tx(sql, product, name, filter);
        await addAudit(tx, audit);
      }),
    listGroups: async (product) =>
      (await query('SELECT name, filter FROM fleet_group WHERE product = $1 ORDER BY name', product)).map(
        (row) => ({ name: String(row.name), filter: String(row.filter) }),
      ),
  };
}

const GATEWAY_SQL = `SELECT ${DEVICE_COLUMNS}, fleet_gateway.knowledge,
    (SELECT json_object_agg(key, value ORDER BY key)::text FROM fleet_tag WHERE fleet_tag.device = device.id) AS tags,
    (SELECT reason FROM fleet_hold WHERE fleet_hold.device = device.id) AS hold
  FROM device LEFT JOIN fleet_gateway ON fleet_gateway.device = device.id`;

function rowToGateway(row: Row, windowSeconds: number): FleetGateway {
  return toFleetGateway(toDevice(row, windowSeconds), row, Number(row.now));
}

/**
 * Part of a transaction that has changed something about a gateway, and holds it: it may belong into rollouts that
 * follow. `seenAt`: it is asking now, which is stored later.
 */
export async function joinFollowing(
  query: Query,
  deviceId: number,
  { windowSeconds, seenAt }: { windowSeconds: number; seenAt?: number },
): Promise<void> {
  await joinRollouts(query, deviceId, async () => {
    const [row] = await query(`${GATEWAY_SQL} WHERE device.id = $1`, deviceId);
    if (row === undefined) return undefined;
    const stored = Number(row.last_seen_at);
    // Of whom something is known, that has asked already: it is stored within a second.
    const isFirst = stored === 0 && row.knowledge !== null;
    const lastSeenAt = Math.max(stored, seenAt ?? (isFirst ? Number(row.now) : 0));
    return rowToGateway({ ...row, last_seen_at: lastSeenAt }, windowSeconds);
  });
}

/** Rows looked at for one page. */
const MOST_LOOKED_AT = 400;

async function listGateways(
  query: Query,
  toGateway: (row: Row) => FleetGateway,
  product: string,
  { after = '', limit, chosen = () => true }: Parameters<FleetStorage['listGateways']>[1],
): Promise<Page<FleetGateway>> {
  const sql = `${GATEWAY_SQL} WHERE product = $1 AND serial > $2 ORDER BY serial LIMIT $3`;
  const rows = await query(sql, product, after, MOST_LOOKED_AT + 1);
  const found: FleetGateway[] = [];
  for (const row of rows.slice(0, MOST_LOOKED_AT)) {
    const gateway = toGateway(row);
    if (chosen(gateway, Number(row.now))) found.push(gateway);
    if (found.length > limit) return toPage(found, limit, ({ serial }) => serial);
  }
  const last = rows.length > MOST_LOOKED_AT ? rows[MOST_LOOKED_AT - 1] : undefined;
  return { items: found, next: last === undefined ? undefined : String(last.serial) };
}

async function tagGateway(
  query: Query,
  product: string,
  serial: string,
  tags: Readonly<Record<string, string | null>>,
): Promise<number | undefined> {
  const [row] = await query(
    'SELECT id FROM device WHERE product = $1 AND serial = $2 FOR UPDATE',
    product,
    serial,
  );
  if (row === undefined) return undefined;
  const put = Object.entries(tags).filter(([, value]) => value !== null);
  await query('DELETE FROM fleet_tag WHERE device = $1 AND key = ANY($2::text[])', row.id, Object.keys(tags));
  await query(
    'INSERT INTO fleet_tag (device, key, value) SELECT $1, key, value FROM unnest($2::text[], $3::text[]) AS new (key, value)',
    row.id,
    put.map(([key]) => key),
    put.map(([, value]) => value),
  );
  return Number(row.id);
}

async function holdGateway(
  query: Query,
  product: string,
  serial: string,
  reason: string | undefined,
): Promise<number | undefined> {
  const sql = 'SELECT id FROM device WHERE product = $1 AND serial = $2 FOR NO KEY UPDATE';
  const [row] = await query(sql, product, serial);
  if (row === undefined) return undefined;
  await query('DELETE FROM fleet_hold WHERE device = $1', row.id);
  if (reason !== undefined)
    await query('INSERT INTO fleet_hold (device, reason) VALUES ($1, $2)', row.id, reason);
  return Number(row.id);
}
