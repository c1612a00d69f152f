/** What installing and removing the service share: one line said for each thing done, and nothing done in a dry run. */
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';
import { acquireLock } from '../base/lock.ts';
import type { Layout } from '../store/layout.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import type { Environment } from './entry.ts';

export interface Document {
  path: string;
  text: string;
}

export interface ServiceOptions {
  layout: Layout;
  /** Say what would be done, and do nothing. */
  isDryRun: boolean;
  env: Environment;
  clock: Clock;
  supervisor: SupervisorClient;
  /** What a person at the gateway gets with it: the manual page, completion for shells. Paths below the root. */
  documents: readonly Document[];
  /** Is given one line for each thing that was done, was kept, or is left to the person. */
  say(line: string): void;
}

/** Larger than any text of ours. */
const LARGEST_TEXT_BYTES = 1024 * 1024;

/** Runs `effect` and says `line`; a dry run only says it. */
export async function act(
  options: Pick<ServiceOptions, 'isDryRun' | 'say'>,
  line: string,
  effect: () => void | Promise<void>,
): Promise<void> {
  if (!options.isDryRun) await effect();
  options.say(options.isDryRun ? `would ${line}` : line);
}

/** Makes `path` a file of `text`. False if it was one already. */
export async function putText(
  options: Pick<ServiceOptions, 'isDryRun' | 'say'>,
  path: string,
  text: string,
  mode: number,
): Promise<boolean> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && (stat.mode & 0o777) === mode && textOf(path) === text) {
    options.say(`keep ${path}`);
    return false;
  }
  await act(options, `write ${path}`, () => {
    ensureDirectory(dirname(path));
    writeFileDurable(path, text, mode);
  });
  return true;
}

/** The text of a regular file of a size that a text of ours could have, else `undefined`. */
export function textOf(path: string): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= LARGEST_TEXT_BYTES
    ? readTextBounded(path, LARGEST_TEXT_BYTES)
    : undefined;
}

/** Throws STORE_IO, with the command that corrects it, if `path` is there and not of gwe. */
export function requireOwn(path: string, isOwn: boolean): void {
  if (isOwn || lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  throw new GweError(
    'STORE_IO',
    `cannot write '${path}': it exists and gwe did not write it; nothing was changed; ` +
      `to make room for gwe: mv '${path}' '${path}.before-gwe', then run this again`,
  );
}

/** Runs `work` while no update can run. Throws STORE_LOCKED if one does; a dry run needs no lock. */
export async function withoutUpdates(options: ServiceOptions, work: () => Promise<void>): Promise<void> {
  if (options.isDryRun) return work();
  const lock = acquireLock(options.layout.transactionLock, 'service');
  if ('heldBy' in lock) {
    throw new GweError(
      'STORE_LOCKED',
      `cannot change the service: process ${lock.heldBy.pid} is in the middle of an update; wait for its end`,
    );
  }
  try {
    await work();
  } finally {
    lock.release();
  }
}
