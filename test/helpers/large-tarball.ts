/** Tarballs of any size that are quick to make, of content that is a tenth of its size under gzip. */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { packIndexed } from '../../src/artifact/pack-indexed.ts';
import { planPaths } from '../../src/artifact/plan-tree.ts';
import { END_BLOCKS, rawEntry, rawHeader } from './tar-bytes.ts';
import { INSTALL_OK } from './tarball.ts';

const MIB = 2 ** 20;
const FILE_BYTES = 16 * MIB;

/** A mebibyte, every tenth byte of it hard to guess. */
function makePiece(seed: string): Buffer {
  const piece = Buffer.alloc(MIB);
  for (let at = 0, round = 0; at + 320 <= piece.length; at += 320)
    createHash('sha256').update(`${seed} ${round++}`).digest().copy(piece, at);
  return piece;
}

/** As `tar czf` would make it, but that every mebibyte is the same gzip member: made as fast as it is written. */
export function writePlainTarball(path: string, unpackedBytes: number): void {
  const member = gzipSync(makePiece('plain'), { level: 1 });
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, gzipSync(rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK)));
    for (let left = unpackedBytes, index = 0; left > 0; left -= FILE_BYTES, index++) {
      writeSync(fd, gzipSync(rawHeader({ name: `data-${index}`, size: FILE_BYTES })));
      for (let done = 0; done < FILE_BYTES; done += MIB) writeSync(fd, member);
    }
    writeSync(fd, gzipSync(END_BLOCKS));
  } finally {
    closeSync(fd);
  }
}

/** As `gwe --build-app` makes it; no two files are alike. */
export async function writeIndexedTarball(
  path: string,
  facts: { name: string; version: string },
  unpackedBytes: number,
): Promise<void> {
  const tree = mkdtempSync(join(tmpdir(), 'gwe-large-'));
  try {
    mkdirSync(join(tree, 'data'));
    const names = ['install.sh'];
    writeFile(join(tree, 'install.sh'), [Buffer.from(INSTALL_OK)], 0o755);
    for (let left = unpackedBytes, index = 0; left > 0; left -= FILE_BYTES, index++) {
      const pieces = Array.from({ length: FILE_BYTES / MIB }, (_, number) => makePiece(`${index} ${number}`));
      names.push(`data/${index}`);
      writeFile(join(tree, `data/${index}`), pieces, 0o644);
    }
    await packIndexed(path, { facts, entries: planPaths(tree, names, DEFAULT_LIMITS) });
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function writeFile(path: string, pieces: readonly Buffer[], mode: number): void {
  const fd = openSync(path, 'wx', mode);
  try {
    for (const piece of pieces) writeSync(fd, piece);
  } finally {
    closeSync(fd);
  }
}
