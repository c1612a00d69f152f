/**
 * Room on the disk that gwe holds while there is plenty, and gives up where a full one would keep it from finishing what
 * it has begun: taking a version back and saying so must not wait for a person to make space.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { diskSpace, ensureDirectory, removeFileDurable, writeFileDurable } from '../base/fs.ts';

/** The records of one update, old and new beside each other, several times over. */
export const BALLAST_BYTES = 128 * 1024;
/** It is never to be what fills the disk. */
const LEAST_FREE_BYTES = 8 * BALLAST_BYTES;

interface Ballast {
  /** Takes the room, unless that has been done or the disk has little. Throws STORE_NO_SPACE, STORE_IO. */
  take(): void;
  /** Deletes it. False if there is none. Throws STORE_IO. */
  release(): boolean;
}

export function createBallast(path: string): Ballast {
  return {
    take() {
      if (isWhole(path) || diskSpace(path).freeBytes < LEAST_FREE_BYTES) return;
      ensureDirectory(dirname(path));
      // A file system that compresses would hold no room for zeros.
      writeFileDurable(path, randomBytes(BALLAST_BYTES), 0o600);
    },
    release() {
      if (!existsSync(path)) return false;
      const isFull = isWhole(path);
      removeFileDurable(path);
      return isFull;
    },
  };
}

/** One that a power cut has emptied holds no room. */
function isWhole(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size === BALLAST_BYTES;
}
