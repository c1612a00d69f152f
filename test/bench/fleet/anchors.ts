/** Others beside the platform, by the same load: a file of nginx, the least that node:http and node:sqlite do, pgbench. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startPostgres } from '../../helpers/postgres.ts';
import { drive, measured } from './parts.ts';
import type { Bench } from './table.ts';

interface Anchor {
  what: string;
  rate: number;
  cpuMicroseconds: number;
}

export async function anchors({ scratch, load, part, tell, fleet }: Bench): Promise<void> {
  const [{ keyFile }, count] = [await fleet(1000), part(20_000)];
  for (const run of [
    () => nginx(scratch, load, keyFile, count),
    () => minimal(scratch, load, keyFile, count),
    pgbench,
  ]) {
    const { what, cpuMicroseconds, rate } = await run();
    tell({ what: `beside it: ${what}`, value: rate, unit: '/s' });
    tell({ what: `beside it: ${what}, CPU each`, value: cpuMicroseconds, unit: 'us' });
  }
}

async function nginx(scratch: string, load: string, keyFile: string, count: number): Promise<Anchor> {
  const home = join(scratch, 'nginx');
  mkdirSync(home);
  const port = 20_000 + (process.pid % 10_000);
  writeFileSync(
    join(home, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 4096; }
http { access_log off; server { listen 127.0.0.1:${port}; location / { return 200 "engine_fetch="; } } }`,
  );
  const child = spawn('nginx', ['-p', home, '-c', join(home, 'nginx.conf')], { stdio: 'ignore' });
  try {
    for (let tries = 0; ; tries++) {
      const { failed } = await drive(load, ['-n', 1, port, keyFile]);
      if (failed === 0) break;
      if (tries > 100) throw new Error('nginx does not listen');
      await delay(100);
    }
    const worker = Number(execFileSync('pgrep', ['-P', String(child.pid)], { encoding: 'utf8' }).trim());
    const cpu = (): number =>
      Number(execFileSync('cat', [`/proc/${worker}/schedstat`], { encoding: 'utf8' }).split(' ')[0]);
    const before = cpu();
    const { done, seconds } = await drive(load, ['-n', count, port, keyFile]);
    return {
      what: 'nginx, a constant',
      rate: done / seconds,
      cpuMicroseconds: (cpu() - before) / done / 1000,
    };
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

async function minimal(scratch: string, load: string, keyFile: string, count: number): Promise<Anchor> {
  const args = ['--no-warnings', join(import.meta.dirname, 'minimal-server.ts'), join(scratch, 'minimal.db')];
  const served = await measured(process.execPath, args, process.env, scratch);
  await drive(load, ['-n', 2000, served.port, keyFile]);
  const before = served.cpuSeconds();
  const { done, seconds } = await drive(load, ['-n', count, served.port, keyFile]);
  const used = served.cpuSeconds() - before;
  await served.end();
  const what = 'node:http and node:sqlite, one synced UPDATE each';
  return { what, rate: done / seconds, cpuMicroseconds: (used / done) * 1e6 };
}

/** One synced UPDATE of a row, 32 at once; the CPU is that of the machine while it runs, pgbench's own with it. */
async function pgbench(): Promise<Anchor> {
  const server = await startPostgres();
  try {
    const url = server.freshUrl();
    const run = (args: string[]): string =>
      execFileSync('pgbench', [...args, url], { encoding: 'utf8', stdio: 'pipe' });
    run(['-i', '-q', '-s', '1']);
    const before = ofChildren();
    const printed = run(['-n', '-M', 'prepared', '-b', 'simple-update', '-c', '32', '-T', '5']);
    const rate = Number(/tps = ([\d.]+)/.exec(printed)?.[1]);
    const own = (ofChildren() - before) * 1e6;
    return { what: 'pgbench, simple-update (its own CPU)', rate, cpuMicroseconds: own / (rate * 5) };
  } finally {
    await server.end();
  }
}

/** Seconds of the CPU of all children that have ended. */
function ofChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 0.01;
}
