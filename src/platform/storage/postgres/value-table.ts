/** Alias values in PostgreSQL: `current` is what reads return, `history` is everything that was written. */
import { MAX_ALIASES_PER_DEVICE, MAX_VALUES_BYTES_PER_DEVICE } from '../../bounds.ts';
import { hashKey } from '../device-rows.ts';
import { COMMAND_ALIAS, isWatched, usesBefore } from '../fleet-steps.ts';
import type { FleetStorage } from '../fleet-storage.ts';
import type { WriteListener } from '../storage.ts';
import type {
  AliasValue,
  CheckIn,
  CheckInResult,
  NewValues,
  RecordPoint,
  ValueStorage,
  Writer,
} from '../value-storage.ts';
import { type Connection, NOW, type Query, type Row, TakenBack } from './connection.ts';
import { DEVICE_COLUMNS, keepKey, toDevice } from './device-table.ts';
import type { FleetHooks } from './fleet-hooks.ts';
import { addHistory, type NewValue, readHistory, takenPoints } from './history-table.ts';

interface Context {
  connection: Connection;
  windowSeconds: number;
  see(row: Row): void;
  /** These aliases of a device have more history now. */
  grown(deviceId: number, aliases: readonly string[]): void;
  tell: WriteListener;
  fleet: FleetHooks;
}

/** Operators' writes are sent to all replicas: one notice for each transaction. */
export const WRITE_CHANNEL = 'gwe_write';

export function createValueTable(context: Context): ValueStorage & Pick<FleetStorage, 'decideCommand'> {
  const { connection } = context;
  const { query, transaction } = connection;
  const written = (deviceId: number, aliases: readonly string[]): void => {
    context.grown(deviceId, aliases);
    context.tell([deviceId]);
  };
  return {
    checkIn: (call) => checkIn(context, call, written),
    async write(deviceId, values, writer) {
      const result = await transaction<'done' | 'too-much'>(async (tx) => {
        const stamp = await stampDevice(tx, 'id', deviceId, values.length);
        const stored = await writeValues(tx, stamp, values, hooksOf(context, writer));
        if (stored === 'done' && writer === 'operator')
          await tx('SELECT pg_notify($1, $2)', WRITE_CHANNEL, String(deviceId));
        return stored;
      });
      if (result === 'done') written(deviceId, namesOf(values));
      return result;
    },
    async record(deviceId, points) {
      const result = await transaction<RecordPoint[] | 'too-much'>((tx) =>
        recordPoints(tx, deviceId, points),
      );
      if (result !== 'too-much' && result.length < points.length)
        written(
          deviceId,
          points.map(({ alias }) => alias),
        );
      return result;
    },
    read: (deviceId, aliases) => readAll(query, deviceId, aliases),
    show: (deviceId, values) => show(connection, deviceId, values),
    async decideCommand(deviceId) {
      const sql = `SELECT ${context.fleet.isDueSql} AS is_due FROM device WHERE id = $1`;
      const [row] = await query(sql, deviceId);
      if (row?.is_due === true) await transaction((tx) => decideCommand(context, tx, deviceId));
    },
    aliases: async (deviceId) =>
      (await query('SELECT alias FROM current WHERE device = $1 ORDER BY alias', deviceId)).map((row) =>
        String(row.alias),
      ),
    history: (deviceId, alias, limit) => readHistory(query, deviceId, alias, limit),
  };
}

function namesOf(values: NewValues): string[] {
  return values.map(([alias]) => alias);
}

/** A check-in with nothing to do, as nearly all are, is one statement that writes nothing. */
async function checkIn(
  context: Context,
  { cik, writes, reads, address }: CheckIn,
  written: (deviceId: number, aliases: readonly string[]) => void,
): Promise<CheckInResult> {
  const { connection, windowSeconds } = context;
  const key = hashKey(cik);
  if (writes.length === 0) {
    const rows = await connection.query(
      `SELECT ${DEVICE_COLUMNS}, ${context.fleet.isDueSql} AS is_due, c.alias, c.value, c.timestamp, c.modified_at AS value_modified_at,
         c.sequence AS value_sequence, c.shown_sequence
       FROM device LEFT JOIN current AS c ON c.device = device.id AND c.alias = ANY($2::text[])
       WHERE key_hash = $1`,
      key,
      reads,
    );
    const [row] = rows;
    if (row === undefined) return { kind: 'unknown' };
    context.see(row);
    await keepKey(connection.query, row);
    const device = toDevice(row, windowSeconds);
    if (row.is_due === true && reads.includes(COMMAND_ALIAS)) {
      const values = await connection.transaction(async (tx) => {
        await decideCommand(context, tx, device.id);
        return showAll(tx, device.id, reads);
      });
      return { kind: 'done', device, values };
    }
    const values = inOrder(
      reads,
      rows
        .filter(({ alias }) => alias !== null)
        .map((each) =>
          toAliasValue({ ...each, modified_at: each.value_modified_at, sequence: each.value_sequence }),
        ),
    );
    await show(connection, device.id, values);
    return { kind: 'done', device, values };
  }
  const result = await connection.transaction<CheckInResult>(async (tx) => {
    const stamp = await stampDevice(tx, 'key_hash', key, writes.length);
    if (stamp === undefined) return { kind: 'unknown' };
    context.see(stamp.row);
    await keepKey(tx, stamp.row);
    if ((await writeValues(tx, stamp, writes, hooksOf(context, 'device', address))) !== 'done')
      return new TakenBack<CheckInResult>({ kind: 'too-much' });
    if (reads.includes(COMMAND_ALIAS)) await decideCommand(context, tx, stamp.id);
    const values = await showAll(tx, stamp.id, reads);
    return { kind: 'done', device: toDevice(stamp.row, windowSeconds), values };
  });
  if (result.kind === 'done') written(result.device.id, namesOf(writes));
  return result;
}

/** Who learns of a writer's values, and from which address they came: for an operator's values, nobody. */
type Told = { readonly fleet: FleetHooks; readonly address: string | undefined } | undefined;

function hooksOf({ fleet }: Context, writer: Writer, address?: string): Told {
  return writer === 'device' ? { fleet, address } : undefined;
}

/** Part of a transaction: values that are read count as shown to the device from then on. */
async function showAll(query: Query, deviceId: number, reads: readonly string[]): Promise<AliasValue[]> {
  const values = await readAll(query, deviceId, reads);
  await markShown(query, deviceId, values);
  return values;
}

/** Part of a transaction: puts a rollout's command where the device is about to read it, or takes one back. */
async function decideCommand({ fleet }: Context, query: Query, deviceId: number): Promise<void> {
  const sql = `SELECT ${NOW} AS now, ${fleet.isDueSql} AS is_due FROM device WHERE id = $1 FOR NO KEY UPDATE`;
  const [row] = await query(sql, deviceId);
  if (row?.is_due !== true) return;
  const [before] = await readAll(query, deviceId, [COMMAND_ALIAS]);
  const text = await fleet.decide(query, deviceId, before?.value ?? '', Number(row.now));
  if (text === undefined) return;
  const stamp = await stampDevice(query, 'id', deviceId, 1);
  await writeValues(query, stamp, [[COMMAND_ALIAS, text]], undefined);
}

interface Stamp {
  id: number;
  now: number;
  modifiedAt: number;
  firstSequence: number;
  /** The device's row, with DEVICE_COLUMNS. */
  row: Row;
}

/**
 * Reserves `count` sequence numbers and advances `modified_at`: never back, and past what readers have seen. The
 * device stays locked until the end of the transaction, so that what is read after it is current. `undefined` if
 * there is no such device.
 */
async function stampDevice(
  query: Query,
  column: 'id' | 'key_hash',
  value: number | string,
  count: number,
): Promise<Stamp | undefined> {
  const [row] = await query(
    `UPDATE device SET sequence = sequence + $2, modified_at = greatest(modified_at, ${NOW}, shown_at + 1),
       last_write_at = ${NOW} WHERE ${column} = $1 RETURNING ${DEVICE_COLUMNS}`,
    value,
    count,
  );
  if (row === undefined) return undefined;
  return {
    id: Number(row.id),
    now: Number(row.now),
    modifiedAt: Number(row.modified_at),
    firstSequence: Number(row.sequence) - count + 1,
    row,
  };
}

async function writeValues(
  query: Query,
  stamp: Stamp | undefined,
  values: NewValues,
  told: Told,
): Promise<'done' | TakenBack<'too-much'>> {
  const writer: Writer = told === undefined ? 'operator' : 'device';
  if (stamp === undefined) throw new Error('a write to a device that is not in its table');
  const left = writer === 'device' ? await newerThanShown(query, stamp.id, values) : new Set<number>();
  const fresh = values.flatMap(([alias, value], index): NewValue[] =>
    left.has(index)
      ? []
      : [{ alias, value, timestamp: stamp.now, writer, sequence: stamp.firstSequence + index }],
  );
  const watched = told === undefined ? [] : fresh.filter(({ alias }) => isWatched(alias));
  const before = await textsBefore(query, stamp.id, watched);
  await setCurrent(query, stamp, fresh);
  await addHistory(query, stamp, fresh);
  await told?.fleet.written(
    query,
    stamp.id,
    watched.map(({ alias, value, sequence }) => {
      const written = {
        alias,
        value,
        before: before.get(alias) ?? '',
        at: stamp.now,
        sequence,
        address: told?.address,
      };
      before.set(alias, value);
      return written;
    }),
  );
  return (await isWithinShare(query, stamp.id)) ? 'done' : new TakenBack('too-much');
}

/** The values before the write, by alias, for those aliases for which they matter. */
async function textsBefore(
  query: Query,
  deviceId: number,
  watched: readonly NewValue[],
): Promise<Map<string, string>> {
  const aliases = watched.map(({ alias }) => alias).filter(usesBefore);
  return new Map((await readAll(query, deviceId, aliases)).map(({ alias, value }) => [alias, value]));
}

/**
 * The indexes of empty texts that are to be left out: the device means an older value than the operator's that is
 * there now.
 */
async function newerThanShown(query: Query, deviceId: number, values: NewValues): Promise<Set<number>> {
  const emptied = values.filter(([, value]) => value === '').map(([alias]) => alias);
  if (emptied.length === 0) return new Set();
  const rows = await query(
    `SELECT alias FROM current WHERE device = $1 AND alias = ANY($2::text[]) AND writer = 'operator'
       AND length(value) > 0 AND shown_sequence > 0 AND shown_sequence < sequence`,
    deviceId,
    emptied,
  );
  const kept = new Set(rows.map((row) => String(row.alias)));
  const left = new Set<number>();
  for (const [index, [alias, value]] of values.entries()) {
    if (value === '' && kept.has(alias)) left.add(index);
    // From here on, the current value is the device's own.
    else kept.delete(alias);
  }
  return left;
}

/** Where one alias has several new values, the last becomes the current one. */
async function setCurrent(
  query: Query,
  { id, modifiedAt }: Stamp,
  fresh: readonly NewValue[],
): Promise<void> {
  const last = [...new Map(fresh.map((one) => [one.alias, one])).values()];
  if (last.length === 0) return;
  await query(
    `INSERT INTO current (device, alias, value, timestamp, modified_at, sequence, writer)
     SELECT $1, alias, value, timestamp, $2, sequence, writer
     FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::text[])
       AS new (alias, value, timestamp, sequence, writer)
     ON CONFLICT (device, alias) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,
       modified_at = excluded.modified_at, sequence = excluded.sequence, writer = excluded.writer`,
    id,
    modifiedAt,
    last.map(({ alias }) => alias),
    last.map(({ value }) => Buffer.from(value)),
    last.map(({ timestamp }) => timestamp),
    last.map(({ sequence }) => sequence),
    last.map(({ writer }) => writer),
  );
}

/** False if the device would have more than its share: then the write is undone. */
async function isWithinShare(query: Query, deviceId: number): Promise<boolean> {
  const [row] = await query(
    'SELECT count(*) AS count, coalesce(sum(length(value)), 0) AS bytes FROM current WHERE device = $1',
    deviceId,
  );
  return Number(row?.count) <= MAX_ALIASES_PER_DEVICE && Number(row?.bytes) <= MAX_VALUES_BYTES_PER_DEVICE;
}

async function show(connection: Connection, deviceId: number, values: readonly AliasValue[]): Promise<void> {
  if (values.every(({ isShown }) => isShown)) return;
  await connection.transaction((tx) => markShown(tx, deviceId, values));
}

/**
 * Part of a transaction. The device is locked first, as everywhere: PostgreSQL would end one of two transactions that
 * wait for each other.
 */
export async function markShown(
  query: Query,
  deviceId: number,
  values: readonly AliasValue[],
): Promise<void> {
  const fresh = values.filter(({ isShown }) => !isShown);
  if (fresh.length === 0) return;
  await query(
    'UPDATE device SET shown_at = greatest(shown_at, $2) WHERE id = $1',
    deviceId,
    Math.max(...fresh.map(({ modifiedAt }) => modifiedAt)),
  );
  await query(
    `UPDATE current SET shown_sequence = greatest(shown_sequence, shown.sequence)
     FROM unnest($2::text[], $3::bigint[]) AS shown (alias, sequence)
     WHERE device = $1 AND current.alias = shown.alias`,
    deviceId,
    fresh.map(({ alias }) => alias),
    fresh.map(({ sequence }) => sequence),
  );
}

/** A recorded point becomes the current value only if it is newer than that. */
async function recordPoints(
  query: Query,
  deviceId: number,
  points: readonly RecordPoint[],
): Promise<RecordPoint[] | TakenBack<RecordPoint[] | 'too-much'>> {
  const stamp = await stampDevice(query, 'id', deviceId, points.length);
  if (stamp === undefined) throw new Error('a record of a device that is not in its table');
  const taken = await takenPoints(query, deviceId, points);
  const clashes: RecordPoint[] = [];
  const fresh: NewValue[] = [];
  for (const [index, point] of points.entries()) {
    const key = `${point.timestamp} ${point.alias}`;
    if (taken.has(key)) clashes.push(point);
    else fresh.push({ ...point, writer: 'device', sequence: stamp.firstSequence + index });
    taken.add(key);
  }
  const current = await readAll(query, deviceId, [...new Set(fresh.map(({ alias }) => alias))]);
  const newest = new Map(current.map(({ alias, timestamp }) => [alias, timestamp]));
  const newer = fresh.filter(({ alias, timestamp }) => {
    if (timestamp <= (newest.get(alias) ?? -1)) return false;
    newest.set(alias, timestamp);
    return true;
  });
  await setCurrent(query, stamp, newer);
  await addHistory(query, stamp, fresh);
  return (await isWithinShare(query, deviceId)) ? clashes : new TakenBack('too-much');
}

async function readAll(query: Query, deviceId: number, aliases: readonly string[]): Promise<AliasValue[]> {
  if (aliases.length === 0) return [];
  const rows = await query(
    'SELECT * FROM current WHERE device = $1 AND alias = ANY($2::text[])',
    deviceId,
    aliases,
  );
  return inOrder(aliases, rows.map(toAliasValue));
}

function inOrder(aliases: readonly string[], values: readonly AliasValue[]): AliasValue[] {
  const found = new Map(values.map((value) => [value.alias, value]));
  return aliases.flatMap((alias) => found.get(alias) ?? []);
}

function toAliasValue(row: Row): AliasValue {
  const sequence = Number(row.sequence);
  return {
    alias: String(row.alias),
    value: row.value instanceof Uint8Array ? Buffer.from(row.value).toString('utf8') : '',
    timestamp: Number(row.timestamp),
    modifiedAt: Number(row.modified_at),
    sequence,
    isShown: Number(row.shown_sequence) >= sequence,
  };
}
