/** The same check-ins on a platform whose rows are in PostgreSQL. */
import { readFileSync } from 'node:fs';
import { cost } from './check-ins.ts';
import { type DatabaseFleet, makeDatabaseFleet } from './on-database.ts';
import { drive, serve } from './parts.ts';
import type { Bench } from './table.ts';

export async function database({ scratch, load, part, tell }: Bench): Promise<void> {
  const fleet = await makeDatabaseFleet(scratch, part(100_000));
  const served = await serve(fleet, { words: ['--database', fleet.url] });
  try {
    await drive(load, ['-n', part(2000), served.port, fleet.keyFile]);
    const before = await backendSeconds(fleet);
    const count = part(20_000);
    const { rate, cpuMicroseconds } = await cost(served, load, [
      ...['-n', count, '-s', part(2000)],
      ...[served.port, fleet.keyFile],
    ]);
    const own = (await backendSeconds(fleet)) - before;
    tell({
      what: `check-ins on PostgreSQL, ${part(100_000)} registered, a new connection each`,
      value: rate,
      unit: '/s',
    });
    tell({ what: 'CPU each, of the platform', value: cpuMicroseconds, unit: 'us' });
    tell({ what: 'CPU each, of PostgreSQL', value: (own / count) * 1e6, unit: 'us' });
    const { p50, p99, failed } = await drive(load, [
      ...['-r', 500, '-n', part(10_000), '-s', part(40_000), '-c', 512],
      ...[served.port, fleet.keyFile],
    ]);
    if (failed > 0) throw new Error(`${failed} check-ins failed`);
    tell({ what: 'p50 on PostgreSQL at 500/s', value: p50, unit: 'ms' });
    tell({ what: 'p99 on PostgreSQL at 500/s', value: p99, unit: 'ms' });
  } finally {
    await served.end();
    await fleet.end();
  }
}

/** Seconds of the CPU of the database's processes that serve somebody now. */
async function backendSeconds({ connection }: DatabaseFleet): Promise<number> {
  const rows = await connection.query('SELECT pid FROM pg_stat_activity');
  const each = rows.map(({ pid }) => {
    const fields = readFileSync(`/proc/${Number(pid)}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 0.01;
  });
  return each.reduce((sum, seconds) => sum + seconds, 0);
}
