/** Rollouts in PostgreSQL. Every step holds the rollout's row, so that several processes may do it at once. */
import type { AuditFacts } from '../../../fleet/people/audit.ts';
import { AGENT_OLD } from '../../../fleet/rollout/agent-knows.ts';
import { reopen } from '../../../fleet/rollout/operate.ts';
import { noteHeard, retryMember } from '../../../fleet/rollout/report.ts';
import { noCounts } from '../../../fleet/rollout/rollout.ts';
import { LONGEST_UPDATE_S, tickMember, tickRollout } from '../../../fleet/rollout/tick.ts';
import { DEFAULT_INTERVAL_S, decodeRollout, encodeRollout, toStoredRollout } from '../fleet-rows.ts';
import { toMember, toPair } from '../fleet-steps.ts';
import type { Change, FleetStorage, RolloutChanged, StoredRollout } from '../fleet-storage.ts';
import { toPage } from '../page.ts';
import { type Connection, NOW, type Query } from './connection.ts';
import { MEMBER_SQL, pairsInState, writeChange, writeRollout, writeRolloutChange } from './fleet-members.ts';
import { addAudit } from './people-table.ts';

type RolloutTable = Pick<
  FleetStorage,
  | 'createRollout'
  | 'findRollout'
  | 'listRollouts'
  | 'changeRollout'
  | 'retryRollout'
  | 'listMembers'
  | 'tickRollouts'
>;

interface Context {
  connection: Connection;
  /**
   * Part of a transaction: wakes the long polls of all processes, since any of them may be shown a command after it.
   */
  tellAll(query: Query): Promise<void>;
}

export function createRolloutTable(context: Context): RolloutTable {
  const { connection, tellAll } = context;
  const { query, transaction } = connection;
  let lookedAt = 0;
  return {
    createRollout: (stored, waves, audit) =>
      transaction(async (tx) => {
        await createRollout(tx, stored, waves);
        await addAudit(tx, audit);
        await tellAll(tx);
      }),
    findRollout: (product, id) => findRollout(query, product, id, ''),
    listRollouts: async (product, limit) => {
      const sql = 'SELECT * FROM fleet_rollout WHERE product = $1 ORDER BY number DESC LIMIT $2';
      return (await query(sql, product, limit)).map(toStoredRollout);
    },
    changeRollout: (which, change, audit) =>
      transaction(async (tx) => {
        const result = await changeRollout(tx, which, change, audit);
        await tellAll(tx);
        return result;
      }),
    retryRollout: (product, id, audit) =>
      transaction(async (tx) => {
        const result = await retryRollout(tx, { product, id }, audit);
        await tellAll(tx);
        return result;
      }),
    listMembers: async (id, { after = '', limit }) => {
      const sql = `${MEMBER_SQL} WHERE rollout = $1 AND device.serial > $2 ORDER BY device.serial LIMIT $3`;
      return toPage((await query(sql, id, after, limit + 1)).map(toMember), limit, ({ serial }) => serial);
    },
    async tickRollouts() {
      const [row] = await query(`SELECT ${NOW} AS now`);
      const now = Number(row?.now);
      const isMembersTurn = Math.abs(now - lookedAt) >= MEMBERS_EVERY_S;
      if (isMembersTurn) lookedAt = now;
      await tickRollouts(context, now, isMembersTurn);
    },
  };
}

/** `lock`: the SQL clause by which the row is locked. */
async function findRollout(
  query: Query,
  product: string,
  id: string,
  lock: '' | 'FOR UPDATE',
): Promise<StoredRollout | undefined> {
  const [row] = await query(
    `SELECT * FROM fleet_rollout WHERE product = $1 AND id = $2 ${lock}`,
    product,
    id,
  );
  return row === undefined ? undefined : toStoredRollout(row);
}

async function createRollout(
  query: Query,
  { product, name, rollout }: Omit<StoredRollout, 'revision'>,
  waves: readonly (readonly string[])[],
): Promise<void> {
  await query(
    'INSERT INTO fleet_rollout (id, product, name, state, revision, body) VALUES ($1, $2, $3, $4, 0, $5)',
    ...[rollout.id, product, name, rollout.state, encodeRollout(rollout)],
  );
  const serials = waves.flat();
  const added = await query(
    `WITH added AS (
       INSERT INTO fleet_member (rollout, device, wave, state, since, heard_at, interval_s, attempt, not_before, good, shown)
       SELECT $1, device.id, new.wave, 'waiting', ${NOW}, ${NOW},
         coalesce((knowledge::json->>'intervalS')::bigint, ${DEFAULT_INTERVAL_S}), 1, 0, '[]', '[]'
       FROM unnest($3::text[], $4::integer[]) AS new (serial, wave)
       JOIN device ON device.product = $2 AND device.serial = new.serial
       LEFT JOIN fleet_gateway ON fleet_gateway.device = device.id RETURNING wave)
     SELECT wave, count(*) AS waiting FROM added GROUP BY wave`,
    rollout.id,
    product,
    serials,
    waves.flatMap((each, wave) => each.map(() => wave)),
  );
  const waiting = new Map(added.map((row) => [Number(row.wave), Number(row.waiting)]));
  const counted = waves.map((_, wave) => ({
    openedAt: rollout.waves[wave]?.openedAt ?? 0,
    lastTakenAt: 0,
    counts: { ...noCounts(), waiting: waiting.get(wave) ?? 0 },
  }));
  await writeRollout(query, { ...rollout, waves: counted });
}

type Which = Parameters<FleetStorage['changeRollout']>[0];

async function changeRollout(
  query: Query,
  which: Which,
  change: Change,
  audit: AuditFacts,
): Promise<RolloutChanged> {
  const { product, id, revision } = which;
  const stored = await findRollout(query, product, id, 'FOR UPDATE');
  if (stored === undefined) return 'unknown';
  if (revision !== undefined && revision !== stored.revision) return 'changed';
  const result = change(stored.rollout);
  if ('refusal' in result) return result;
  if (result.rollout === stored.rollout) return stored;
  await writeRollout(query, result.rollout);
  await addAudit(query, { ...audit, before: stored.rollout.state, after: result.rollout.state });
  return (await findRollout(query, product, id, '')) ?? 'unknown';
}

async function retryRollout(query: Query, which: Which, audit: AuditFacts): Promise<RolloutChanged> {
  const change: Change = (rollout) => reopen(rollout, { by: audit.actor, at: audit.at });
  const reopened = await changeRollout(query, which, change, audit);
  if (typeof reopened === 'string' || 'refusal' in reopened) return reopened;
  let { rollout } = reopened;
  for (const pair of await pairsInState(query, which.id, 'failed')) {
    const next = retryMember({ rollout, member: pair.member }, audit.at, audit.at);
    await writeChange(query, { ...pair, rollout }, next);
    rollout = next.rollout;
  }
  return (await findRollout(query, which.product, which.id, '')) ?? 'unknown';
}

const OPEN = "('running', 'soaking', 'paused', 'held', 'aborted')";
const DUE_STATES = "('waiting', 'offered', 'taken', 'working', 'deferred', 'installed')";
/** How often members are checked: their deadlines are minutes at least. */
const MEMBERS_EVERY_S = 60;
/** How many members are changed in one transaction. */
const MOST_TOGETHER = 200;

async function tickRollouts(
  { connection, tellAll }: Context,
  now: number,
  isMembersTurn: boolean,
): Promise<void> {
  const rows = await connection.query(
    `SELECT id FROM fleet_rollout WHERE state IN ('preparing', 'running', 'soaking') OR (state IN ${OPEN} AND EXISTS (
       SELECT 1 FROM fleet_member WHERE rollout = fleet_rollout.id AND state IN ${DUE_STATES}))`,
  );
  for (const { id } of rows) {
    if (isMembersTurn) await tickMembers(connection, String(id), now);
    await connection.transaction(async (tx) => {
      // If another process is at it, it need not be done here.
      const [row] = await tx('SELECT body FROM fleet_rollout WHERE id = $1 FOR UPDATE SKIP LOCKED', id);
      if (row === undefined) return;
      const before = decodeRollout(row.body);
      const after = tickRollout(before, now);
      if (after === before) return;
      await writeRolloutChange(tx, before, after);
      await tellAll(tx);
    });
  }
}

/** Members whose deadline may be over; `tickMember` decides. No other rows are read. */
const MAYBE_DUE = `CASE
  WHEN fleet_member.state IN ('waiting', 'offered') THEN fleet_rollout.state = 'aborted'
    OR fleet_member.code = '${AGENT_OLD}'
    OR greatest(fleet_member.heard_at, device.last_seen_at) + 2 * interval_s < $3
  WHEN fleet_member.state = 'installed' THEN since + 2 * interval_s < $3
  ELSE least(greatest(fleet_member.heard_at, device.last_seen_at) + 2 * interval_s, since + ${LONGEST_UPDATE_S}) < $3 END`;

async function tickMembers({ transaction }: Connection, id: string, now: number): Promise<void> {
  const sql = `${MEMBER_SQL} WHERE fleet_member.rollout = $1 AND fleet_member.device > $2
    AND fleet_member.state IN ${DUE_STATES} AND ${MAYBE_DUE} ORDER BY fleet_member.device LIMIT ${MOST_TOGETHER}`;
  for (let after: number | undefined = 0; after !== undefined; ) {
    const from: number = after;
    after = await transaction(async (tx) => {
      await tx('SELECT id FROM fleet_rollout WHERE id = $1 FOR UPDATE', id);
      const rows = await tx(sql, id, from, now);
      let rollout = rows[0] === undefined ? undefined : decodeRollout(rows[0].body);
      for (const row of rows) {
        const pair = toPair(row);
        const before = { ...pair, rollout: rollout ?? pair.rollout };
        const member = noteHeard(pair.member, Number(row.last_seen_at));
        const ticked = tickMember({ rollout: before.rollout, member }, now);
        if (ticked.member.state === pair.member.state) continue;
        await writeChange(tx, before, ticked);
        rollout = ticked.rollout;
      }
      return rows.length < MOST_TOGETHER ? undefined : Number(rows.at(-1)?.device);
    });
  }
}
