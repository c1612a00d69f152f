/** Counts what is stored in SQLite: a range of gateways at a time, so that check-ins are served in between. */
import { countedState } from '../device-rows.ts';
import { countMembers, MOST_APPS, MOST_ROLLOUTS, silence } from '../fleet-figures.ts';
import type { Figures } from '../storage.ts';
import type { Connection } from './connection.ts';

const MOST_TOGETHER = 1000;
/** Gateways choose the names of versions: one that invents many must not fill the memory. */
const MOST_VERSIONS = 10_000;

type Row = Record<string, unknown>;

export async function countAll(
  connection: Connection,
  nowSeconds: number,
  windowSeconds: number,
): Promise<Figures> {
  const devices = createTally();
  const apps = createTally();
  let lateDevices = 0;
  const last = Number(connection.statement('SELECT max(id) AS id FROM device').get()?.id ?? 0);
  for (let from = 0; from < last; from += MOST_TOGETHER) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (const row of devicesOf(connection, from, { nowSeconds, windowSeconds })) {
      devices.add([String(row.product), countedState(row)], Number(row.count));
      lateDevices += Number(row.late);
    }
    for (const row of appsOf(connection, from))
      apps.add([String(row.app), String(row.version)], Number(row.count));
  }
  return {
    devices: devices.all().map(([[product = '', state = ''], count]) => ({ product, state, count })),
    contentBytes: numberOf(connection, 'SELECT sum(size) AS value FROM content'),
    fleet: {
      lateDevices,
      apps: apps
        .all()
        .slice(0, MOST_APPS)
        .map(([[app = '', version = ''], count]) => ({ app, version, count })),
      members: countMembers(openRollouts(connection)),
      stopped: numberOf(
        connection,
        "SELECT count(*) AS value FROM fleet_audit WHERE action = 'rollout.paused' AND actor = 'rule'",
      ),
    },
  };
}

function devicesOf(
  connection: Connection,
  from: number,
  { nowSeconds, windowSeconds }: { nowSeconds: number; windowSeconds: number },
): Row[] {
  const { intervalS, slackS } = silence();
  const sql = `SELECT product, state, enabled_at = 0 AS unused, enabled_at < ?6 AS lapsed, count(*) AS count, sum(state = 'activated' AND last_seen_at > 0 AND
      last_seen_at + 2 * coalesce(knowledge ->> '$.intervalS', ?3) + ?4 < ?5) AS late
    FROM device LEFT JOIN fleet_gateway ON fleet_gateway.device = device.id
    WHERE id > ?1 AND id <= ?2 GROUP BY 1, 2, 3, 4`;
  const cutoff = nowSeconds - windowSeconds;
  return connection.statement(sql).all(from, from + MOST_TOGETHER, intervalS, slackS, nowSeconds, cutoff);
}

function appsOf(connection: Connection, from: number): Row[] {
  const sql = `SELECT app.value ->> '$[0]' AS app, app.value ->> '$[1].version' AS version, count(*) AS count
    FROM fleet_gateway, json_each(knowledge, '$.apps') AS app WHERE device > ? AND device <= ? GROUP BY 1, 2`;
  return connection.statement(sql).all(from, from + MOST_TOGETHER);
}

function openRollouts(connection: Connection): unknown[] {
  const sql = `SELECT body FROM fleet_rollout WHERE state NOT IN ('done', 'aborted') ORDER BY number DESC LIMIT ?`;
  return connection
    .statement(sql)
    .all(MOST_ROLLOUTS)
    .map(({ body }) => body);
}

function numberOf(connection: Connection, sql: string): number {
  return Number(connection.statement(sql).get()?.value ?? 0);
}

/** Counts by name, the greatest first. */
function createTally() {
  const counts = new Map<string, number>();
  return {
    add(names: readonly string[], count: number): void {
      const key = JSON.stringify(names);
      if (counts.has(key) || counts.size < MOST_VERSIONS) counts.set(key, (counts.get(key) ?? 0) + count);
    },
    all(): [string[], number][] {
      return [...counts]
        .sort(([, a], [, b]) => b - a)
        .map(([key, count]): [string[], number] => [JSON.parse(key) as string[], count]);
    },
  };
}
