/** Check-ins beside other work of the same platform. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { drive, type Fleet, PRODUCT, type Served, serve } from './parts.ts';
import type { Bench } from './table.ts';

/** 500 a second, while a list is read again and again, 1 GB comes in, and 40 gateways write five times a second. */
export async function beside({ load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = await fleetOf(100_000);
  const served = await serve(fleet);
  await drive(load, ['-n', part(2000), served.port, fleet.keyFile]);
  const stop = new AbortController();
  const headers = { 'X-Exosite-Token': served.token };
  const list = `${served.url}/gwe/v1/products/${PRODUCT}/devices`;
  const others = [
    shellLoop(
      ['curl', '-sf', '-o', '/dev/null', '-H', `X-Exosite-Token: ${headers['X-Exosite-Token']}`, list],
      stop.signal,
    ),
    shellLoop(
      [
        ...['sh', '-c'],
        `head -c ${part(1_000_000_000)} /dev/zero | curl -sf -o /dev/null -T - -H "X-Exosite-Token: $0" "$1"`,
        ...[served.token, `${served.url}/gwe/v1/products/${PRODUCT}/content/big`],
      ],
      stop.signal,
    ),
    write(served, fleet, stop.signal),
  ];
  const { p99, most, failed } = await drive(load, [
    ...['-r', 500, '-n', part(10_000), '-s', 5000, '-c', 512],
    ...[served.port, fleet.keyFile],
  ]);
  stop.abort();
  await Promise.all(others);
  if (failed > 0) throw new Error(`${failed} check-ins failed`);
  const what = 'p99 at 500/s beside a list, an upload of 1 GB and 40 writers at 5/s';
  tell({ what, value: p99, unit: 'ms', goal: { most: 20 } });
  tell({ what: 'the slowest of them', value: most, unit: 'ms' });
  await served.end();
}

async function shellLoop([program = '', ...args]: readonly string[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const child = spawn(program, args, { stdio: 'ignore', detached: true });
    const end = (): void => void process.kill(-(child.pid ?? 0), 'SIGKILL');
    signal.addEventListener('abort', end, { once: true });
    await once(child, 'exit');
    signal.removeEventListener('abort', end);
  }
}

/** Forty gateways that report five times a second. */
async function write(served: Served, { keyFile }: Fleet, signal: AbortSignal): Promise<void> {
  const writer = spawn(process.execPath, [
    '--no-warnings',
    join(import.meta.dirname, 'writers.ts'),
    served.url,
    keyFile,
  ]);
  const ended = once(writer, 'exit');
  if (!signal.aborted) await once(signal, 'abort');
  writer.kill('SIGKILL');
  await ended;
}
