/**
 * Work beside the requests: notes when devices were seen, and cuts history to its bounds. What fails is tried again
 * the next time.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import {
  HISTORY_AGE_EVERY_MS,
  HISTORY_TRIM_MS,
  OBJECTS_EVERY_MS,
  SEEN_EVERY_S,
  SEEN_FLUSH_MS,
  UNKNOWN_OBJECTS_EVERY_MS,
} from '../../bounds.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { type Connection, NOW, type Row } from './connection.ts';
import { dropOldHistory, trimHistory } from './history-table.ts';
import { type Job, keepDoing } from './lease-table.ts';
import { collectObjects, noteUnknownObjects } from './object-table.ts';

interface Maintenance {
  /** Notes that the device of this row, which has DEVICE_COLUMNS, is seen now. */
  see(row: Row): void;
  /** These aliases of a device have more history now. */
  grown(deviceId: number, aliases: readonly string[]): void;
  close(): Promise<void>;
}

interface Context {
  connection: Connection;
  clock: Pick<Clock, 'sleep' | 'wallMs'>;
  objects: ObjectStore;
  /** How long history is kept; `undefined` for ever. */
  keepHistorySeconds: number | undefined;
}

const [MOST_SEEN, MOST_ROWS] = [5000, 1000];

export function createMaintenance({ connection, clock, objects, keepHistorySeconds }: Context): Maintenance {
  const seen = new Set<number>();
  const grown = new Map<number, Set<string>>();
  const closing = new AbortController();
  const seeing = createLater(clock, SEEN_FLUSH_MS, closing.signal, () => writeSeen(connection, seen));
  const trimming = createLater(clock, HISTORY_TRIM_MS, closing.signal, () =>
    trimGrown(connection, grown, closing.signal),
  );
  const jobs = jobsOf({ connection, clock, objects, keepHistorySeconds }, closing.signal);
  const holder = randomUUID();
  const working = jobs.map((job) => keepDoing({ connection, clock, holder }, job, closing.signal));
  return {
    see(row) {
      const seenForS = Number(row.now) - Number(row.last_seen_at);
      if (seenForS >= 0 && seenForS < SEEN_EVERY_S) return;
      seen.add(Number(row.id));
      seeing.start();
    },
    grown(deviceId, aliases) {
      const known = grown.get(deviceId) ?? new Set<string>();
      for (const alias of aliases) known.add(alias);
      grown.set(deviceId, known);
      trimming.start();
    },
    async close() {
      closing.abort();
      await Promise.all([seeing.end(), trimming.end(), ...working]);
      await writeSeen(connection, seen).catch(() => undefined);
    },
  };
}

interface Later {
  start(): void;
  end(): Promise<void>;
}

/** Runs `work` once, some time after it was asked for, however often it was. */
function createLater(
  clock: Pick<Clock, 'sleep'>,
  afterMs: number,
  signal: AbortSignal,
  work: () => Promise<void>,
): Later {
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    await clock.sleep(afterMs, signal);
    running = undefined;
    if (!signal.aborted) await work().catch(() => undefined);
  };
  return {
    start() {
      running ??= run();
    },
    async end() {
      await running;
    },
  };
}

/** In the order of their numbers: PostgreSQL would end one of two replicas that wait for each other. */
async function writeSeen(connection: Connection, seen: Set<number>): Promise<void> {
  for (const ids = [...seen]; ids.length > 0; ) {
    const part = ids.splice(0, MOST_SEEN);
    await connection.query(
      `WITH locked AS (SELECT id FROM device WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE)
       UPDATE device SET last_seen_at = ${NOW} FROM locked WHERE device.id = locked.id`,
      part,
    );
    for (const id of part) seen.delete(id);
  }
}

async function trimGrown(
  connection: Connection,
  grown: Map<number, Set<string>>,
  signal: AbortSignal,
): Promise<void> {
  for (const [id, aliases] of [...grown]) {
    if (signal.aborted) return;
    grown.delete(id);
    await trimHistory(connection.query, id, [...aliases]);
  }
}

/** Jobs that one replica does for all. */
function jobsOf(
  { connection: { query }, clock, objects, keepHistorySeconds }: Context,
  signal: AbortSignal,
): Job[] {
  const aging = async (ageSeconds: number): Promise<void> => {
    let dropped = MOST_ROWS;
    while (dropped === MOST_ROWS && !signal.aborted)
      dropped = await dropOldHistory(query, ageSeconds, MOST_ROWS);
  };
  return [
    {
      name: 'unused objects',
      everyMs: OBJECTS_EVERY_MS,
      work: async () => {
        await collectObjects(query, objects);
      },
    },
    {
      name: 'unknown objects',
      everyMs: UNKNOWN_OBJECTS_EVERY_MS,
      work: () => noteUnknownObjects(query, objects, Math.floor(clock.wallMs() / 1000)),
    },
    ...(keepHistorySeconds === undefined
      ? []
      : [{ name: 'old history', everyMs: HISTORY_AGE_EVERY_MS, work: () => aging(keepHistorySeconds) }]),
  ];
}
