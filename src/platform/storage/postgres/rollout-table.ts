/** Rollouts in PostgreSQL. Every step holds the rollout's row, so that several processes may do it at once. */
import type { AuditFacts } from '../../../fleet/people/audit.ts';
import { reopen } from '../../../fleet/rollout/operate.ts';
import { retryMember } from '../../../fleet/rollout/report.ts';
import { noCounts } from '../../../fleet/rollout/rollout.ts';
import { tickRollout } from '../../../fleet/rollout/tick.ts';
import { DEFAULT_INTERVAL_S, decodeRollout, encodeRollout, toStoredRollout } from '../fleet-rows.ts';
import { toMember } from '../fleet-steps.ts';
import type { Change, FleetStorage, RolloutChanged, StoredRollout } from '../fleet-storage.ts';
import { createMemberPass } from '../member-pass.ts';
import { toPage } from '../page.ts';
import { type Connection, NOW, type Query } from './connection.ts';
import { createDueMembers } from './due-members.ts';
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
  const passMembers = createMemberPass(createDueMembers(connection));
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
      await passMembers(now);
      await tickRollouts(context, now);
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

/** What happens to rollouts by the passing of time; their members have a pass of their own. */
async function tickRollouts({ connection, tellAll }: Context, now: number): Promise<void> {
  const rows = await connection.query(
    "SELECT id FROM fleet_rollout WHERE state IN ('preparing', 'running', 'soaking')",
  );
  for (const { id } of rows)
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
