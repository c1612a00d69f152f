/** Fetches the chunks of a new version that the gateway does not have, and unpacks it from these and those that it has. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ChunkPlan, planChunks } from '../artifact/chunk-plan.ts';
import { openUnpacking, type StreamContents } from '../artifact/extract.ts';
import type { PlacedChunk } from '../artifact/index-bytes.ts';
import { openTreeStream } from '../artifact/tree-stream.ts';
import { GweError } from '../base/errors.ts';
import type { ContentApi } from '../protocol/content.ts';
import { partDirectory } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { Asked } from './asked.ts';
import { type FeedCounts, feedChunks, MOST_AHEAD } from './chunk-feed.ts';
import type { Look } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';
import { openSeeds } from './seeds.ts';
import { createAdmission } from './trust.ts';

export type ChunkLook = Look & { kind: 'chunks' };

/** What an update by chunks would take. */
export interface ChunkAssessment {
  /** Bytes of the tarball. */
  sizeBytes: number;
  plan: ChunkPlan;
  /** Bytes of the tree that an interrupted try has left. */
  stagedBytes: number;
  /** Why it is fetched in one go, if it is. */
  wholesale?: string;
  /** Why it would not be fetched at all. */
  refusal?: GweError;
}

/**
 * Chunks that are here are fetched all the same where another request would cost more: at 200 kbit/s and 300 ms a round
 * trip is worth 7.5 KB, and a request on an open connection about 0.7 KB of headers.
 */
export const GAP_BYTES: number = 8 * 1024;

interface Sources {
  assessment: ChunkAssessment;
  candidates(index: number, into: Buffer): Iterable<Buffer>;
  close(): void;
}

/** Without a trace on the disk. Throws CANCELLED. */
export async function assessChunks(
  context: AgentContext,
  asked: Asked,
  look: ChunkLook,
  signal: AbortSignal,
): Promise<ChunkAssessment> {
  const sources = await openSources(context, asked, look, { mayWrite: false, signal });
  sources.close();
  return sources.assessment;
}

/**
 * Unpacks the version into `part`, where an earlier try may have left some of it. Nothing is synced. Throws what
 * `fetchPart` and unpacking do; DOWNLOAD_DIGEST for bytes that are not what the manifest lists; `counts` is true then too.
 */
export async function downloadChunks(
  context: AgentContext,
  api: ContentApi,
  asked: Asked & Pick<Transaction, 'id' | 'urgent'>,
  look: ChunkLook,
  options: { part: string; signal: AbortSignal; counts: FeedCounts },
): Promise<StreamContents> {
  const { part, signal, counts } = options;
  const log = context.log.with({ tx: asked.id, app: asked.app });
  const sources = await openSources(context, asked, look, { mayWrite: true, signal });
  const { assessment } = sources;
  const { plan, sizeBytes } = assessment;
  try {
    if (assessment.refusal !== undefined) throw assessment.refusal;
    context.budget.require(`fetch '${asked.contentId}'`, plan.fetchBytes, asked.urgent === true);
  } catch (error) {
    sources.close();
    throw error;
  }
  const facts = { id: asked.contentId, sizeBytes, fetchBytes: plan.fetchBytes, requests: plan.runs.length };
  log.info('download.chunks', facts, assessment.wholesale);
  const unpacking = openUnpacking(part, {
    limits: artifactLimits(context.settings()),
    admit: createAdmission(context, { name: asked.app, version: asked.version }),
  });
  try {
    unpacking.write(look.stream);
    const { candidates } = sources;
    const feed = { api, id: asked.contentId, sizeBytes, chunks: look.chunks, plan, head: look.head };
    await feedChunks({ ...feed, candidates, sink: (bytes) => unpacking.write(bytes), signal, log }, counts);
    const contents = unpacking.end();
    log.info('download.end', { id: asked.contentId, ...counts });
    return contents;
  } finally {
    unpacking.close();
    sources.close();
  }
}

/** Everything that chunks can come from, and what it leaves to be fetched. */
async function openSources(
  context: AgentContext,
  asked: Asked,
  look: ChunkLook,
  options: { mayWrite: boolean; signal: AbortSignal },
): Promise<Sources> {
  const { chunks, index } = look;
  const seeds = await openSeeds(context, asked.app, chunks, options);
  const part = partDirectory(context.layout, asked.app, index.digest);
  const staged = openTreeStream(part, index.manifest, { rootPrefix: '', mayBePartial: true });
  const earlier = firstOfEach(chunks);
  const hasEarlier = (at: number): boolean => earlier(at) < at - MOST_AHEAD;
  const isHere = (at: number): boolean => {
    const chunk = chunks[at];
    if (chunk === undefined) return false;
    return seeds.has(chunk) || hasEarlier(at) || staged.has(chunk.offset, chunk.sizeBytes);
  };
  const here = chunks.map((_chunk, at) => isHere(at));
  return {
    assessment: assess(context, asked, look, (at) => here[at] === true, treeBytes(part)),
    *candidates(at, into) {
      const chunk = chunks[at];
      if (chunk === undefined) return;
      for (const offset of new Set([chunk.offset, chunks[earlier(at)]?.offset ?? 0]))
        if (staged.read(offset, into)) yield into;
      yield* seeds.candidates(chunk, into);
    },
    close() {
      staged.close();
      seeds.close();
    },
  };
}

/** The first chunk with the same content: two files may be alike, and by then it has been unpacked. */
function firstOfEach(chunks: readonly PlacedChunk[]): (at: number) => number {
  const first = new Map<string, number>();
  for (const [at, { digest }] of chunks.entries()) if (!first.has(digest)) first.set(digest, at);
  return (at) => first.get(chunks[at]?.digest ?? '') ?? at;
}

function assess(
  context: AgentContext,
  asked: Asked,
  look: ChunkLook,
  isHere: (at: number) => boolean,
  stagedBytes: number,
): ChunkAssessment {
  const { chunks, head } = look;
  const last = chunks.at(-1);
  const sizeBytes = last === undefined ? 0 : last.fileOffset + last.compressedBytes;
  const plan = planChunks(chunks, isHere, GAP_BYTES, head.length);
  const facts = { sizeBytes, plan, stagedBytes };
  const percent = Math.floor((plan.fetchBytes * 100) / sizeBytes);
  const limit = context.settings().deltaFullAbove;
  if (percent <= limit) return facts;
  const inOne = planChunks(chunks, isHere, sizeBytes, head.length);
  const wholesale = `${percent} % of it is not on the gateway, more than ${limit} % (delta_full_above): fetched in one go`;
  const refusal = refuseWhole(context, asked, inOne.fetchBytes, wholesale);
  return { ...facts, plan: inOne, wholesale, ...(refusal === undefined ? {} : { refusal }) };
}

/**
 * DOWNLOAD_REFUSED where the policy of this gateway (delta_fallback) does not allow that a new version of an app that it
 * has is fetched as a whole. An app that it does not have yet cannot be had for less.
 */
export function refuseWhole(
  context: AgentContext,
  asked: Asked,
  fetchBytes: number,
  reason: string,
): GweError | undefined {
  const policy = context.settings().deltaFallback;
  if (policy === 'full' || context.installed.get(asked.app).active === undefined) return undefined;
  const mostBytes = policy === 'fail' ? 0 : Number(policy.replace(/^full-below\s+/, ''));
  if (fetchBytes < mostBytes) return undefined;
  return new GweError(
    'DOWNLOAD_REFUSED',
    `cannot fetch '${asked.contentId}': ${fetchBytes} bytes would come over the wire (${reason}), ` +
      `and delta_fallback is '${policy}'; allow it: gwe --set delta_fallback=full`,
    { facts: { fetchBytes } },
  );
}

/** Bytes of the files below `directory`; 0 if there is none. */
export function treeBytes(directory: string): number {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return 0;
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const at = join(directory, entry.name);
    if (entry.isDirectory()) bytes += treeBytes(at);
    else if (entry.isFile()) bytes += lstatSync(at).size;
  }
  return bytes;
}
