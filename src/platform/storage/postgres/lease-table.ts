/** Work that one replica may do: whoever holds its lease. One that dies loses it when its time is over. */
import type { Clock } from '../../../base/clock.ts';
import { type Connection, NOW, type Query } from './connection.ts';

interface Lease {
  name: string;
  /** One process. */
  holder: string;
  seconds: number;
}

/** False while another holds it. Who holds it already has it for so long again. */
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

/** Lets another have it at once: who stops in good order does not make others wait. */
async function releaseLease(query: Query, { name, holder }: Omit<Lease, 'seconds'>): Promise<void> {
  await query(`UPDATE lease SET until = ${NOW} WHERE name = $1 AND holder = $2`, name, holder);
}

export interface Job {
  name: string;
  everyMs: number;
  work(): Promise<void>;
}

/** Does the job again and again until `signal`, beside other replicas once each time. What fails is tried the next time. */
export async function keepDoing(
  { connection, clock, holder }: { connection: Connection; clock: Pick<Clock, 'sleep'>; holder: string },
  { name, everyMs, work }: Job,
  signal: AbortSignal,
): Promise<void> {
  // Somewhat less, so that its holder finds it free the next time.
  const seconds = Math.floor((everyMs * 0.9) / 1000);
  while (!signal.aborted) {
    const isMine = await takeLease(connection.query, { name, holder, seconds }).catch(() => false);
    if (isMine && !signal.aborted) await work().catch(() => undefined);
    await clock.sleep(everyMs, signal);
  }
  await releaseLease(connection.query, { name, holder }).catch(() => undefined);
}
