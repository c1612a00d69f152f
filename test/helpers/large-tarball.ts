/** Tarballs of any size that are quick to make, of content that is a tenth of its size under gzip. */
import { closeSync, mkdirSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { packIndexed } from '../../src/artifact/make/pack-indexed.ts';
import { planPaths } from '../../src/artifact/make/plan-tree.ts';
import { numbers } from '../bench/payload.ts';
import { removeRoot } from './remove-root.ts';
import { END_BLOCKS, rawEntry, rawHeader } from './tar-bytes.ts';
import { INSTALL_OK } from './tarball.ts';

const MIB = 2 ** 20;
const FILE_BYTES = 16 * MIB;
const SNIPPET_BYTES = 48;

/** A mebibyte of snippets that were all there before, each at a place that is hard to guess. */
function makePiece(seed: string): Buffer {
  const piece = Buffer.alloc(MIB);
  const next = numbers(seed);
  for (let at = 0; at < 8192; at += 4) piece.writeUInt32LE(next(), at);
  for (let at = 8192; at < piece.length; at += SNIPPET_BYTES) {
    const from = next() % 8000;
    piece.copyWithin(at, from, from + SNIPPET_BYTES);
  }
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

/**
 * As `gwe --build-app` makes it; no two files are alike, and only the last differs between versions. Returns the
 * digest of the manifest.
 */
export async function writeIndexedTarball(
  path: string,
  facts: { name: string; version: string },
  unpackedBytes: number,
): Promise<string> {
  const tree = mkdtempSync(join(tmpdir(), 'gwe-large-'));
  try {
    mkdirSync(join(tree, 'data'));
    const names = ['install.sh'];
    writeFile(join(tree, 'install.sh'), [Buffer.from(INSTALL_OK)], 0o755);
    const last = Math.ceil(unpackedBytes / FILE_BYTES) - 1;
    const seed = (index: number, number: number): string =>
      `${index} ${number} ${index === last ? facts.version : ''}`;
    for (let index = 0; index <= last; index++) {
      const pieces = Array.from({ length: FILE_BYTES / MIB }, (_, number) => makePiece(seed(index, number)));
      names.push(`data/${index}`);
      writeFile(join(tree, `data/${index}`), pieces, 0o644);
    }
    const entries = planPaths(tree, names, DEFAULT_LIMITS);
    return (await packIndexed(path, { facts, entries })).digest;
  } finally {
    removeRoot(tree);
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
