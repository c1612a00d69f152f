/** Members of rollouts in PostgreSQL whose deadline may be over. */
import { AGENT_OLD } from '../../../fleet/rollout/agent-knows.ts';
import { LONGEST_UPDATE_S } from '../../../fleet/rollout/tick.ts';
import { decodeRollout } from '../fleet-rows.ts';
import { toMember } from '../fleet-steps.ts';
import { type MemberTable, MOST_TOGETHER, type Part, tickTogether } from '../member-pass.ts';
import type { Connection, Query } from './connection.ts';
import { writeMembers, writeRolloutChange } from './fleet-members.ts';

/** Any number of a class of locks that nothing else in the database uses: one lock for each rollout. */
const LOCKS = 714_652;

/** How many members are looked at in one statement. */
const MOST_LOOKED_AT = 10_000;

/** `tickMember` decides: this only leaves out those that cannot be due. $5: aborted; $6: open wave; $7: `reachS`. */
const MAYBE_DUE = `CASE
  WHEN $2 IN ('waiting', 'offered') THEN $5::boolean OR part.wave <= $6::integer AND
    CASE WHEN part.code = '${AGENT_OLD}' THEN part.not_before
      ELSE greatest(part.heard_at, device.last_seen_at, part.not_before) END + greatest($7::bigint, 3 * interval_s) < $4
  WHEN $2 = 'installed' THEN since + 2 * interval_s < $4
  ELSE least(greatest(part.heard_at, device.last_seen_at) + 2 * interval_s, since + ${LONGEST_UPDATE_S}) < $4 END`;

/** The limits of `device.id` are known from `part` too, but only so is a part of that table read, not all of it. */
const LOOK = `SELECT * FROM (WITH part AS MATERIALIZED (
    SELECT * FROM fleet_member WHERE rollout = $1 AND state = $2::text AND device > $3
    ORDER BY device LIMIT ${MOST_LOOKED_AT})
  SELECT (SELECT count(*) FROM part) AS looked, (SELECT max(device) FROM part) AS last, ARRAY(
    SELECT device.id FROM part JOIN device ON device.id = part.device
    WHERE device.id > $3 AND device.id <= (SELECT max(device) FROM part) AND ${MAYBE_DUE}
    ORDER BY device.id LIMIT ${MOST_TOGETHER}) AS due) AS found`;

export function createDueMembers({ query, transaction }: Connection): MemberTable {
  return {
    async rollouts() {
      const sql = `SELECT body FROM fleet_rollout WHERE state IN ('running', 'soaking', 'paused', 'held', 'aborted')`;
      return (await query(sql)).map(({ body }) => decodeRollout(body));
    },
    look: (part, now) => look(query, part, now),
    move: ({ rollout: { id }, state }, due, now) =>
      transaction(async (tx) => {
        // If another process is at it, it need not be done here.
        const [lock] = await tx('SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS is_free', LOCKS, id);
        if (lock?.is_free !== true) return;
        const [row] = await tx('SELECT body FROM fleet_rollout WHERE id = $1 FOR UPDATE', id);
        if (row === undefined) return;
        const before = decodeRollout(row.body);
        const rows = await tx(
          `SELECT fleet_member.*, device.serial, device.last_seen_at
           FROM fleet_member JOIN device ON device.id = fleet_member.device
           WHERE rollout = $1 AND device = ANY($2::bigint[]) AND fleet_member.state = $3`,
          ...[id, due, state],
        );
        const members = rows.map((each) => ({
          deviceId: Number(each.device),
          member: toMember(each),
          seenAt: Number(each.last_seen_at),
        }));
        const { rollout, moved } = tickTogether(before, members, now);
        await writeMembers(tx, id, moved);
        await writeRolloutChange(tx, before, rollout);
      }),
  };
}

async function look(
  query: Query,
  { rollout, state, after }: Part,
  now: number,
): Promise<{ due: readonly number[]; next: number | undefined }> {
  const { id, wave, policy } = rollout;
  const isAborted = rollout.state === 'aborted';
  const [row] = await query(LOOK, id, state, after, now, isAborted, wave, policy.reachS);
  const due = Array.isArray(row?.due) ? row.due.map(Number) : [];
  if (due.length === MOST_TOGETHER) return { due, next: due.at(-1) };
  return { due, next: Number(row?.looked) < MOST_LOOKED_AT ? undefined : Number(row?.last) };
}
