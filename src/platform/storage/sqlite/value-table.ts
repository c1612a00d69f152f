/** Alias values in SQLite: `current` is what reads return, `history` is everything that was written. */
import { MAX_ALIASES_PER_DEVICE, MAX_VALUES_BYTES_PER_DEVICE } from '../../bounds.ts';
import type { Device } from '../device-storage.ts';
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
import { type Connection, TakenBack } from './connection.ts';
import { keepKey } from './device-table.ts';
import type { DeviceWrite, FleetHooks } from './fleet-hooks.ts';
import { addHistory, blobText, hasPoint, type NewValue, readHistory } from './history-table.ts';
import type { Maintenance } from './maintenance.ts';

interface Context {
  connection: Connection;
  maintenance: Pick<Maintenance, 'grown'>;
  nowSeconds(): number;
  findByKey(cik: string): Device | undefined;
  /** Notes that the device of a row is seen now. */
  see(device: Device): void;
  tell: WriteListener;
  fleet: FleetHooks;
}

export function createValueTable(context: Context): ValueStorage & Pick<FleetStorage, 'decideCommand'> {
  const { connection, maintenance, tell } = context;
  const written = (deviceId: number, aliases: readonly string[]): void => {
    maintenance.grown(deviceId, aliases);
    tell([deviceId]);
  };
  const show = async (deviceId: number, values: readonly AliasValue[]): Promise<void> => {
    if (values.every(({ isShown }) => isShown) || connection.noteShown(deviceId, values)) return;
    await connection.commit(() => markShown(connection, deviceId, values));
  };
  return {
    checkIn: async (call) => checkIn(context, call, written, show),
    write: async (deviceId, values, writer) => {
      const result = await connection.commit(() => writeValues(context, deviceId, values, { writer }));
      if (result === 'done') written(deviceId, namesOf(values));
      return result;
    },
    record: async (deviceId, points) => {
      const result = await connection.commit<RecordPoint[] | 'too-much'>(() =>
        recordPoints(context, deviceId, points),
      );
      if (result !== 'too-much' && result.length < points.length)
        written(
          deviceId,
          points.map(({ alias }) => alias),
        );
      return result;
    },
    read: async (deviceId, aliases) => readAll(connection, deviceId, aliases),
    show,
    decideCommand: async (deviceId) => {
      if (!connection.isFrozen() && context.fleet.isDue(deviceId, ['engine_fetch']))
        await connection.commit(() => decideCommand(context, deviceId));
    },
    aliases: async (deviceId) =>
      connection
        .statement('SELECT alias FROM current WHERE device = ? ORDER BY alias')
        .all(deviceId)
        .map((row) => String(row.alias)),
    history: async (deviceId, alias, limit) => readHistory(connection, deviceId, alias, limit),
  };
}

function namesOf(values: NewValues): string[] {
  return values.map(([alias]) => alias);
}

/** A check-in with nothing to do, as nearly all are, only reads. */
async function checkIn(
  context: Context,
  { cik, writes, reads, address }: CheckIn,
  written: (deviceId: number, aliases: readonly string[]) => void,
  show: (deviceId: number, values: readonly AliasValue[]) => Promise<void>,
): Promise<CheckInResult> {
  const { connection } = context;
  const device = context.findByKey(cik);
  if (device === undefined) return { kind: 'unknown' };
  context.see(device);
  await keepKey(connection, device);
  if (writes.length === 0) {
    if (!connection.isFrozen() && context.fleet.isDue(device.id, reads))
      await connection.commit(() => decideCommand(context, device.id));
    const values = readAll(connection, device.id, reads);
    await show(device.id, values);
    return { kind: 'done', device, values };
  }
  const result = await connection.commit<CheckInResult>(() => {
    // The key may have been revoked meanwhile, by a write that shares this commit.
    if (context.findByKey(cik)?.id !== device.id) return { kind: 'unknown' };
    const stored = writeValues(context, device.id, writes, { writer: 'device', address });
    if (stored !== 'done') return new TakenBack<CheckInResult>({ kind: 'too-much' });
    if (context.fleet.isDue(device.id, reads)) decideCommand(context, device.id);
    const values = readAll(connection, device.id, reads);
    markShown(connection, device.id, values);
    return { kind: 'done', device, values };
  });
  if (result.kind === 'done') written(device.id, namesOf(writes));
  return result;
}

/** Who writes, and from where. */
interface Source {
  writer: Writer;
  address?: string | undefined;
}

/** Part of a commit. */
function writeValues(
  context: Context,
  deviceId: number,
  values: NewValues,
  { writer, address }: Source,
): 'done' | TakenBack<'too-much'> {
  const { connection, nowSeconds } = context;
  const now = nowSeconds();
  const stamp = stampDevice(connection, deviceId, values.length, now);
  const reports: DeviceWrite[] = [];
  for (const [index, [alias, value]] of values.entries()) {
    if (writer === 'device' && value === '' && isNewerThanShown(connection, deviceId, alias)) continue;
    const fresh: NewValue = { alias, value, timestamp: now, writer };
    const sequence = stamp.firstSequence + index;
    const before = context.fleet.usesBefore(alias) ? currentText(connection, deviceId, alias) : '';
    setCurrent(connection, deviceId, fresh, { modifiedAt: stamp.modifiedAt, sequence });
    addHistory(connection, deviceId, fresh, { sequence, now });
    if (isReport(context, writer, alias)) reports.push({ alias, value, before, at: now, sequence, address });
  }
  context.fleet.written(deviceId, reports);
  return isWithinShare(connection, deviceId) ? 'done' : new TakenBack('too-much');
}

/** Part of a commit: puts a rollout's command where the device is about to read it, or takes one back. */
function decideCommand(context: Context, deviceId: number): void {
  const { connection, fleet, nowSeconds } = context;
  const before = currentText(connection, deviceId, 'engine_fetch');
  const text = fleet.decide(deviceId, before, nowSeconds());
  if (text !== undefined) writeValues(context, deviceId, [['engine_fetch', text]], { writer: 'operator' });
}

function isReport({ fleet }: Context, writer: Writer, alias: string): boolean {
  return writer === 'device' && fleet.isWatched(alias);
}

function currentText(connection: Connection, deviceId: number, alias: string): string {
  return readAll(connection, deviceId, [alias])[0]?.value ?? '';
}

/** Whether the device means an older value than the operator's that is there now. */
function isNewerThanShown(connection: Connection, deviceId: number, alias: string): boolean {
  const sql = `SELECT 1 FROM current WHERE device = ? AND alias = ? AND writer = 'operator' AND length(value) > 0
    AND shown_sequence > 0 AND shown_sequence < sequence`;
  return connection.statement(sql).get(deviceId, alias) !== undefined;
}

/** Reserves `count` sequence numbers and advances `modified_at`: never back, and past what readers have seen. */
function stampDevice(
  connection: Connection,
  deviceId: number,
  count: number,
  now: number,
): { modifiedAt: number; firstSequence: number } {
  const row = connection
    .statement(
      `UPDATE device SET sequence = sequence + ?, modified_at = max(modified_at, ?, shown_at + 1), last_write_at = ?
       WHERE id = ? RETURNING sequence, modified_at`,
    )
    .get(count, now, now, deviceId);
  if (row === undefined) throw new Error('a write to a device that is not in its table');
  return { modifiedAt: Number(row.modified_at), firstSequence: Number(row.sequence) - count + 1 };
}

/** False if the device would have more than its share: then the write is undone. */
function isWithinShare(connection: Connection, deviceId: number): boolean {
  const row = connection
    .statement('SELECT count(*) AS count, sum(length(value)) AS bytes FROM current WHERE device = ?')
    .get(deviceId);
  return Number(row?.count) <= MAX_ALIASES_PER_DEVICE && Number(row?.bytes) <= MAX_VALUES_BYTES_PER_DEVICE;
}

function setCurrent(
  connection: Connection,
  deviceId: number,
  fresh: NewValue,
  { modifiedAt, sequence }: { modifiedAt: number; sequence: number },
): void {
  connection
    .statement(
      `INSERT INTO current (device, alias, value, timestamp, modified_at, sequence, writer) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (device, alias) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,
         modified_at = excluded.modified_at, sequence = excluded.sequence, writer = excluded.writer`,
    )
    .run(
      deviceId,
      fresh.alias,
      Buffer.from(fresh.value),
      fresh.timestamp,
      modifiedAt,
      sequence,
      fresh.writer,
    );
}

/** Part of a commit. */
function markShown(connection: Connection, deviceId: number, values: readonly AliasValue[]): void {
  const fresh = values.filter(({ isShown }) => !isShown);
  if (fresh.length === 0) return;
  const mark = connection.statement(
    'UPDATE current SET shown_sequence = max(shown_sequence, ?) WHERE device = ? AND alias = ?',
  );
  for (const { alias, sequence } of fresh) mark.run(sequence, deviceId, alias);
  connection
    .statement('UPDATE device SET shown_at = max(shown_at, ?) WHERE id = ?')
    .run(Math.max(...fresh.map(({ modifiedAt }) => modifiedAt)), deviceId);
}

/** A recorded point becomes the current value only if it is newer than that. */
function recordPoints(
  { connection, nowSeconds }: Context,
  deviceId: number,
  points: readonly RecordPoint[],
): RecordPoint[] | TakenBack<'too-much'> {
  const now = nowSeconds();
  const stamp = stampDevice(connection, deviceId, points.length, now);
  const clashes: RecordPoint[] = [];
  for (const [index, point] of points.entries()) {
    if (hasPoint(connection, deviceId, point)) {
      clashes.push(point);
      continue;
    }
    const fresh: NewValue = { ...point, writer: 'device' };
    const sequence = stamp.firstSequence + index;
    const [current] = readAll(connection, deviceId, [point.alias]);
    if (current === undefined || point.timestamp > current.timestamp) {
      setCurrent(connection, deviceId, fresh, { modifiedAt: stamp.modifiedAt, sequence });
    }
    addHistory(connection, deviceId, fresh, { sequence, now });
  }
  return isWithinShare(connection, deviceId) ? clashes : new TakenBack('too-much');
}

function readAll(connection: Connection, deviceId: number, aliases: readonly string[]): AliasValue[] {
  const find = connection.statement('SELECT * FROM current WHERE device = ? AND alias = ?');
  return aliases.flatMap((alias) => {
    const row = find.get(deviceId, alias);
    return row === undefined ? [] : [toAliasValue(alias, row)];
  });
}

function toAliasValue(alias: string, row: Record<string, unknown>): AliasValue {
  const sequence = Number(row.sequence);
  return {
    alias,
    value: blobText(row.value),
    timestamp: Number(row.timestamp),
    modifiedAt: Number(row.modified_at),
    sequence,
    isShown: Number(row.shown_sequence) >= sequence,
  };
}
