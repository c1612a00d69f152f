/** gwe as a child that does not block this process, for tests whose servers live in it. */
import { spawn } from 'node:child_process';
import type { CommandResult } from './gateway.ts';

/** Runs `command` with PATH and `env` alone, and waits for its end (at most a minute). */
export function runGwe(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}
