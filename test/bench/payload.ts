/**
 * Trees of files that compress like software does, the same bytes on every machine: a third text, a half program-like
 * records, the rest incompressible (`gzip -6` makes about 40 % of the whole).
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export interface Payload {
  name: string;
  /** Bytes of its files, about. */
  sizeBytes: number;
  files: number;
}

export const PAYLOADS: readonly Payload[] = [
  { name: 'small', sizeBytes: 2e6, files: 60 },
  { name: 'medium', sizeBytes: 20e6, files: 800 },
  { name: 'large', sizeBytes: 200e6, files: 1500 },
];

/** Raised when the bytes made change. */
const RECIPE = 1;
const PIECE_BYTES = 256 * 1024;

/** Numbers from 0 to 2^32-1 that look random and are the same everywhere (xorshift32). */
export function numbers(seed: string): () => number {
  let state = createHash('sha256').update(seed).digest().readUInt32LE() | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** The tree of `payload` below `directory`, made once; returns its path. */
export function payloadTree(directory: string, payload: Payload): string {
  const { name, sizeBytes, files } = payload;
  const tree = join(directory, `${name}-${sizeBytes}-${files}-${RECIPE}`);
  if (existsSync(tree)) return tree;
  const making = `${tree}.making`;
  rmSync(making, { recursive: true, force: true });
  const shares = fileShares(payload);
  for (const [index, share] of shares.entries()) {
    const path = join(making, `part${index % 17}`, `file-${index}.${['txt', 'bin', 'dat'][index % 3]}`);
    mkdirSync(dirname(path), { recursive: true });
    writeContent(path, Math.max(64, Math.round(share * sizeBytes)), `${name}/${index}`);
  }
  writeFileSync(join(making, 'install.sh'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
  renameSync(making, tree);
  return tree;
}

/** Shares of the whole: a few files hold most of it, as in software. */
function fileShares({ name, files }: Payload): number[] {
  const next = numbers(`shares of ${name}`);
  const weights = Array.from({ length: files }, () => 1 / (0.002 + next() / 2 ** 32) ** 1.3);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function writeContent(path: string, sizeBytes: number, seed: string): void {
  const next = numbers(seed);
  const fill = FILLERS[next() % FILLERS.length] ?? fillRandom;
  const piece = Buffer.alloc(PIECE_BYTES);
  const fd = openSync(path, 'w', 0o644);
  try {
    for (let left = sizeBytes; left > 0; ) {
      fill(piece, next);
      left -= writeSync(fd, piece, 0, Math.min(left, PIECE_BYTES));
    }
  } finally {
    closeSync(fd);
  }
}

type Filler = (piece: Buffer, next: () => number) => void;

/** Words of an alphabet of 2,048 made-up ones, the frequent ones often. */
function fillText(piece: Buffer, next: () => number): void {
  for (let at = 0; at < piece.length; ) {
    const word = next();
    const rank = (word & 0x7ff) >> (word >>> 29);
    at += piece.write(`${(rank * 7919).toString(36)}${word % 9 === 0 ? '\n' : ' '}`, at, 'latin1') || 1;
  }
}

/** Records of 8 bytes, most of which change little, as instructions and tables do. */
function fillRecords(piece: Buffer, next: () => number): void {
  for (let at = 0; at + 8 <= piece.length; at += 8) {
    const number = next();
    piece.writeUInt32LE((number & 0x3f) * 0x01010401, at);
    piece.writeUInt32LE((number >>> 8) & (number & 0x80 ? 0xffff : 0x3ff), at + 4);
  }
}

function fillRandom(piece: Buffer, next: () => number): void {
  for (let at = 0; at + 4 <= piece.length; at += 4) piece.writeUInt32LE(next(), at);
}

const FILLERS: readonly Filler[] = [fillText, fillText, fillRecords, fillRecords, fillRecords, fillRandom];
