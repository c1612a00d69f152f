/** A platform in a process of its own, started again on the same port after each kill. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PlatformOptions } from '../../src/platform/server/server.ts';

const CHILD = fileURLToPath(new URL('platform-child.ts', import.meta.url));
export const TOKEN = 'process-token-0123456789';

export interface PlatformProcess {
  /** The same after a restart. */
  url: string;
  pid(): number;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
  start(): Promise<void>;
  end(): Promise<void>;
}

export async function startPlatformProcess(
  options: Pick<PlatformOptions, 'database' | 'objects'> & { dir?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<PlatformProcess> {
  const { dir, env, ...further } = options;
  const directory = dir ?? mkdtempSync(join(tmpdir(), 'gwe-process-'));
  let port = 0;
  let child: ChildProcess | undefined;
  const start = async (): Promise<string> => {
    const args = [CHILD, directory, TOKEN, '30000', JSON.stringify({ ...further, port })];
    const fresh = spawn(process.execPath, ['--no-warnings', ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = fresh;
    const ended = once(fresh, 'exit').then(([status]) =>
      Promise.reject(new Error(`it ended with ${status}`)),
    );
    const [line] = await Promise.race([once(fresh.stdout, 'data'), ended]);
    ended.catch(() => undefined);
    return String(line).trim();
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const url = await start();
  port = Number(new URL(url).port);
  return {
    url,
    pid: () => child?.pid ?? 0,
    kill,
    async start() {
      assert.equal(await start(), url);
    },
    async end() {
      await kill();
      if (dir === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}
