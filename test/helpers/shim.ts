/** The fault injector of test/fault/shim.c: compiled for this machine, and what a process needs to run under it. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type ShimAction = 'kill' | 'EIO' | 'ENOSPC' | 'EROFS' | 'short';

/** Compiles into `directory`; returns the library's path. */
export function compileShim(directory: string): string {
  const library = join(directory, 'shim.so');
  const source = join(import.meta.dirname, '../fault/shim.c');
  const built = spawnSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (built.status === 0) return library;
  const found = built.error?.message ?? built.stderr;
  throw new Error(`cannot compile shim.c: ${found} (Debian: apt-get install gcc libc6-dev)`);
}

export interface ShimRun {
  library: string;
  root: string;
  countFile?: string;
  logFile?: string;
  /** The call that is hit, from 1. */
  at?: number;
  action?: ShimAction;
  /** How many calls in a row are hit. */
  times?: number;
}

export function shimEnvironment(run: ShimRun): Record<string, string> {
  const optional = (key: string, value: string | number | undefined): Record<string, string> =>
    value === undefined ? {} : { [key]: String(value) };
  return {
    LD_PRELOAD: run.library,
    // Otherwise libuv may hand file work to the kernel without a call that can be seen.
    UV_USE_IO_URING: '0',
    GWE_SHIM_ROOT: run.root,
    ...optional('GWE_SHIM_COUNT', run.countFile),
    ...optional('GWE_SHIM_LOG', run.logFile),
    ...optional('GWE_SHIM_AT', run.at),
    ...optional('GWE_SHIM_ACTION', run.action),
    ...optional('GWE_SHIM_FOR', run.times),
  };
}

/** How many calls the process made, also one that was killed. */
export function readShimCount(countFile: string): number {
  return existsSync(countFile) ? Number(readFileSync(countFile).readBigInt64LE(0)) : 0;
}
