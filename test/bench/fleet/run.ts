/**
 * `make bench-fleet`: what check-ins of many gateways cost a platform, beside a static file of nginx, a minimal server on
 * node:http and node:sqlite, and pgbench. GWE_BENCH_PART=0.1: a tenth of everything. Figures go to .cache/bench/fleet.json too.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { anchors } from './anchors.ts';
import { compileLoad, drive, type Fleet, makeFleet, PRODUCT, type Served, serve } from './parts.ts';

const PART = Number(process.env.GWE_BENCH_PART ?? '1');
const part = (count: number): number => Math.round(count * PART);

interface Row {
  what: string;
  value: number;
  unit: string;
  /** What it is to be at least, or at most. */
  goal?: { least: number } | { most: number };
}

const rows: Row[] = [];
function tell(row: Row): void {
  rows.push(row);
  const isMissed =
    row.goal !== undefined && ('least' in row.goal ? row.value < row.goal.least : row.value > row.goal.most);
  const goal =
    row.goal === undefined
      ? ''
      : 'least' in row.goal
        ? `at least ${row.goal.least}`
        : `at most ${row.goal.most}`;
  const value = row.value >= 100 ? Math.round(row.value) : row.value.toFixed(1);
  console.log(`| ${row.what} | ${value} ${row.unit} | ${goal}${isMissed ? ' (missed)' : ''} |`);
}

async function main(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-bench-fleet-'));
  try {
    const { load, slowSync } = compileLoad(scratch);
    const sizes = [1000, 10_000, 100_000];
    const fleets = new Map<number, Fleet>();
    for (const size of sizes) fleets.set(size, await makeFleet(scratch, part(size)));
    const [small, large] = [fleets.get(1000), fleets.get(100_000)];
    if (small === undefined || large === undefined) throw new Error('no fleet');
    console.log('| what | gwe | goal |\n| --- | --: | --- |');
    await plain(load, fleets);
    await overTls(load, large);
    await beside(load, large);
    await longPolls(load, large);
    await slowDisk(load, large, slowSync);
    for (const { what, cpuMicroseconds, rate } of await anchors(scratch, load, small, part(20_000))) {
      tell({ what: `beside it: ${what}`, value: rate, unit: '/s' });
      tell({ what: `beside it: ${what}, CPU each`, value: cpuMicroseconds, unit: 'us' });
    }
    mkdirSync('.cache/bench', { recursive: true });
    writeFileSync('.cache/bench/fleet.json', `${JSON.stringify(rows, undefined, 2)}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs one load on one platform; how many a second, and what each took of the platform's CPU. */
async function cost(
  served: Served,
  load: string,
  args: readonly (string | number)[],
): Promise<{ rate: number; cpuMicroseconds: number; p99: number }> {
  const before = served.cpuSeconds();
  const { done, failed, seconds, p99 } = await drive(load, args);
  if (failed > 0) throw new Error(`${failed} of ${done + failed} check-ins failed`);
  return { rate: done / seconds, cpuMicroseconds: ((served.cpuSeconds() - before) / done) * 1e6, p99 };
}

async function plain(load: string, fleets: ReadonlyMap<number, Fleet>): Promise<void> {
  let first = 0;
  for (const [size, fleet] of fleets) {
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

async function overTls(load: string, fleet: Fleet): Promise<void> {
  const served = await serve(fleet, { isTls: true });
  await drive(load, ['-t', '-n', part(500), served.port, fleet.keyFile]);
  const args = ['-t', '-n', part(20_000), '-s', part(500), served.port, fleet.keyFile];
  const { rate, cpuMicroseconds } = await cost(served, load, args);
  tell({ what: 'check-ins, a whole TLS handshake each', value: rate, unit: '/s', goal: { least: 1200 } });
  tell({ what: 'CPU each', value: cpuMicroseconds, unit: 'us' });
  await served.end();
}

/** 500 a second, while a list is read again and again, 1 GB comes in, and 40 gateways write five times a second. */
async function beside(load: string, fleet: Fleet): Promise<void> {
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

async function longPolls(load: string, fleet: Fleet): Promise<void> {
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

async function slowDisk(load: string, fleet: Fleet, slowSync: string): Promise<void> {
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

if (spawnSync('gcc', ['--version']).error !== undefined) throw new Error('there is no gcc');
await main();
