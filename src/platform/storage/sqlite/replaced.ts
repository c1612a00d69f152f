/** A directory whose platform has moved to another database, and one whose platform is replaced by a backup. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../../base/errors.ts';
import { ensureDirectory, readTextBounded, renameDurable, writeFileDurable } from '../../../base/fs.ts';
import { removeTree } from '../../../base/remove-tree.ts';

const MOVED = 'moved';

/** From now on no platform is started on this directory by mistake. */
export function markMoved(directory: string, to: string): void {
  writeFileDurable(join(directory, MOVED), `${to}\n`, 0o600);
}

/** Throws PLATFORM_STATE where the platform has moved. */
export function refuseMoved(directory: string): void {
  const to = readTextBounded(join(directory, MOVED), 4096);
  if (to === undefined) return;
  throw new GweError(
    'PLATFORM_STATE',
    `cannot use the platform in '${directory}': it has moved to ${to.trim()}, and what was written there since is not ` +
      `here; to give that up and go back, remove '${join(directory, MOVED)}'`,
  );
}

/** Where a backup is put before it replaces what is there. */
export const RESTORED = 'restored';
const READY = 'ready';

/**
 * All of the backup is in RESTORED, durably: from here on the restore is completed, at the latest by the next start.
 */
export function markReady(directory: string, before: string): void {
  writeFileDurable(join(directory, RESTORED, READY), `${before}\n`, 0o600);
}

/** Puts a backup in place, and what was there into the directory named for it. An incomplete backup is removed. */
export function finishRestore(directory: string): void {
  const from = join(directory, RESTORED);
  const before = readTextBounded(join(from, READY), 4096)?.trim();
  if (before === undefined) {
    if (existsSync(from)) removeTree(from);
    return;
  }
  const old = join(directory, before);
  ensureDirectory(old, 0o700);
  // The log of the old database must never be applied to the new file.
  if (existsSync(join(from, 'platform.db')))
    for (const name of ['platform.db-wal', 'platform.db-shm', MOVED]) moveAway(directory, old, name);
  for (const name of ['content', 'platform.db']) {
    if (!existsSync(join(from, name))) continue;
    moveAway(directory, old, name);
    renameDurable(join(from, name), join(directory, name));
  }
  removeTree(from);
}

function moveAway(directory: string, old: string, name: string): void {
  if (existsSync(join(directory, name))) renameDurable(join(directory, name), join(old, name));
}
