/**
 * Work that only one replica may do at a time: the one that holds its lease. A replica that dies loses the lease when
 * it runs out.
 */
import type { Clock } from '../../../base/clock.ts';
import { type Connection, NOW, type Query } from './connection.ts';

interface Lease {
  name: string;
  /** Identifies one process. */
  holder: string;
  seconds: number;
}

/** False while another process holds the lease. If this one holds it already, it is renewed for the same time. */
export async function takeLease(query: Query, { name, holder, seconds }: Lease): Promise<boolean> {
  const rows = await query(
    `INSERT INTO lease (name, holder, until) VALUES ($1, $2, ${NOW} + $3::bigint)
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
     WHERE lease.until <= ${NOW} OR lease.holder = excluded.holder RETURNING name`,
    name,
    holder,
    seconds,
  );
  return rows.length > 0;
}

/** Releases the lease, so that the others need not wait when a process stops in good order. */
async function releaseLease(query: Query, { name, holder }: Omit<Lease, 'seconds'>): Promise<void> {
  await query(`UPDATE lease SET until = ${NOW} WHERE name = $1 AND holder = $2`, name, holder);
}

export interface Job {
  name: string;
  everyMs: number;
  work(): Promise<void>;
}

/**
 * Repeats the job until `signal`; of all replicas one does it each time. If it fails, it is tried again the next
 * time.
 */
export async function keepDoing(
  { connection, clock, holder }: { connection: Connection; clock: Pick<Clock, 'sleep'>; holder: string },
  { name, everyMs, work }: Job,
  signal: AbortSignal,
): Promise<void> {
  // Somewhat shorter than the interval, so that its holder finds it free the next time.
  const seconds = Math.floor((everyMs * 0.9) / 1000);
  while (!signal.aborted) {
    const isMine = await takeLease(connection.query, { name, holder, seconds }).catch(() => false);
    if (isMine && !signal.aborted) await work().catch(() => undefined);
    await clock.sleep(everyMs, signal);
  }
  await releaseLease(connection.query, { name, holder }).catch(() => undefined);
}
