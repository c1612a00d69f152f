/** Counts what is stored in PostgreSQL. */
import { countedState } from '../device-rows.ts';
import { countMembers, MOST_APPS, MOST_ROLLOUTS, silence } from '../fleet-figures.ts';
import type { Figures } from '../storage.ts';
import { NOW, type Query } from './connection.ts';

export async function countAll(query: Query, windowSeconds: number, hasFleet: boolean): Promise<Figures> {
  const sql = `SELECT product, state, enabled_at = 0 AS unused, enabled_at < ${NOW} - $1::bigint AS lapsed,
    count(*) AS count FROM device GROUP BY 1, 2, 3, 4`;
  const counts = new Map<string, Map<string, number>>();
  for (const row of await query(sql, windowSeconds)) {
    const states = counts.get(String(row.product)) ?? new Map<string, number>();
    counts.set(String(row.product), states);
    states.set(countedState(row), (states.get(countedState(row)) ?? 0) + Number(row.count));
  }
  return {
    devices: [...counts].flatMap(([product, states]) =>
      Array.from(states, ([state, count]) => ({ product, state, count })),
    ),
    contentBytes: await numberOf(query, 'SELECT sum(size) AS value FROM content'),
    ...(hasFleet ? { fleet: await countFleet(query) } : {}),
  };
}

async function countFleet(query: Query): Promise<NonNullable<Figures['fleet']>> {
  const { intervalS, slackS } = silence();
  const late = `SELECT count(*) AS value FROM device LEFT JOIN fleet_gateway ON fleet_gateway.device = device.id
    WHERE state = 'activated' AND last_seen_at > 0 AND
      last_seen_at + 2 * coalesce((knowledge::json ->> 'intervalS')::numeric, $1) + $2 < ${NOW}`;
  const apps = `SELECT app ->> 0 AS app, app -> 1 ->> 'version' AS version, count(*) AS count
    FROM fleet_gateway, json_array_elements(knowledge::json -> 'apps') AS app
    GROUP BY 1, 2 ORDER BY 3 DESC LIMIT $1`;
  const rollouts = `SELECT body FROM fleet_rollout WHERE state NOT IN ('done', 'aborted')
    ORDER BY number DESC LIMIT $1`;
  const stopped = `SELECT count(*) AS value FROM fleet_audit WHERE action = 'rollout.paused' AND actor = 'rule'`;
  return {
    lateDevices: await numberOf(query, late, intervalS, slackS),
    apps: (await query(apps, MOST_APPS)).map(({ app, version, count }) => {
      return { app: String(app), version: String(version), count: Number(count) };
    }),
    members: countMembers((await query(rollouts, MOST_ROLLOUTS)).map(({ body }) => body)),
    stopped: await numberOf(query, stopped),
  };
}

async function numberOf(query: Query, sql: string, ...values: readonly number[]): Promise<number> {
  const [row] = await query(sql, ...values);
  return Number(row?.value ?? 0);
}
