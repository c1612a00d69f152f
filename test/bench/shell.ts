/** Other people's tools, by a script that the table can show. */
import { spawn, spawnSync } from 'node:child_process';

export function shell(script: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync('/bin/sh', ['-c', script, 'sh', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`'${script}' ended with ${status}: ${stderr}`);
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
