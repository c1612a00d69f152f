/** Members of rollouts in SQLite whose deadline may be over. */
import { AGENT_OLD } from '../../../fleet/rollout/agent-knows.ts';
import { LONGEST_UPDATE_S } from '../../../fleet/rollout/tick.ts';
import { decodeRollout } from '../fleet-rows.ts';
import { toMember } from '../fleet-steps.ts';
import { type MemberTable, type Part, tickTogether } from '../member-pass.ts';
import type { Connection } from './connection.ts';
import { auditRule, writeMember, writeRollout } from './fleet-members.ts';

/** How many members are looked at in one statement, and how many are changed: nothing else is done meanwhile. */
const [MOST_LOOKED_AT, MOST_CHANGED] = [2000, 200];

/** `tickMember` decides: this only leaves out those that cannot be due. ?5: aborted; ?6: open wave; ?7: `reachS`. */
const MAYBE_DUE = `CASE
  WHEN ?2 IN ('waiting', 'offered') THEN ?5 OR part.wave <= ?6 AND
    CASE WHEN part.code = '${AGENT_OLD}' THEN part.not_before
      ELSE max(part.heard_at, device.last_seen_at, part.not_before) END + max(?7, 3 * interval_s) < ?4
  WHEN ?2 = 'installed' THEN since + 2 * interval_s < ?4
  ELSE min(max(part.heard_at, device.last_seen_at) + 2 * interval_s, since + ${LONGEST_UPDATE_S}) < ?4 END`;

const LOOK = `WITH part AS MATERIALIZED (
    SELECT * FROM fleet_member WHERE rollout = ?1 AND state = ?2 AND device > ?3
    ORDER BY device LIMIT ${MOST_LOOKED_AT})
  SELECT part.device, ${MAYBE_DUE} AS is_due FROM part JOIN device ON device.id = part.device ORDER BY part.device`;

export function createDueMembers(connection: Connection): MemberTable {
  return {
    async rollouts() {
      const sql = `SELECT body FROM fleet_rollout WHERE state IN ('running', 'soaking', 'paused', 'held', 'aborted')`;
      return connection
        .statement(sql)
        .all()
        .map(({ body }) => decodeRollout(body));
    },
    look: async (part, now) => look(connection, part, now),
    move: ({ rollout: { id }, state }, due, now) =>
      connection.commit(() => {
        const row = connection.statement('SELECT body FROM fleet_rollout WHERE id = ?').get(id);
        if (row === undefined) return;
        const before = decodeRollout(row.body);
        const { rollout, moved } = tickTogether(before, membersOf(connection, id, state, due), now);
        for (const { deviceId, member } of moved) writeMember(connection, id, deviceId, member);
        if (moved.length > 0) writeRollout(connection, rollout);
        auditRule(connection, before, rollout);
      }),
  };
}

function look(
  connection: Connection,
  { rollout, state, after }: Part,
  now: number,
): { due: readonly number[]; next: number | undefined } {
  const { id, wave, policy } = rollout;
  const isAborted = rollout.state === 'aborted' ? 1 : 0;
  const looked = connection.statement(LOOK).all(id, state, after, now, isAborted, wave, policy.reachS);
  const due = looked.filter(({ is_due }) => is_due === 1).map(({ device }) => Number(device));
  if (due.length > MOST_CHANGED) {
    const first = due.slice(0, MOST_CHANGED);
    return { due: first, next: first.at(-1) };
  }
  return { due, next: looked.length < MOST_LOOKED_AT ? undefined : Number(looked.at(-1)?.device) };
}

interface Found {
  readonly deviceId: number;
  readonly member: ReturnType<typeof toMember>;
  readonly seenAt: number;
}

/** Those that are still in this state. */
function membersOf(connection: Connection, id: string, state: string, due: readonly number[]): Found[] {
  const find = connection.statement(
    `SELECT fleet_member.*, device.serial, device.last_seen_at
     FROM fleet_member JOIN device ON device.id = fleet_member.device
     WHERE rollout = ? AND device = ? AND fleet_member.state = ?`,
  );
  return due.flatMap((deviceId) => {
    const row = find.get(id, deviceId, state);
    return row === undefined ? [] : [{ deviceId, member: toMember(row), seenAt: Number(row.last_seen_at) }];
  });
}
