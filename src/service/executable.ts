/** gwe's own executable as a version directory: opt/gwe/apps/gwe/VERSION-DIGEST8/gwe. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { GweError, wrapError } from '../base/errors.ts';
import { copyFileDurable, digestFile, diskSpace, ensureDirectory, readLink, swapLink } from '../base/fs.ts';
import { runProcess } from '../base/process.ts';
import { recordOwnVersion } from '../store/installed-store.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  previousLink,
  versionDirectoryName,
} from '../store/layout.ts';
import { removeVersions, unneededVersions } from '../store/versions.ts';
import { keepAsPrevious } from './previous.ts';
import { SELF_TEST_ANSWER } from './self-test.ts';
import { forgetStarts } from './starts.ts';

export const APP = 'gwe';
const SELF_TEST_MS = 60_000;
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
  version: string;
  /** sha256 of the file, where it had to be read. */
  digest?: string;
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
    const name = basename(dirname(real));
    return { source: real, sizeBytes, name, path: real, version, isInPlace: true };
  }
  if (!(await passesSelfTest(real, clock))) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot install '${source}': it fails gwe's self-test, expected the executable of gwe for this machine`,
    );
  }
  const digest = digestExecutable(real);
  const name = versionDirectoryName({ version, digest });
  const path = join(apps, name, APP);
  const isInPlace =
    existsSync(path) && statSync(path).size === sizeBytes && digestExecutable(path) === digest;
  if (!isInPlace) requireSpace(apps, sizeBytes);
  return { source: real, sizeBytes, name, path, version, digest, isInPlace };
}

/** Copies it, durably and under its own name only when whole. */
export function placeExecutable(executable: Executable): void {
  ensureDirectory(dirname(executable.path));
  copyFileDurable(executable.source, executable.path, 0o755);
}

/** Makes it `current`, the one before `previous`, and removes what is neither. Returns what was removed. */
export function switchExecutable(layout: Layout, executable: Executable, nowMs: number): string[] {
  const before = readLink(currentLink(layout, APP));
  if (before !== executable.name) {
    if (before !== undefined) keepAsPrevious(layout, before);
    swapLink(executable.name, currentLink(layout, APP));
  }
  const { version, digest } = executable;
  if (digest !== undefined) recordOwnVersion(layout, { version, digest, installedAtMs: nowMs });
  forgetStarts(layout);
  const previous = readLink(previousLink(layout, APP));
  const keep = [executable.name, ...(previous === undefined ? [] : [previous])];
  return removeVersions(layout, APP, unneededVersions(layout, APP, keep)).removed;
}

function requireSpace(directory: string, sizeBytes: number): void {
  const { freeBytes } = diskSpace(directory);
  if (freeBytes >= sizeBytes + RESERVE_BYTES) return;
  throw new GweError(
    'STORE_NO_SPACE',
    `cannot copy gwe to '${directory}': ${freeBytes} bytes are free, expected ${sizeBytes + RESERVE_BYTES}`,
  );
}

function digestExecutable(path: string): string {
  try {
    return digestFile(path);
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot read '${path}'`);
  }
}
