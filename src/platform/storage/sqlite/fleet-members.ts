/** Members of rollouts in SQLite: a row each, written with its rollout's counters in one transaction. */
import { belongsTo, takeIn } from '../../../fleet/rollout/follow.ts';
import { IN_FLIGHT, type MemberState } from '../../../fleet/rollout/member-states.ts';
import type { Pair } from '../../../fleet/rollout/move.ts';
import type { Member, Rollout } from '../../../fleet/rollout/rollout.ts';
import { decodeRollout, encodeRollout, ruleFacts } from '../fleet-rows.ts';
import { isSame, type StoredPair, toPair, withoutMember } from '../fleet-steps.ts';
import type { FleetGateway } from '../fleet-storage.ts';
import type { Connection } from './connection.ts';
import { addAudit } from './people-table.ts';

const MEMBER_SQL = `SELECT fleet_member.*, device.serial, fleet_rollout.body FROM fleet_member
  JOIN device ON device.id = fleet_member.device JOIN fleet_rollout ON fleet_rollout.id = fleet_member.rollout`;

/** The newest ones: what an older rollout says about the same app has been superseded. */
const MOST_PAIRS = 20;

export function pairsOfDevice(connection: Connection, deviceId: number): StoredPair[] {
  const sql = `${MEMBER_SQL} WHERE fleet_member.device = ? ORDER BY fleet_rollout.number DESC LIMIT ${MOST_PAIRS}`;
  return connection.statement(sql).all(deviceId).map(toPair);
}

/** Whoever decides has a commit of its own: of the members that wait, only those whose wave has begun and has a slot. */
const HAS_TURN = `fleet_member.wave <= fleet_rollout.body ->> '$.wave' AND
  (SELECT sum(${IN_FLIGHT.map((state) => `value ->> '$.counts.${state}'`).join(' + ')})
    FROM json_each(fleet_rollout.body, '$.waves')) < fleet_rollout.body ->> '$.policy.concurrency'`;

/** The command of this rollout is still where the device reads it, although it is not offered any more. */
const IS_LEFT = `EXISTS (SELECT 1 FROM current WHERE current.device = fleet_member.device AND alias = 'engine_fetch'
  AND instr(CAST(value AS TEXT), '{"id":"' || fleet_member.rollout || '.') = 1)`;

/** Whether a rollout might have something to show to this device, or to take back. */
export function hasOpenMember(connection: Connection, deviceId: number): boolean {
  const sql = `SELECT 1 FROM fleet_member JOIN fleet_rollout ON fleet_rollout.id = fleet_member.rollout
    WHERE device = ? AND (fleet_member.state = 'offered' OR fleet_member.state = 'waiting'
      AND fleet_rollout.state = 'running' AND ${HAS_TURN} OR ${IS_LEFT}) LIMIT 1`;
  return connection.statement(sql).get(deviceId) !== undefined;
}

/**
 * Part of a commit. Writes what has changed, and first reads what other work of the same commit has changed in the
 * rollout.
 */
export function changePair(
  connection: Connection,
  { deviceId, ...before }: StoredPair,
  change: (pair: Pair) => Pair,
): Pair {
  // The counters are those of now, not of when the pair was read.
  const row = connection.statement('SELECT body FROM fleet_rollout WHERE id = ?').get(before.rollout.id);
  const now: Pair = { rollout: decodeRollout(row?.body), member: before.member };
  const after = change(now);
  if (!isSame(after.member, now.member)) writeMember(connection, after.rollout.id, deviceId, after.member);
  if (!isSame(after.rollout, now.rollout)) {
    writeRollout(connection, after.rollout);
    auditRule(connection, now.rollout, after.rollout);
  }
  return after;
}

/** Rollouts that follow, of the product of a gateway (?1) that is not in them. */
const FOLLOWING_SQL = `SELECT body FROM fleet_rollout WHERE product = (SELECT product FROM device WHERE id = ?1)
  AND state NOT IN ('done', 'aborted') AND body ->> '$.policy.follow' IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM fleet_member WHERE rollout = fleet_rollout.id AND device = ?1) ORDER BY number`;

/**
 * Part of a commit that has changed something about a gateway: takes it into the rollouts that it belongs to by now.
 * `find` is asked where there might be any.
 */
export function joinRollouts(
  connection: Connection,
  deviceId: number,
  find: (deviceId: number) => FleetGateway | undefined,
  at: number,
): void {
  const rows = connection.statement(FOLLOWING_SQL).all(deviceId);
  const gateway = rows.length === 0 ? undefined : find(deviceId);
  if (gateway === undefined) return;
  for (const { body } of rows) {
    const rollout = decodeRollout(body);
    if (!belongsTo(rollout, gateway, at)) continue;
    const joined = takeIn(rollout, gateway, at);
    writeMember(connection, rollout.id, deviceId, joined.member);
    writeRollout(connection, joined.rollout);
  }
}

/** Part of a commit: what the rule does goes into the audit like what people do. */
export function auditRule(connection: Connection, before: Rollout, after: Rollout): void {
  if (before.state === after.state) return;
  addAudit(connection, ruleFacts(before, after));
}

export function pairsInState(connection: Connection, id: string, state: MemberState): StoredPair[] {
  const sql = `${MEMBER_SQL} WHERE fleet_member.rollout = ? AND fleet_member.state = ?`;
  return connection.statement(sql).all(id, state).map(toPair);
}

/** Part of a commit: the device is removed, and from then on is not counted anywhere. */
export function forgetMembers(connection: Connection, deviceId: number): void {
  const rows = connection.statement(`${MEMBER_SQL} WHERE fleet_member.device = ?`).all(deviceId);
  for (const row of rows) writeRollout(connection, withoutMember(toPair(row)));
  connection.statement('DELETE FROM fleet_member WHERE device = ?').run(deviceId);
}

/** Part of a commit. */
export function writeRollout(connection: Connection, rollout: Rollout): void {
  connection
    .statement('UPDATE fleet_rollout SET state = ?, body = ?, revision = revision + 1 WHERE id = ?')
    .run(rollout.state, encodeRollout(rollout), rollout.id);
}

/** Part of a commit. */
export function writeMember(
  connection: Connection,
  rolloutId: string,
  deviceId: number,
  member: Member,
): void {
  connection
    .statement(
      `INSERT OR REPLACE INTO fleet_member (rollout, device, wave, state, since, heard_at, interval_s, attempt, not_before,
         good, shown, code, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      rolloutId,
      deviceId,
      member.wave,
      member.state,
      member.since,
      member.heardAt,
      member.intervalS,
      member.attempt,
      member.notBefore,
      JSON.stringify(member.good),
      JSON.stringify(member.shown),
      member.code ?? null,
      member.reason ?? null,
    );
}
