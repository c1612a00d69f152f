/**
 * What the fleet does within the transaction of a device's own request: it learns from what is written, and decides
 * what is shown.
 */
import { type FleetEvent, learn, type Written } from '../../../fleet/gateway/learn.ts';
import { IN_FLIGHT } from '../../../fleet/rollout/member-states.ts';
import { decodeKnowledge, encodeKnowledge } from '../fleet-rows.ts';
import { applyNews, concernsRollouts, decideOne, inDecidingOrder, type News } from '../fleet-steps.ts';
import type { Query } from './connection.ts';
import { pairsOfDevice, writeChange } from './fleet-members.ts';

export interface FleetHooks {
  /** SQL that is true where a rollout might have something to show to the `device` of a row, or to take back. */
  readonly isDueSql: string;
  /** Part of a transaction that holds the device: the device has written these watched values. */
  written(query: Query, deviceId: number, writes: readonly Written[]): Promise<void>;
  /**
   * Part of a transaction that holds the device: the device is about to read its command. Returns the text to put
   * there, empty to take one back, and `undefined` to leave what is there.
   */
  decide(query: Query, deviceId: number, current: string, at: number): Promise<string | undefined>;
}

/** For a database that has no fleet tables yet. */
export const NO_HOOKS: FleetHooks = {
  isDueSql: 'false',
  written: async () => undefined,
  decide: async () => undefined,
};

/**
 * Whoever decides holds the rollout's row. So of the members that wait, only those do whose wave has begun, and only
 * while a slot is free.
 */
const HAS_TURN = `fleet_member.wave <= (fleet_rollout.body::json->>'wave')::integer AND
  (SELECT sum(${IN_FLIGHT.map((state) => `(each->'counts'->>'${state}')::integer`).join(' + ')})
    FROM json_array_elements(fleet_rollout.body::json->'waves') AS each)
  < (fleet_rollout.body::json->'policy'->>'concurrency')::integer`;

/** The command of this rollout is still where the device reads it, although it is not offered any more. */
const IS_LEFT = `EXISTS (SELECT 1 FROM current WHERE current.device = fleet_member.device AND alias = 'engine_fetch'
  AND position(convert_to('{"id":"' || fleet_member.rollout || '.', 'UTF8') IN value) = 1)`;

/** `join`: part of a transaction, takes a gateway of which something is new into the rollouts that follow. */
export function createFleetHooks(
  join: (query: Query, deviceId: number, at: number) => Promise<void>,
): FleetHooks {
  return {
    isDueSql: IS_DUE_SQL,
    async written(query, deviceId, writes) {
      if (await written(query, deviceId, writes)) await join(query, deviceId, writes[0]?.at ?? 0);
    },
    decide,
  };
}

const IS_DUE_SQL = `EXISTS (SELECT 1 FROM fleet_member JOIN fleet_rollout ON fleet_rollout.id = fleet_member.rollout
    WHERE fleet_member.device = device.id AND (fleet_member.state = 'offered'
      OR fleet_member.state = 'waiting' AND fleet_rollout.state = 'running' AND ${HAS_TURN} OR ${IS_LEFT}))`;

/** Returns whether something is known of the gateway that was not before. */
async function written(query: Query, deviceId: number, writes: readonly Written[]): Promise<boolean> {
  if (writes.length === 0) return false;
  const [row] = await query('SELECT knowledge FROM fleet_gateway WHERE device = $1', deviceId);
  const before = decodeKnowledge(row?.knowledge);
  let knowledge = before;
  const news: News[] = [];
  for (const write of writes) {
    const learnt = learn(knowledge, write);
    knowledge = learnt.knowledge;
    news.push({ learnt, fresh: await addEvents(query, deviceId, learnt.events), at: write.at });
  }
  if (knowledge !== before) {
    const sql = `INSERT INTO fleet_gateway (device, knowledge) VALUES ($1, $2)
      ON CONFLICT (device) DO UPDATE SET knowledge = excluded.knowledge`;
    await query(sql, deviceId, encodeKnowledge(knowledge));
  }
  await tellRollouts(query, deviceId, news.filter(concernsRollouts));
  return knowledge !== before;
}

/** Any number that nothing else in the database uses. */
const LOCK = 7_146_529_303;

/**
 * Adds events, and returns those that are new. Others that add events wait until these can be seen: so numbers become
 * visible in their order, and whoever asks for the events after a number misses none.
 */
async function addEvents(
  query: Query,
  deviceId: number,
  events: readonly FleetEvent[],
): Promise<readonly FleetEvent[]> {
  if (events.length === 0) return [];
  await query('SELECT pg_advisory_xact_lock($1)', LOCK);
  const fresh: FleetEvent[] = [];
  for (const event of events) {
    const { key, at, kind, app = '', version = '', status, text } = event;
    const { outcome = '', code = '', command = '' } = status ?? {};
    const added = await query(
      `INSERT INTO fleet_event (device, key, at, kind, app, version, outcome, code, command, text)
       SELECT $1::bigint, $2::text, $3::bigint, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text
       WHERE NOT EXISTS (SELECT 1 FROM fleet_event WHERE device = $1 AND key = $2) RETURNING id`,
      ...[deviceId, key, at, kind, app, version, outcome, code, command, text],
    );
    if (added.length > 0) fresh.push(event);
  }
  return fresh;
}

async function tellRollouts(query: Query, deviceId: number, news: readonly News[]): Promise<void> {
  if (news.length === 0) return;
  for (const pair of await pairsOfDevice(query, deviceId))
    await writeChange(query, pair, news.reduce(applyNews, pair));
}

async function decide(
  query: Query,
  deviceId: number,
  current: string,
  at: number,
): Promise<string | undefined> {
  let text = current;
  const sql = `SELECT (SELECT reason FROM fleet_hold WHERE device = $1) AS hold,
    (SELECT knowledge FROM fleet_gateway WHERE device = $1) AS knowledge`;
  const [row] = await query(sql, deviceId);
  const hold = typeof row?.hold === 'string' ? row.hold : undefined;
  const { gweVersion } = decodeKnowledge(row?.knowledge);
  for (const pair of inDecidingOrder(await pairsOfDevice(query, deviceId))) {
    const [next, shown] = decideOne(pair, text, { at, hold, gweVersion });
    text = shown;
    await writeChange(query, pair, next);
  }
  return text === current ? undefined : text;
}
