/** The index of a tarball on the disk, read from its start alone. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ArtifactLimits } from '../limits.ts';
import { type IndexBytes, readIndexBytes } from './index-bytes.ts';

const FIRST_BYTES = 64 * 1024;

/**
 * What the first bytes of `file` say of it; it is not compared with what follows. Throws ARTIFACT_* for an index that
 * may not be used, and what `node:fs` throws.
 */
export function readIndexFile(file: string, limits: ArtifactLimits): Exclude<IndexBytes, { kind: 'part' }> {
  const fd = openSync(file, 'r');
  try {
    const sizeBytes = fstatSync(fd).size;
    let wantedBytes = Math.min(FIRST_BYTES, sizeBytes);
    for (;;) {
      const head = Buffer.alloc(wantedBytes);
      const readBytes = readSync(fd, head, 0, wantedBytes, 0);
      const found = readIndexBytes(head.subarray(0, readBytes), sizeBytes, limits);
      if (found.kind !== 'part') return found;
      if (found.wantedBytes <= readBytes || readBytes < wantedBytes)
        return { kind: 'none', reason: 'it is cut off' };
      ({ wantedBytes } = found);
    }
  } finally {
    closeSync(fd);
  }
}
