/** Rollouts in SQLite. */
import type { AuditFacts } from '../../../fleet/people/audit.ts';
import { newMember } from '../../../fleet/rollout/follow.ts';
import { reopen } from '../../../fleet/rollout/operate.ts';
import { retryMember } from '../../../fleet/rollout/report.ts';
import { noCounts, type Rollout } from '../../../fleet/rollout/rollout.ts';
import { tickRollout } from '../../../fleet/rollout/tick.ts';
import {
  DEFAULT_INTERVAL_S,
  decodeKnowledge,
  decodeRollout,
  encodeRollout,
  toStoredRollout,
} from '../fleet-rows.ts';
import { toMember } from '../fleet-steps.ts';
import type { Change, FleetStorage, RolloutChanged, StoredRollout } from '../fleet-storage.ts';
import { createMemberPass } from '../member-pass.ts';
import { toPage } from '../page.ts';
import type { WriteListener } from '../storage.ts';
import type { Connection } from './connection.ts';
import { createDueMembers } from './due-members.ts';
import { auditRule, changePair, pairsInState, writeMember, writeRollout } from './fleet-members.ts';
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
  nowSeconds(): number;
  tell: WriteListener;
}

export function createRolloutTable(context: Context): RolloutTable {
  const { connection, tell } = context;
  const passMembers = createMemberPass(createDueMembers(connection));
  return {
    async createRollout(stored, waves, audit) {
      await connection.commit(() => {
        createRollout(context, stored, waves);
        addAudit(connection, audit);
      });
      tell(undefined);
    },
    findRollout: async (product, id) => findRollout(connection, product, id),
    listRollouts: async (product, limit) =>
      connection
        .statement('SELECT * FROM fleet_rollout WHERE product = ? ORDER BY number DESC LIMIT ?')
        .all(product, limit)
        .map(toStoredRollout),
    async changeRollout(which, change, audit) {
      const result = await connection.commit(() => changeRollout(connection, which, change, audit));
      // Those that wait for a command may be shown one now.
      tell(undefined);
      return result;
    },
    async retryRollout(product, id, audit) {
      const result = await connection.commit(() => retryRollout(connection, { product, id }, audit));
      tell(undefined);
      return result;
    },
    listMembers: async (id, { after = '', limit }) => {
      const sql = `SELECT fleet_member.*, device.serial FROM fleet_member JOIN device ON device.id = fleet_member.device
        WHERE rollout = ? AND device.serial > ? ORDER BY device.serial LIMIT ?`;
      const rows = connection.statement(sql).all(id, after, limit + 1);
      return toPage(rows.map(toMember), limit, ({ serial }) => serial);
    },
    async tickRollouts() {
      await passMembers(context.nowSeconds());
      await tickRollouts(context);
    },
  };
}

function findRollout(connection: Connection, product: string, id: string): StoredRollout | undefined {
  const sql = 'SELECT * FROM fleet_rollout WHERE product = ? AND id = ?';
  const row = connection.statement(sql).get(product, id);
  return row === undefined ? undefined : toStoredRollout(row);
}

function createRollout(
  { connection, nowSeconds }: Context,
  { product, name, rollout }: Omit<StoredRollout, 'revision'>,
  waves: readonly (readonly string[])[],
): void {
  const now = nowSeconds();
  const sql =
    'INSERT INTO fleet_rollout (id, product, name, state, revision, body) VALUES (?, ?, ?, ?, 1, ?)';
  connection.statement(sql).run(rollout.id, product, name, rollout.state, encodeRollout(rollout));
  const find = connection.statement('SELECT id FROM device WHERE product = ? AND serial = ?');
  const counted = waves.map((serials, wave) => {
    let waiting = 0;
    for (const serial of serials) {
      const row = find.get(product, serial);
      if (row === undefined) continue;
      waiting += 1;
      const deviceId = Number(row.id);
      const member = newMember(serial, { wave, at: now, intervalS: intervalOf(connection, deviceId) });
      writeMember(connection, rollout.id, deviceId, member);
    }
    return { openedAt: 0, lastTakenAt: 0, counts: { ...noCounts(), waiting } };
  });
  const opened = counted.map((wave, index) => ({ ...wave, openedAt: rollout.waves[index]?.openedAt ?? 0 }));
  writeRollout(connection, { ...rollout, waves: opened });
}

function intervalOf(connection: Connection, deviceId: number): number {
  const row = connection.statement('SELECT knowledge FROM fleet_gateway WHERE device = ?').get(deviceId);
  return decodeKnowledge(row?.knowledge).intervalS ?? DEFAULT_INTERVAL_S;
}

type Which = Parameters<FleetStorage['changeRollout']>[0];

function changeRollout(
  connection: Connection,
  which: Which,
  change: Change,
  audit: AuditFacts,
): RolloutChanged {
  const { product, id, revision } = which;
  const stored = findRollout(connection, product, id);
  if (stored === undefined) return 'unknown';
  if (revision !== undefined && revision !== stored.revision) return 'changed';
  const result = change(stored.rollout);
  if ('refusal' in result) return result;
  if (result.rollout === stored.rollout) return stored;
  writeRollout(connection, result.rollout);
  addAudit(connection, { ...audit, before: stored.rollout.state, after: result.rollout.state });
  return findRollout(connection, product, id) ?? 'unknown';
}

function retryRollout(connection: Connection, which: Which, audit: AuditFacts): RolloutChanged {
  const reopened = changeRollout(
    connection,
    which,
    (rollout) => reopen(rollout, { by: audit.actor, at: audit.at }),
    audit,
  );
  if (typeof reopened === 'string' || 'refusal' in reopened) return reopened;
  for (const pair of pairsInState(connection, which.id, 'failed'))
    changePair(connection, pair, (now) => retryMember(now, audit.at, audit.at));
  return findRollout(connection, which.product, which.id) ?? 'unknown';
}

/** What happens to rollouts by the passing of time; their members have a pass of their own. */
async function tickRollouts({ connection, nowSeconds, tell }: Context): Promise<void> {
  const rows = connection
    .statement("SELECT id FROM fleet_rollout WHERE state IN ('preparing', 'running', 'soaking')")
    .all();
  for (const { id } of rows) {
    const isMoved = await connection.commit(() => {
      const row = connection.statement('SELECT body FROM fleet_rollout WHERE id = ?').get(String(id));
      if (row === undefined) return false;
      const before: Rollout = decodeRollout(row.body);
      const after = tickRollout(before, nowSeconds());
      if (after !== before) {
        writeRollout(connection, after);
        auditRule(connection, before, after);
      }
      return after !== before;
    });
    if (isMoved) tell(undefined);
  }
}
