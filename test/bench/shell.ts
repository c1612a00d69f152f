/** Other people's tools, by a script that the table can show. */
import { spawn, spawnSync } from 'node:child_process';

export function shell(script: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync('/bin/sh', ['-c', script, 'sh', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`'${script}' ended with ${status}: ${stderr}`);
}

/** As `shell`, with the CPU time of all that the script has started. */
export function timedShell(script: string, ...args: readonly string[]): { cpuSeconds: number } {
  const timed = `{ ${script}; } >&2; status=$?; times; exit $status`;
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', timed, 'sh', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`'${script}' ended with ${status}: ${stderr}`);
  return { cpuSeconds: childrensCpuMs(stdout) / 1000 };
}

/** From what the shell's `times` prints: its own user and system time, then its children's. */
export function childrensCpuMs(printed: string): number {
  const [user, system] = [...printed.matchAll(/(\d+)m([\d.]+)s/g)].slice(2);
  if (user === undefined || system === undefined) throw new Error(`no times in '${printed}'`);
  return [user, system].reduce(
    (sum, [, minutes, seconds]) => sum + (Number(minutes) * 60 + Number(seconds)) * 1000,
    0,
  );
}

/** As `shell`, while this process goes on serving. */
export function shellAside(script: string, ...args: readonly string[]): Promise<void> {
  const child = spawn('/bin/sh', ['-c', script, 'sh', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) =>
      status === 0 ? resolve() : reject(new Error(`'${script}' ended with ${status}: ${complaint}`)),
    );
  });
}
