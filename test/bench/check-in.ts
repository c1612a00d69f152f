/** An idle check-in: TCP payload both ways with a resumed TLS session, CPU, and bytes sent to the flash. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createGateway } from '../helpers/gateway.ts';
import { startPlatform } from '../helpers/platform.ts';
import { until } from '../helpers/until.ts';
import { startCountingRelay } from './counting-relay.ts';
import { type Row, rowOf } from './row.ts';
import { measureGroup } from './sample.ts';
import { EXECUTABLE, type Site } from './site.ts';

/** The first ones say what is new, and have no session to resume. */
const WARM_UP = 4;
const CHECK_INS = 20;
/** Of the kernel's clock ticks. */
const TICK_MS = 10;

export async function checkInRows(site: Site): Promise<Row[]> {
  const platform = await startPlatform({ tls: true });
  const relay = await startCountingRelay(platform.url);
  const gateway = await createGateway(
    { ...platform, url: relay.url },
    { command: [EXECUTABLE], directory: site.scratch, serial: 'check-in' },
  );
  // In memory, as on a gateway: what changes with every check-in is kept there.
  const memory = mkdtempSync('/dev/shm/gwe-bench-');
  try {
    rmSync(join(gateway.root, 'run'), { recursive: true, force: true });
    symlinkSync(memory, join(gateway.root, 'run'));
    gateway.gwe('--set-ca-file', platform.caFile ?? '');
    gateway.start();
    await until(() => relay.finished().length >= WARM_UP, 60_000);
    const pid = gateway.pid();
    const before = { ...used(pid), connections: relay.finished().length };
    await until(() => relay.finished().length >= before.connections + CHECK_INS, 120_000);
    await delay(200);
    const after = used(pid);
    const connections = relay.finished().slice(before.connections);
    const each = (value: number): number => value / connections.length;
    const [result] = await measureGroup({
      title: 'check-in',
      contenders: [
        {
          name: 'gwe',
          what: `${CHECK_INS} check-ins, a second apart`,
          run: async () => ({
            bytes: median(connections.map(({ up, down }) => up + down)),
            cpuMs: each(after.cpuMs - before.cpuMs),
            writtenBytes: each(after.writtenBytes - before.writtenBytes),
          }),
        },
      ],
      quantity: 'bytes',
      leastRuns: 1,
      mostRuns: 1,
    });
    const what = 'idle check-in, TLS resumed';
    return [
      rowOf(
        {
          key: 'check-in.bytes',
          what: `${what}: TCP payload both ways`,
          unit: 'bytes',
          quantity: 'bytes',
          goal: 1800,
        },
        result,
      ),
      rowOf({ key: 'check-in.cpu', what: `${what}: CPU`, unit: 'ms', quantity: 'cpuMs' }, result),
      rowOf(
        {
          key: 'check-in.written',
          what: `${what}: written to the disk`,
          unit: 'bytes',
          quantity: 'writtenBytes',
          goal: 0,
        },
        result,
      ),
    ];
  } finally {
    await gateway.remove();
    rmSync(memory, { recursive: true, force: true });
    await relay.close();
    await platform.close();
  }
}

function used(pid: number): { cpuMs: number; writtenBytes: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  const io = readFileSync(`/proc/${pid}/io`, 'latin1');
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    writtenBytes: Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0),
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
