/**
 * When devices were seen: gathered in memory and written together, since a commit for each would cost more than its
 * check-in.
 */
import type { Clock } from '../../../base/clock.ts';
import { SEEN_EVERY_S, SEEN_FLUSH_MS } from '../../bounds.ts';
import type { Connection } from './connection.ts';

const MOST_TOGETHER = 500;

export interface SeenDevices {
  /** Notes that the device is seen now; `storedAt` is the time in its row. */
  note(deviceId: number, storedAt: number): void;
  /** The latest time known; `storedAt` is the time in its row. */
  lastSeenAt(deviceId: number, storedAt: number): number;
  /** Writes what is known now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export function createSeenDevices(
  connection: Connection,
  clock: Pick<Clock, 'sleep'>,
  nowSeconds: () => number,
): SeenDevices {
  const pending = new Map<number, number>();
  const closing = new AbortController();
  let flushing: Promise<void> | undefined;
  /** Writes a few at a time, with other writes in between. */
  const write = async (): Promise<void> => {
    for (const batch = [...pending]; batch.length > 0; ) {
      const part = batch.splice(0, MOST_TOGETHER);
      await connection.commit(() => {
        const update = connection.statement('UPDATE device SET last_seen_at = ? WHERE id = ?');
        for (const [id, at] of part) update.run(at, id);
      });
      for (const [id, at] of part) if (pending.get(id) === at) pending.delete(id);
    }
  };
  const flush = async (): Promise<void> => {
    await clock.sleep(SEEN_FLUSH_MS, closing.signal);
    flushing = undefined;
    // Nothing that was acknowledged depends on it: what cannot be written now is written the next time.
    if (!closing.signal.aborted) await write().catch(() => undefined);
  };
  const lastSeenAt = (deviceId: number, storedAt: number): number => pending.get(deviceId) ?? storedAt;
  return {
    note(deviceId, storedAt) {
      const now = nowSeconds();
      const seenForS = now - lastSeenAt(deviceId, storedAt);
      // A developer's gateway asks every second, and noting each time would help nobody. A clock that was set back is
      // noted at once.
      if (seenForS >= 0 && seenForS < SEEN_EVERY_S) return;
      pending.set(deviceId, now);
      flushing ??= flush();
    },
    lastSeenAt,
    flush: write,
    async close() {
      closing.abort();
      await flushing;
      if (pending.size > 0 && !connection.isFrozen()) await write();
    },
  };
}
