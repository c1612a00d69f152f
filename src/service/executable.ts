/** gwe's own executable as a version directory: opt/gwe/apps/gwe/VERSION-DIGEST8/gwe. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { GweError, wrapError } from '../base/errors.ts';
import { copyFileDurable, diskSpace, ensureDirectory, readLink, swapLink } from '../base/fs.ts';
import { runProcess } from '../base/process.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  previousLink,
  versionDirectoryName,
} from '../store/layout.ts';
import { prune } from '../store/versions.ts';
import { SELF_TEST_ANSWER } from './self-test.ts';
import { forgetStarts, readStarts } from './starts.ts';

export const APP = 'gwe';
const SELF_TEST_MS = 60_000;
const READ_BYTES = 1024 * 1024;
/** Left free beside the copy, for the configuration and state that gwe writes. */
const RESERVE_BYTES = 4 * 1024 * 1024;

export interface Executable {
  /** The file that is to be installed. */
  source: string;
  sizeBytes: number;
  /** Name of its version directory. */
  name: string;
  /** Where it will be, or is. */
  path: string;
  /** It is in its version directory already: the running gwe was started from there, or it was copied before. */
  isInPlace: boolean;
}

/** Whether `path` is a gwe that works on this machine. */
export async function passesSelfTest(path: string, clock: Clock): Promise<boolean> {
  const run = { env: {}, timeoutMs: SELF_TEST_MS, captureBytes: 4096, clock };
  const result = await runProcess([path, '--self-test'], run).catch(() => undefined);
  return result?.end.kind === 'exit' && result.end.code === 0 && result.output.trim() === SELF_TEST_ANSWER;
}

/**
 * Where `source`, a gwe of `version`, belongs. Throws USAGE_BAD_VALUE for a file that is no gwe (when gwe runs from
 * its sources, the executable is Node), STORE_NO_SPACE when a copy does not fit.
 */
export async function planExecutable(
  layout: Layout,
  source: string,
  version: string,
  clock: Clock,
): Promise<Executable> {
  const real = realpathSync(source);
  const apps = appDirectory(layout, APP);
  const sizeBytes = statSync(real).size;
  if (existsSync(apps) && dirname(dirname(real)) === realpathSync(apps)) {
    return { source: real, sizeBytes, name: basename(dirname(real)), path: real, isInPlace: true };
  }
  if (!(await passesSelfTest(real, clock))) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot install '${source}': it does not pass gwe's self-test, expected the executable of gwe for this machine`,
    );
  }
  const digest = digestFile(real);
  const name = versionDirectoryName(version, digest);
  const path = join(apps, name, APP);
  const isInPlace = existsSync(path) && statSync(path).size === sizeBytes && digestFile(path) === digest;
  if (!isInPlace) requireSpace(apps, sizeBytes);
  return { source: real, sizeBytes, name, path, isInPlace };
}

/** Copies it, durably and under its own name only when whole. */
export function placeExecutable(executable: Executable): void {
  ensureDirectory(dirname(executable.path));
  copyFileDurable(executable.source, executable.path, 0o755);
}

/** Makes it `current`, the one before `previous`, and removes what is neither. Returns what was removed. */
export function switchExecutable(layout: Layout, executable: Executable): string[] {
  const before = readLink(currentLink(layout, APP));
  if (before !== executable.name) {
    // One that never checked in is no place to go back to, unless there is no other.
    const isWorthKeeping =
      readStarts(layout).confirmed === before || readLink(previousLink(layout, APP)) === undefined;
    if (before !== undefined && isWorthKeeping) swapLink(before, previousLink(layout, APP));
    swapLink(executable.name, currentLink(layout, APP));
  }
  forgetStarts(layout);
  const previous = readLink(previousLink(layout, APP));
  return prune(layout, APP, [executable.name, ...(previous === undefined ? [] : [previous])]);
}

function requireSpace(directory: string, sizeBytes: number): void {
  const { freeBytes } = diskSpace(directory);
  if (freeBytes >= sizeBytes + RESERVE_BYTES) return;
  throw new GweError(
    'STORE_NO_SPACE',
    `cannot copy gwe to '${directory}': ${freeBytes} bytes are free, expected ${sizeBytes + RESERVE_BYTES}`,
  );
}

/** sha256 in hex, in bounded memory. */
function digestFile(path: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(READ_BYTES);
  const fd = openSync(path, 'r');
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, count));
    }
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot read '${path}'`);
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}
