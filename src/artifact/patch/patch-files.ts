/** The patches that lie beside a tarball and lead to it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { listDirectory } from '../../base/fs.ts';
import { readIndexFile } from '../chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { ENDS_BYTES, patchEnds, patchName } from './format.ts';

/** Absolute paths, by name. None for a tarball without chunks. Throws what reading its index does. */
export function findPatchFiles(tarball: string): string[] {
  const found = readIndexFile(tarball, DEFAULT_LIMITS);
  if (found.kind !== 'chunks') return [];
  const { manifest, digest } = found.index;
  return listDirectory(dirname(tarball))
    .sort()
    .filter((name) => name.startsWith(`${manifest.name}.v`) && name.endsWith('.patch'))
    .filter((name) => {
      const ends = patchEnds(readStart(join(dirname(tarball), name)));
      return ends?.newDigest === digest && name === patchName(manifest, ends.oldDigest, digest);
    })
    .map((name) => join(dirname(tarball), name));
}

/** Empty for a file that cannot be read: then it is not ours. */
function readStart(file: string): Buffer {
  const start = Buffer.alloc(ENDS_BYTES);
  try {
    const fd = openSync(file, 'r');
    try {
      return start.subarray(0, readSync(fd, start, 0, ENDS_BYTES, 0));
    } finally {
      closeSync(fd);
    }
  } catch {
    return Buffer.alloc(0);
  }
}
