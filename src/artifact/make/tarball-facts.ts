/**
 * What a developer wants to know about a tarball before it is released: how it is cut, and what an update to it
 * moves.
 */
import { createReadStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { wrapError } from '../../base/errors.ts';
import { removeTree } from '../../base/remove-tree.ts';
import { planChunks } from '../chunks/chunk-plan.ts';
import { ChunkTable } from '../chunks/chunk-table.ts';
import { BodyCutter } from '../chunks/chunker.ts';
import { checkChunkTable } from '../chunks/members.ts';
import { quote } from '../faults.ts';
import { chunkDigest, chunkFacts } from '../manifest/manifest.ts';
import { META_DIRECTORY } from '../manifest/meta-files.ts';
import type { ArtifactContents } from '../unpack/contents.ts';
import { extractArtifact, inspectArtifact, type ReadOptions } from '../unpack/extract.ts';
import { tarBytes } from './pack.ts';
import { listTree, planPaths } from './plan-tree.ts';

/** What `gzip` does unless told otherwise. */
const USUAL_LEVEL = 6;
const READ_BYTES = 256 * 1024;

export interface ChunkStatistics {
  count: number;
  /** The size of a chunk's content. */
  meanBytes: number;
  leastBytes: number;
  mostBytes: number;
  /** The size of all content, and of all members that hold it. */
  bodyBytes: number;
  compressedBytes: number;
  /** Manifest and signatures, compressed: what is fetched to know which chunks are missing. */
  indexBytes: number;
  /** What one gzip member of the same tar stream takes, at level 6. */
  onePieceBytes: number;
}

/** How `file` is cut; `undefined` for one without a chunk table. Throws ARTIFACT_MANIFEST for a table that is wrong. */
export async function chunkStatistics(
  file: string,
  { index, compressedBytes: sizeBytes }: ArtifactContents,
  signal?: AbortSignal,
): Promise<ChunkStatistics | undefined> {
  const facts = index === undefined ? [] : chunkFacts(index.manifest);
  if (index === undefined || facts.length === 0) return undefined;
  await checkChunkTable(file, index, signal);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const sizes = facts.map((fact) => fact.sizeBytes).sort((a, b) => a - b);
  const bodyBytes = sum(sizes);
  const compressedBytes = sum(facts.map((fact) => fact.compressedBytes));
  return {
    count: facts.length,
    meanBytes: Math.round(bodyBytes / facts.length),
    leastBytes: sizes[0] ?? 0,
    mostBytes: sizes.at(-1) ?? 0,
    bodyBytes,
    compressedBytes,
    indexBytes: sizeBytes - compressedBytes,
    onePieceBytes: await compressInOne(file, signal),
  };
}

async function compressInOne(file: string, signal: AbortSignal | undefined): Promise<number> {
  let bytes = 0;
  const count = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    for await (const piece of pieces) bytes += piece.length;
  };
  try {
    await pipeline(
      createReadStream(file, { highWaterMark: READ_BYTES }),
      createGunzip({ chunkSize: READ_BYTES }),
      createGzip({ level: USUAL_LEVEL, chunkSize: READ_BYTES }),
      count,
      { signal },
    );
  } catch (error) {
    throw wrapError(error, signal?.aborted ? 'CANCELLED' : 'STORE_IO', `cannot read tarball ${quote(file)}`);
  }
  return bytes;
}

export interface UpdateCost {
  /** Index, missing chunks, and what lies between them and is not worth another request. */
  fetchBytes: number;
  /** With the one for the index. */
  requests: number;
  /** Whether the old version has no chunk table, and was cut as a gateway does it. */
  isOldCut: boolean;
}

/**
 * What a gateway that has nothing but `oldFile` fetches of the tarball whose contents are `next`, cut as `statistics`
 * say (`undefined`: not at all). Stretches that are at most `gapBytes` apart come in one request.
 */
export async function updateCost(
  oldFile: string,
  next: ArtifactContents,
  { statistics, gapBytes }: { statistics: ChunkStatistics | undefined; gapBytes: number },
  options: ReadOptions,
): Promise<UpdateCost> {
  const old = await inspectArtifact(oldFile, { ...options, isElsewhere: true });
  const isOldCut = old.index?.manifest.chunks === undefined;
  const { index } = next;
  if (statistics === undefined || index === undefined)
    return { fetchBytes: next.compressedBytes, requests: 1, isOldCut };
  const had = new Set(
    old.index === undefined || isOldCut
      ? await cutAsGatewaysDo(oldFile, options)
      : chunkFacts(old.index.manifest).map(({ digest }) => digest),
  );
  const chunks = new ChunkTable(index.manifest.chunks ?? [], statistics.indexBytes);
  // A chunk that occurs twice is fetched once.
  const isHere = Array.from(chunks, ({ digest }) => had.size === had.add(digest).size);
  const plan = planChunks(chunks, (at) => isHere[at] === true, gapBytes);
  return {
    fetchBytes: statistics.indexBytes + plan.fetchBytes,
    requests: 1 + plan.runs.length,
    isOldCut,
  };
}

/** The digests of the chunks of a tarball without a table. */
async function cutAsGatewaysDo(file: string, options: ReadOptions): Promise<string[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-inspect-'));
  try {
    const tree = join(scratch, 'tree');
    await extractArtifact(file, tree, { ...options, mask: 0o777, isElsewhere: true });
    const paths = listTree(tree, '').filter((path) => path.split('/')[0] !== META_DIRECTORY);
    const entries = planPaths(tree, paths, options.limits, { modeBits: 0o777, hasFreeLinks: true });
    const cutter = new BodyCutter(entries);
    const digests: string[] = [];
    for (const piece of tarBytes(entries))
      for (const chunk of cutter.take(piece)) digests.push(chunkDigest(chunk));
    return digests;
  } finally {
    removeTree(scratch);
  }
}
