/** Work beside the writes: cuts history to its bounds, a little at a time. */
import type { Clock } from '../../../base/clock.ts';
import { HISTORY_AGE_EVERY_MS, HISTORY_TRIM_MS } from '../../bounds.ts';
import type { Connection } from './connection.ts';
import { dropOldHistory, trimHistory } from './history-table.ts';

export interface Maintenance {
  /** These aliases of a device have more history now. */
  grown(deviceId: number, aliases: Iterable<string>): void;
  close(): Promise<void>;
}

interface Context {
  connection: Connection;
  clock: Pick<Clock, 'sleep'>;
  nowSeconds(): number;
  /** How long history is kept; `undefined` for ever. */
  keepHistorySeconds: number | undefined;
}

/** The most devices, and the most rows of old history, in one commit. */
const [MOST_DEVICES, MOST_ROWS] = [64, 500];

export function createMaintenance(context: Context): Maintenance {
  const { connection, clock } = context;
  const grown = new Map<number, Set<string>>();
  const closing = new AbortController();
  let trimming: Promise<void> | undefined;
  const trim = async (): Promise<void> => {
    await clock.sleep(HISTORY_TRIM_MS, closing.signal);
    trimming = undefined;
    await trimGrown(connection, grown, closing.signal).catch(() => undefined);
  };
  const aging = ageHistory(context, closing.signal);
  return {
    grown(deviceId, aliases) {
      const known = grown.get(deviceId) ?? new Set<string>();
      for (const alias of aliases) known.add(alias);
      grown.set(deviceId, known);
      trimming ??= trim();
    },
    async close() {
      closing.abort();
      await trimming;
      await aging;
    },
  };
}

/** What cannot be trimmed now is trimmed with the next write of its alias. */
async function trimGrown(
  connection: Connection,
  grown: Map<number, Set<string>>,
  signal: AbortSignal,
): Promise<void> {
  while (grown.size > 0 && !signal.aborted) {
    const part = [...grown].slice(0, MOST_DEVICES);
    for (const [id] of part) grown.delete(id);
    await connection.commit(() => {
      for (const [id, aliases] of part) trimHistory(connection, id, aliases);
    });
  }
}

/** Drops old history at the start, and every few hours after it. */
async function ageHistory(context: Context, signal: AbortSignal): Promise<void> {
  const { connection, clock, keepHistorySeconds } = context;
  while (keepHistorySeconds !== undefined && !signal.aborted) {
    const cutoff = context.nowSeconds() - keepHistorySeconds;
    await dropOlder(connection, cutoff, signal).catch(() => undefined);
    await clock.sleep(HISTORY_AGE_EVERY_MS, signal);
  }
}

async function dropOlder(connection: Connection, cutoff: number, signal: AbortSignal): Promise<void> {
  let after: number | undefined = 0;
  while (after !== undefined && !signal.aborted) {
    const from: number = after;
    after = await connection.commit<number | undefined>(() =>
      dropOldHistory(connection, { after: from, cutoff, most: MOST_ROWS }),
    );
  }
}
