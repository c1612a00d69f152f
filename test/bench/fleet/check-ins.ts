/** What check-ins cost a platform: plain, over TLS, as long polls, on a slow disk. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { drive, type Served, serve } from './parts.ts';
import type { Bench } from './table.ts';

/** Runs one load on one platform; how many a second, and what each took of the platform's CPU. */
export async function cost(
  served: Served,
  load: string,
  args: readonly (string | number)[],
): Promise<{ rate: number; cpuMicroseconds: number; p99: number }> {
  const before = served.cpuSeconds();
  const { done, failed, seconds, p99 } = await drive(load, args);
  if (failed > 0) throw new Error(`${failed} of ${done + failed} check-ins failed`);
  return { rate: done / seconds, cpuMicroseconds: ((served.cpuSeconds() - before) / done) * 1e6, p99 };
}

export async function plain({ load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  let first = 0;
  for (const size of [1000, 10_000, 100_000]) {
    const fleet = await fleetOf(size);
    const served = await serve(fleet);
    // The first ones compile what all the others run.
    await drive(load, ['-n', part(2000), served.port, fleet.keyFile]);
    const { rate, cpuMicroseconds } = await cost(served, load, [
      ...['-n', part(Math.max(size, 20_000)), '-s', part(2000)],
      ...[served.port, fleet.keyFile],
    ]);
    first ||= cpuMicroseconds;
    const goal = size === 100_000 ? { goal: { least: 5000 } } : {};
    tell({ what: `check-ins, ${size} registered, a new connection each`, value: rate, unit: '/s', ...goal });
    tell({ what: 'CPU each', value: cpuMicroseconds, unit: 'us' });
    if (size === 100_000)
      tell({
        what: 'CPU each beside that with 1000 registered',
        value: cpuMicroseconds / first,
        unit: 'x',
        goal: { most: 1.3 },
      });
    await served.end();
  }
}

export async function overTls({ load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = await fleetOf(100_000);
  const served = await serve(fleet, { isTls: true });
  await drive(load, ['-t', '-n', part(500), served.port, fleet.keyFile]);
  const args = ['-n', part(20_000), '-s', part(500), served.port, fleet.keyFile];
  const whole = await cost(served, load, ['-t', ...args]);
  tell({
    what: 'check-ins, a whole TLS handshake each',
    value: whole.rate,
    unit: '/s',
    goal: { least: 1200 },
  });
  tell({ what: 'CPU each', value: whole.cpuMicroseconds, unit: 'us' });
  const resumed = await cost(served, load, ['-T', ...args]);
  tell({ what: 'check-ins, a resumed TLS session each', value: resumed.rate, unit: '/s' });
  tell({ what: 'CPU each', value: resumed.cpuMicroseconds, unit: 'us' });
  await served.end();
}

export async function longPolls({ load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = await fleetOf(100_000);
  const served = await serve(fleet, { isTls: true });
  const before = served.residentBytes();
  const child: ChildProcess = spawn(
    load,
    ['-t', '-H', '-n', String(part(10_000)), String(served.port), fleet.keyFile],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  const { held, failed }: { held: number; failed: number } = JSON.parse(String(line));
  if (failed > 0) throw new Error(`${failed} of ${held + failed} long polls failed`);
  const bytes = served.residentBytes();
  tell({
    what: `memory with ${held} long polls over TLS`,
    value: bytes / 1e6,
    unit: 'MB',
    goal: { most: 700 },
  });
  tell({ what: 'each', value: (bytes - before) / held / 1024, unit: 'KB' });
  child.stdin?.end();
  await once(child, 'exit');
  await served.end();
}

export async function slowDisk({ load, slowSync, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = await fleetOf(100_000);
  const served = await serve(fleet, { env: { LD_PRELOAD: slowSync, GWE_SLOW_SYNC_MS: '20' } });
  await drive(load, ['-n', part(2000), served.port, fleet.keyFile]);
  const { rate, p99 } = await cost(served, load, [
    '-n',
    part(20_000),
    '-s',
    40_000,
    served.port,
    fleet.keyFile,
  ]);
  tell({ what: 'check-ins on a disk whose sync takes 20 ms more', value: rate, unit: '/s' });
  tell({ what: 'p99 of them, 64 at once', value: p99, unit: 'ms' });
  await served.end();
}
