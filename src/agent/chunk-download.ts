/** Fetches the chunks of a new version that the gateway does not have, and unpacks it from these and those that it has. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ChunkPlan, planChunks } from '../artifact/chunk-plan.ts';
import { openUnpacking, type StreamContents } from '../artifact/extract.ts';
import { openTreeStream } from '../artifact/tree-stream.ts';
import { describeError, GweError } from '../base/errors.ts';
import { releaseBuffer } from '../base/memory.ts';
import type { ContentApi } from '../protocol/content.ts';
import type { PartCounts } from '../protocol/content-part.ts';
import { partDirectory } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { Asked } from './asked.ts';
import { type FeedCounts, feedChunks, MOST_AHEAD } from './chunk-feed.ts';
import type { Look } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';
import { openPatch, type PatchChunks } from './patch-chunks.ts';
import {
  askForPatch,
  fetchPatch,
  isPatchFault,
  keptPatch,
  type PatchOffer,
  removePatch,
  WORTH_ASKING_BYTES,
} from './patch-offer.ts';
import { openSeeds } from './seeds.ts';
import { createAdmission } from './trust.ts';

export type ChunkLook = Look & { kind: 'chunks' };

/** What an update by chunks would take. */
export interface ChunkAssessment {
  /** Bytes of the tarball. */
  sizeBytes: number;
  plan: ChunkPlan;
  /** Bytes over the wire: of the plan, and of the patch. */
  fetchBytes: number;
  /** What it would be without a patch. */
  chunkBytes: number;
  /** What most of it is made from, where that takes fewer bytes. */
  patch?: PatchOffer;
  /** What asking for a patch has cost. */
  asked: PartCounts;
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
  /** Whether the gateway seems to have the chunk. */
  isHere(at: number): boolean;
  stagedBytes: number;
  candidates(index: number, into: Buffer): Iterable<Buffer>;
  close(): void;
}

/** Without a trace on the disk. Throws CANCELLED. */
export async function assessChunks(
  context: AgentContext,
  api: ContentApi,
  asked: Asked,
  look: ChunkLook,
  signal: AbortSignal,
): Promise<ChunkAssessment> {
  const sources = await openSources(context, asked, look, { mayWrite: false, signal });
  try {
    return await choose(context, api, asked, look, sources, { signal, mayAsk: true });
  } finally {
    sources.close();
  }
}

/** By the patch, if there is one that saves bytes. A question is asked once in an update. */
async function choose(
  context: AgentContext,
  api: ContentApi,
  asked: Asked,
  look: ChunkLook,
  sources: Sources,
  { signal, mayAsk }: { signal: AbortSignal; mayAsk: boolean },
): Promise<ChunkAssessment> {
  const counts = { fetchedBytes: 0, requests: 0 };
  const without = assess(context, asked, look, sources, counts);
  const kept = keptPatch(context, asked, look) ?? look.offer;
  if (kept === undefined && without.chunkBytes < WORTH_ASKING_BYTES) return without;
  const worth = { worthBytes: without.chunkBytes, signal, counts, absent: look.absent };
  const offer = kept ?? (mayAsk ? await askForPatch(context, api, asked, look, worth) : undefined);
  return offer === undefined ? without : assess(context, asked, look, sources, counts, offer);
}

/**
 * Unpacks the version into `part`, where an earlier try may have left some of it; synced when it returns. Throws what
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
  const prepared = await prepare(context, api, asked, look, sources, { signal, counts }).catch(
    (error: unknown) => {
      sources.close();
      throw error;
    },
  );
  const { assessment, patch } = prepared;
  const { plan, sizeBytes } = assessment;
  const early = Buffer.from(look.head.subarray(look.chunks.at(0)?.fileOffset));
  releaseBuffer(look.head); // Its index has been read, and is long where there are many chunks.
  const unpacking = openUnpacking(part, {
    limits: artifactLimits(context.settings()),
    admit: createAdmission(context, { name: asked.app, version: asked.version }),
    keepsIndex: true,
  });
  try {
    for (const piece of look.stream) unpacking.write(piece);
    function* candidates(at: number, into: Buffer): Generator<Buffer> {
      yield* sources.candidates(at, into);
      if (patch?.read(at, into) === true) yield into;
    }
    let moreBytes = 0;
    const permit = (bytes: number): void => {
      moreBytes += bytes;
      permitMore(context, asked, assessment, { bytes, moreBytes });
    };
    const feed = { api, id: asked.contentId, sizeBytes, chunks: look.chunks, plan, early, permit };
    const sink = (bytes: Buffer): Promise<void> | undefined => {
      unpacking.write(bytes);
      return unpacking.room();
    };
    const onProgress = (doneBytes: number, totalBytes: number): void =>
      context.progress.move({ tx: asked.id, state: 'downloading', doneBytes, totalBytes });
    await feedChunks({ ...feed, candidates, sink, signal, log, onProgress }, counts);
    const contents = await unpacking.end();
    log.info('download.end', { id: asked.contentId, ...counts });
    return contents;
  } finally {
    unpacking.close();
    sources.close();
    patch?.close();
  }
}

/** What is to be fetched is allowed when it returns, and a patch is here. Throws what `downloadChunks` does. */
async function prepare(
  context: AgentContext,
  api: ContentApi,
  asked: Asked & Pick<Transaction, 'id' | 'urgent'>,
  look: ChunkLook,
  sources: Sources,
  { signal, counts }: { signal: AbortSignal; counts: FeedCounts },
): Promise<{ assessment: ChunkAssessment; patch?: PatchChunks }> {
  // Whoever has read the index before has asked for a patch as well.
  const mayAsk = look.requests > 0;
  const assessment = await choose(context, api, asked, look, sources, { signal, mayAsk });
  counts.fetchedBytes += assessment.asked.fetchedBytes;
  counts.requests += assessment.asked.requests;
  permit(context, asked, assessment);
  const { patch: offer } = assessment;
  if (offer === undefined) return { assessment };
  try {
    await fetchPatch(context, api, asked, offer, { signal, counts });
    const patch = openPatch(context, asked, offer, look.chunks);
    counts.note = describePatch(assessment, offer);
    return { assessment, patch };
  } catch (error) {
    if (!isPatchFault(error)) throw error;
    context.log.warn('patch.skip', { tx: asked.id, id: offer.source.id }, describeError(error));
    removePatch(context, asked);
    const without = assess(context, asked, look, sources, assessment.asked);
    permit(context, asked, without);
    return { assessment: without };
  }
}

/** The choice and what the others would have cost, for reports and people. */
export function describePatch(
  { fetchBytes, chunkBytes, sizeBytes }: ChunkAssessment,
  { from }: PatchOffer,
): string {
  return `by a patch from ${from}: ${fetchBytes} bytes, ${chunkBytes} by chunks, ${sizeBytes} as a whole`;
}

function permit(
  context: AgentContext,
  asked: Asked & Pick<Transaction, 'id' | 'urgent'>,
  { refusal, fetchBytes, plan, sizeBytes, wholesale, patch }: ChunkAssessment,
): void {
  if (refusal !== undefined) throw refusal;
  context.budget.require(`fetch '${asked.contentId}'`, fetchBytes, asked.urgent === true);
  const requests = plan.runs.length + (patch === undefined ? 0 : 1);
  const facts = { tx: asked.id, app: asked.app, id: asked.contentId, sizeBytes, fetchBytes, requests };
  const from = patch === undefined ? {} : { patch: patch.source.id };
  context.log.info('download.chunks', { ...facts, ...from }, wholesale);
}

/**
 * A patch, or what lies on the disk, may turn out to be worth nothing. What is fetched in its place, `bytes` now and
 * `moreBytes` by now, is held to the same policies: nobody gets around them by promising little.
 */
function permitMore(
  context: AgentContext,
  asked: Asked & Pick<Transaction, 'urgent'>,
  { fetchBytes, sizeBytes }: ChunkAssessment,
  { bytes, moreBytes }: { bytes: number; moreBytes: number },
): void {
  context.budget.require(`fetch '${asked.contentId}'`, bytes, asked.urgent === true);
  const allBytes = fetchBytes + moreBytes;
  const percent = Math.floor((allBytes * 100) / sizeBytes);
  if (percent <= context.settings().deltaFullAbove) return;
  const reason = `${percent} % of it, with chunks that a patch or the disk should have had`;
  const refusal = refuseWhole(context, asked, allBytes, reason);
  if (refusal !== undefined) throw refusal;
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
  /** The first chunk with the same content: two files may be alike, and by then it has been unpacked. */
  const earlier = (at: number): number => chunks.first(chunks.at(at)?.digest ?? '') ?? at;
  const hasEarlier = (at: number): boolean => earlier(at) < at - MOST_AHEAD;
  const isHere = (at: number): boolean => {
    const chunk = chunks.at(at);
    if (chunk === undefined) return false;
    return seeds.has(chunk) || hasEarlier(at) || staged.has(chunk.offset, chunk.sizeBytes);
  };
  const here = Uint8Array.from({ length: chunks.length }, (_, at) => (isHere(at) ? 1 : 0));
  return {
    isHere: (at) => here[at] === 1,
    stagedBytes: treeBytes(part),
    *candidates(at, into) {
      const chunk = chunks.at(at);
      if (chunk === undefined) return;
      for (const offset of new Set([chunk.offset, chunks.at(earlier(at))?.offset ?? 0]))
        if (staged.read(offset, into)) yield into;
      yield* seeds.candidates(chunk, into);
    },
    close() {
      staged.close();
      seeds.close();
    },
  };
}

function assess(
  context: AgentContext,
  asked: Asked,
  look: ChunkLook,
  { isHere, stagedBytes }: Pick<Sources, 'isHere' | 'stagedBytes'>,
  counts: PartCounts,
  offer?: PatchOffer,
): ChunkAssessment {
  const { chunks, head } = look;
  const last = chunks.at(-1);
  const sizeBytes = last === undefined ? 0 : last.fileOffset + last.compressedBytes;
  const byChunks = planChunks(chunks, isHere, GAP_BYTES, head.length);
  const covered = new Set(offer?.parts.flatMap((part) => part.chunks));
  const besides = planChunks(chunks, (at) => isHere(at) || covered.has(at), GAP_BYTES, head.length);
  const patchedBytes = besides.fetchBytes + (offer?.fetchBytes ?? 0);
  const isPatched = offer !== undefined && patchedBytes < byChunks.fetchBytes;
  const facts = {
    sizeBytes,
    plan: isPatched ? besides : byChunks,
    fetchBytes: isPatched ? patchedBytes : byChunks.fetchBytes,
    chunkBytes: byChunks.fetchBytes,
    ...(isPatched ? { patch: offer } : {}),
    asked: counts,
    stagedBytes,
  };
  const percent = Math.floor((facts.fetchBytes * 100) / sizeBytes);
  const limit = context.settings().deltaFullAbove;
  if (percent <= limit) return facts;
  const inOne = planChunks(chunks, isHere, sizeBytes, head.length);
  const wholesale = `${percent} % of it is not on the gateway, more than ${limit} % (delta_full_above): fetched in one go`;
  const refusal = refuseWhole(context, asked, inOne.fetchBytes, wholesale);
  const { patch: _unused, ...rest } = facts;
  return {
    ...rest,
    plan: inOne,
    fetchBytes: inOne.fetchBytes,
    wholesale,
    ...(refusal === undefined ? {} : { refusal }),
  };
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
