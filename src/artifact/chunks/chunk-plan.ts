import type { Items } from '../json-lists.ts';
import type { PlacedChunk } from './chunk-table.ts';

/** Which stretches of a tarball to ask for, given the chunks that are on the gateway already. Pure. */

/** Chunks in a row that come over the wire in one go. */
export interface FetchRun {
  first: number;
  /** The one behind the last. */
  end: number;
}

export interface ChunkPlan {
  /** In order, apart from each other. */
  runs: FetchRun[];
  /** Bytes of the tarball that are fetched: missing chunks and the gaps between them. */
  fetchBytes: number;
  /** How many of these belong to chunks that are here: fewer than another request would cost. */
  gapBytes: number;
  /** Bytes of the tarball that are not fetched. */
  reusedBytes: number;
}

/**
 * `isHere` says for each chunk whether the gateway seems to have it. Runs that are at most `gapBytes` apart are one.
 * Bytes in front of `haveBytes` of the file are here already, in whatever chunk.
 */
export function planChunks(
  chunks: Items<PlacedChunk>,
  isHere: (index: number) => boolean,
  gapBytes: number,
  haveBytes = 0,
): ChunkPlan {
  const runs: FetchRun[] = [];
  let gaps = 0;
  let waiting = 0;
  let allBytes = 0;
  let at = -1;
  for (const chunk of chunks) {
    at++;
    allBytes += chunk.compressedBytes;
    if (chunk.fileOffset + chunk.compressedBytes <= haveBytes) continue;
    const last = runs.at(-1);
    if (isHere(at)) {
      waiting += chunk.compressedBytes;
    } else if (last !== undefined && waiting <= gapBytes) {
      gaps += waiting;
      last.end = at + 1;
      waiting = 0;
    } else {
      runs.push({ first: at, end: at + 1 });
      waiting = 0;
    }
  }
  const fetchBytes = runs.reduce((sum, run) => sum + runBytes(chunks, run, haveBytes), 0);
  return { runs, fetchBytes, gapBytes: gaps, reusedBytes: allBytes - fetchBytes };
}

/** The first byte of the tarball that a run needs, and the one behind its last. */
export function runStretch(
  chunks: Items<PlacedChunk>,
  run: FetchRun,
  haveBytes = 0,
): { start: number; end: number } {
  const first = chunks.at(run.first);
  const last = run.end > 0 ? chunks.at(run.end - 1) : undefined;
  if (first === undefined || last === undefined) return { start: 0, end: 0 };
  const end = last.fileOffset + last.compressedBytes;
  return { start: Math.min(end, Math.max(first.fileOffset, haveBytes)), end };
}

function runBytes(chunks: Items<PlacedChunk>, run: FetchRun, haveBytes: number): number {
  const { start, end } = runStretch(chunks, run, haveBytes);
  return end - start;
}
