/** Gateways as the fleet knows them, their tags, events and groups in SQLite. */
import type { Device } from '../device-storage.ts';
import { toFleetGateway, toStoredEvent } from '../fleet-rows.ts';
import type { FleetGateway, FleetStorage } from '../fleet-storage.ts';
import { type Page, toPage } from '../page.ts';
import type { Connection } from './connection.ts';
import { joinRollouts } from './fleet-members.ts';
import { addAudit } from './people-table.ts';
import { type NextTurn, ROWS_A_TURN } from './turns.ts';

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

interface GatewayContext {
  connection: Connection;
  nowSeconds(): number;
  nextTurn: NextTurn;
  toDevice(row: Record<string, unknown>): Device;
}

/** How many rows are looked at for one page. */
const MOST_LOOKED_AT = 400;

export function createGatewayTable(context: GatewayContext): GatewayTable {
  const { connection } = context;
  return {
    listGateways: (product, request) => listGateways(context, product, request),
    findGateway: async (product, serial) => {
      const sql = `${GATEWAY_SQL} WHERE product = ? AND serial = ?`;
      const row = connection.statement(sql).get(product, serial);
      return row === undefined ? undefined : toGateway(context, row);
    },
    tagGateway: (product, serial, tags, audit) =>
      connection.commit(() => {
        const deviceId = tagGateway(connection, product, serial, tags);
        if (deviceId === undefined) return false;
        addAudit(connection, audit);
        joinFollowing(context, deviceId, context.nowSeconds());
        return true;
      }),
    holdGateway: (product, serial, reason, audit) =>
      connection.commit(() => {
        const deviceId = holdGateway(connection, product, serial, reason);
        if (deviceId === undefined) return false;
        addAudit(connection, audit);
        joinFollowing(context, deviceId, context.nowSeconds());
        return true;
      }),
    lastEventId: async () =>
      Number(connection.statement('SELECT max(id) AS id FROM fleet_event').get()?.id ?? 0),
    listEvents: async (product, { after, limit, serial }) => {
      const sql = `SELECT fleet_event.*, device.serial FROM fleet_event JOIN device ON device.id = fleet_event.device
        WHERE fleet_event.id > ?1 AND device.product = ?2 AND (?3 IS NULL OR device.serial = ?3)
        ORDER BY fleet_event.id LIMIT ?4`;
      return connection
        .statement(sql)
        .all(after, product, serial ?? null, limit)
        .map(toStoredEvent);
    },
    putGroup: (product, { name, filter }, audit) =>
      connection.commit(() => {
        const sql = 'INSERT OR REPLACE INTO fleet_group (product, name, filter) VALUES (?, ?, ?)';
        connection.statement(sql).run(product, name, filter);
        addAudit(connection, audit);
      }),
    listGroups: async (product) =>
      connection
        .statement('SELECT name, filter FROM fleet_group WHERE product = ? ORDER BY name')
        .all(product)
        .map((row) => ({ name: String(row.name), filter: String(row.filter) })),
  };
}

const GATEWAY_SQL = `SELECT device.*, fleet_gateway.knowledge,
    (SELECT json_group_object(key, value) FROM fleet_tag WHERE fleet_tag.device = device.id ORDER BY key) AS tags,
    (SELECT reason FROM fleet_hold WHERE fleet_hold.device = device.id) AS hold
  FROM device LEFT JOIN fleet_gateway ON fleet_gateway.device = device.id`;

async function listGateways(
  context: GatewayContext,
  product: string,
  { after = '', limit, chosen = () => true }: Parameters<FleetStorage['listGateways']>[1],
): Promise<Page<FleetGateway>> {
  const sql = `${GATEWAY_SQL} WHERE product = ? AND serial > ? ORDER BY serial LIMIT ${ROWS_A_TURN + 1}`;
  const found: FleetGateway[] = [];
  let next = after;
  for (let looked = 0; looked < MOST_LOOKED_AT; looked += ROWS_A_TURN) {
    await context.nextTurn();
    const rows = context.connection.statement(sql).all(product, next);
    const nowS = context.nowSeconds();
    for (const row of rows.slice(0, ROWS_A_TURN)) {
      const gateway = toGateway(context, row);
      if (chosen(gateway, nowS)) found.push(gateway);
      if (found.length > limit) return toPage(found, limit, ({ serial }) => serial);
    }
    if (rows.length <= ROWS_A_TURN) return { items: found, next: undefined };
    next = String(rows[ROWS_A_TURN - 1]?.serial);
  }
  return { items: found, next };
}

/** Part of a commit that has changed something about a gateway: it may belong into rollouts that follow. */
export function joinFollowing(context: GatewayContext, deviceId: number, at: number): void {
  const find = (id: number): FleetGateway | undefined => {
    const row = context.connection.statement(`${GATEWAY_SQL} WHERE device.id = ?`).get(id);
    return row === undefined ? undefined : toGateway(context, row);
  };
  joinRollouts(context.connection, deviceId, find, at);
}

function toGateway({ nowSeconds, toDevice }: GatewayContext, row: Record<string, unknown>): FleetGateway {
  return toFleetGateway(toDevice(row), row, nowSeconds());
}

function tagGateway(
  connection: Connection,
  product: string,
  serial: string,
  tags: Readonly<Record<string, string | null>>,
): number | undefined {
  const row = connection
    .statement('SELECT id FROM device WHERE product = ? AND serial = ?')
    .get(product, serial);
  if (row === undefined) return undefined;
  const put = connection.statement('INSERT OR REPLACE INTO fleet_tag (device, key, value) VALUES (?, ?, ?)');
  const remove = connection.statement('DELETE FROM fleet_tag WHERE device = ? AND key = ?');
  for (const [key, value] of Object.entries(tags))
    if (value === null) remove.run(Number(row.id), key);
    else put.run(Number(row.id), key, value);
  return Number(row.id);
}

function holdGateway(
  connection: Connection,
  product: string,
  serial: string,
  reason: string | undefined,
): number | undefined {
  const row = connection
    .statement('SELECT id FROM device WHERE product = ? AND serial = ?')
    .get(product, serial);
  if (row === undefined) return undefined;
  connection.statement('DELETE FROM fleet_hold WHERE device = ?').run(Number(row.id));
  if (reason !== undefined)
    connection.statement('INSERT INTO fleet_hold (device, reason) VALUES (?, ?)').run(Number(row.id), reason);
  return Number(row.id);
}
