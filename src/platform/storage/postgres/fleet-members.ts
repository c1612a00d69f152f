/**
 * Members of rollouts in PostgreSQL: a row each, written in one transaction with the counters of its rollout. Whoever
 * changes a member holds its rollout's row, taken before the member is read, so counters and members are of the same
 * moment. Locks are taken in one order everywhere: a device, rollouts by number, the audit.
 */
import { belongsTo, takeIn } from '../../../fleet/rollout/follow.ts';
import type { MemberState } from '../../../fleet/rollout/member-states.ts';
import type { Pair } from '../../../fleet/rollout/move.ts';
import type { Member, Rollout } from '../../../fleet/rollout/rollout.ts';
import { decodeRollout, encodeRollout, ruleFacts } from '../fleet-rows.ts';
import { isSame, type StoredPair, toPair, withoutMember } from '../fleet-steps.ts';
import type { FleetGateway } from '../fleet-storage.ts';
import { NOW, type Query } from './connection.ts';
import { addAudit } from './people-table.ts';

export const MEMBER_SQL = `SELECT fleet_member.*, device.serial, device.last_seen_at, fleet_rollout.body
  FROM fleet_member JOIN device ON device.id = fleet_member.device
  JOIN fleet_rollout ON fleet_rollout.id = fleet_member.rollout`;

const MOST_PAIRS = 20;

/** Part of a transaction, which holds the rollouts from then on. The newest first. */
export async function pairsOfDevice(query: Query, deviceId: number): Promise<StoredPair[]> {
  const ids = await query(
    `SELECT id FROM fleet_rollout WHERE id IN (SELECT rollout FROM fleet_member WHERE device = $1)
     ORDER BY number FOR UPDATE`,
    deviceId,
  );
  if (ids.length === 0) return [];
  const sql = `${MEMBER_SQL} WHERE fleet_member.device = $1 ORDER BY fleet_rollout.number DESC LIMIT ${MOST_PAIRS}`;
  return (await query(sql, deviceId)).map(toPair);
}

/** Part of a transaction that holds the rollouts. */
export async function pairsInState(query: Query, id: string, state: MemberState): Promise<StoredPair[]> {
  const sql = `${MEMBER_SQL} WHERE fleet_member.rollout = $1 AND fleet_member.state = $2`;
  return (await query(sql, id, state)).map(toPair);
}

/** Part of a transaction that holds the rollout: writes what has changed. */
export async function writeChange(query: Query, before: StoredPair, after: Pair): Promise<void> {
  if (!isSame(after.member, before.member))
    await writeMember(query, { rolloutId: after.rollout.id, deviceId: before.deviceId }, after.member);
  await writeRolloutChange(query, before.rollout, after.rollout);
}

/** Rollouts that follow, of the product of a gateway ($1) that is not in them. */
const FOLLOWING_SQL = `FROM fleet_rollout WHERE product = (SELECT product FROM device WHERE id = $1)
  AND state NOT IN ('done', 'aborted') AND body::json->'policy'->>'follow' IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM fleet_member WHERE rollout = fleet_rollout.id AND device = $1) ORDER BY number`;

/**
 * Part of a transaction that has changed something about a gateway, and holds it: takes it into the rollouts that it
 * belongs to by now. `find` is asked where there might be any; a rollout's row is taken where it joins.
 */
export async function joinRollouts(
  query: Query,
  deviceId: number,
  find: () => Promise<FleetGateway | undefined>,
): Promise<void> {
  const ids = await query(`SELECT id, body, ${NOW} AS now ${FOLLOWING_SQL}`, deviceId);
  const gateway = ids.length === 0 ? undefined : await find();
  if (gateway === undefined) return;
  const at = Number(ids[0]?.now);
  for (const { id, body } of ids) {
    if (!belongsTo(decodeRollout(body), gateway, at)) continue;
    const [row] = await query('SELECT body FROM fleet_rollout WHERE id = $1 FOR UPDATE', id);
    const rollout = decodeRollout(row?.body);
    if (!belongsTo(rollout, gateway, at)) continue;
    const joined = takeIn(rollout, gateway, at);
    await addMember(query, { rolloutId: rollout.id, deviceId }, joined.member);
    await writeRollout(query, joined.rollout);
  }
}

async function addMember(
  query: Query,
  { rolloutId, deviceId }: { rolloutId: string; deviceId: number },
  { wave, state, since, heardAt, intervalS, attempt, notBefore }: Member,
): Promise<void> {
  const sql = `INSERT INTO fleet_member (rollout, device, wave, state, since, heard_at, interval_s, attempt, not_before,
      good, shown) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '[]', '[]')`;
  await query(sql, ...[rolloutId, deviceId, wave, state, since, heardAt, intervalS, attempt, notBefore]);
}

/** The same for a rollout alone; what the rule does goes into the audit like what people do. */
export async function writeRolloutChange(query: Query, before: Rollout, after: Rollout): Promise<void> {
  if (isSame(before, after)) return;
  await writeRollout(query, after);
  if (before.state !== after.state) await addAudit(query, ruleFacts(before, after));
}

/** Part of a transaction, before the devices are removed: from then on they are not counted anywhere. */
export async function forgetMembers(
  query: Query,
  product: string,
  serials: readonly string[],
): Promise<void> {
  const ids = await query(
    'SELECT id FROM device WHERE product = $1 AND serial = ANY($2::text[]) ORDER BY id FOR UPDATE',
    product,
    serials,
  );
  const deviceIds = ids.map(({ id }) => Number(id));
  await query(
    `SELECT id FROM fleet_rollout WHERE id IN (SELECT rollout FROM fleet_member WHERE device = ANY($1::bigint[]))
     ORDER BY number FOR UPDATE`,
    deviceIds,
  );
  const rows = await query(`${MEMBER_SQL} WHERE fleet_member.device = ANY($1::bigint[])`, deviceIds);
  const changed = new Map<string, Rollout>();
  for (const { rollout, member } of rows.map(toPair))
    changed.set(rollout.id, withoutMember({ rollout: changed.get(rollout.id) ?? rollout, member }));
  for (const rollout of changed.values()) await writeRollout(query, rollout);
}

export async function writeRollout(query: Query, rollout: Rollout): Promise<void> {
  const sql = 'UPDATE fleet_rollout SET state = $2, body = $3, revision = revision + 1 WHERE id = $1';
  await query(sql, rollout.id, rollout.state, encodeRollout(rollout));
}

/** Part of a transaction that holds the rollout: the states of members that moved by the passing of time. */
export async function writeMembers(
  query: Query,
  rolloutId: string,
  moved: readonly { readonly deviceId: number; readonly member: Member }[],
): Promise<void> {
  if (moved.length === 0) return;
  const members = moved.map(({ member }) => member);
  await query(
    `UPDATE fleet_member SET state = new.state, since = new.since, heard_at = new.heard_at
     FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[]) AS new (device, state, since, heard_at)
     WHERE fleet_member.rollout = $1 AND fleet_member.device = new.device`,
    rolloutId,
    moved.map(({ deviceId }) => deviceId),
    members.map(({ state }) => state),
    members.map(({ since }) => since),
    members.map(({ heardAt }) => heardAt),
  );
}

async function writeMember(
  query: Query,
  { rolloutId, deviceId }: { rolloutId: string; deviceId: number },
  member: Member,
): Promise<void> {
  const { state, since, heardAt, intervalS, attempt, notBefore, good, shown, code, reason } = member;
  await query(
    `UPDATE fleet_member SET state = $3, since = $4, heard_at = $5, interval_s = $6, attempt = $7, not_before = $8,
       good = $9, shown = $10, code = $11, reason = $12 WHERE rollout = $1 AND device = $2`,
    ...[rolloutId, deviceId, state, since, heardAt, intervalS, attempt, notBefore],
    ...[JSON.stringify(good), JSON.stringify(shown), code ?? null, reason ?? null],
  );
}
