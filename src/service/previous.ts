/** The version of gwe that the launcher would restore, and the digest of its executable at that time. */
import { join } from 'node:path';
import {
  digestFile,
  ensureDirectory,
  readLink,
  readTextBounded,
  removeIfPossible,
  swapLink,
  writeFileDurable,
} from '../base/fs.ts';
import { appDirectory, type Layout, previousLink } from '../store/layout.ts';
import { readStarts } from './starts.ts';

const APP = 'gwe';
const LARGEST_STATE_BYTES = 4096;

/**
 * Makes the version directory `before`, which `current` has left or is about to, the one to go back to. One that never
 * checked in is not worth restoring, unless there is no other.
 */
export function keepAsPrevious(layout: Layout, before: string): void {
  const isWorthKeeping =
    readStarts(layout).confirmed === before || readLink(previousLink(layout, APP)) === undefined;
  if (!isWorthKeeping) return;
  const sha256 = digestIfThere(join(appDirectory(layout, APP), before, APP));
  if (sha256 === undefined) removeIfPossible(layout.previousDigest);
  else {
    ensureDirectory(layout.stateDirectory);
    writeFileDurable(layout.previousDigest, `${sha256} ${before}\n`);
  }
  swapLink(before, previousLink(layout, APP));
}

/** The digest of the executable in the version directory `name`; `undefined` if none was written down. */
export function keptDigest(layout: Layout, name: string): string | undefined {
  try {
    const [sha256, of] = (readTextBounded(layout.previousDigest, LARGEST_STATE_BYTES) ?? '')
      .trim()
      .split(' ');
    return of === name && /^[0-9a-f]{64}$/.test(sha256 ?? '') ? sha256 : undefined;
  } catch {
    return undefined;
  }
}

function digestIfThere(path: string): string | undefined {
  try {
    return digestFile(path);
  } catch {
    return undefined;
  }
}
