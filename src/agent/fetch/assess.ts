/** What an update by chunks would take, and whether that is better than the whole tarball. */
import { type ChunkPlan, planChunks } from '../../artifact/chunks/chunk-plan.ts';
import { GweError } from '../../base/errors.ts';
import type { TransferCounts } from '../../protocol/transfer.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { type ChunkSources, openSources } from './chunk-sources.ts';
import type { ChunkedInspection } from './inspect-item.ts';
import { type Item, withOwnCounts } from './item.ts';
import { askForPatch, findStoredPatch, type PatchOffer, WORTH_ASKING_BYTES } from './patch-offer.ts';

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
  /** What requesting a patch has cost. */
  patchSearch: TransferCounts;
  /** Bytes of the tree that an interrupted try has left. */
  stagedBytes: number;
  /** Why it is fetched in one go, if it is. */
  wholeReason?: string;
  /** Why it would not be fetched at all. */
  refusal?: GweError;
}

/**
 * Chunks that are here are fetched all the same where another request would cost more: at 200 kbit/s and 300 ms a round
 * trip is worth 7.5 KB, and a request on an open connection about 0.7 KB of headers.
 */
export const GAP_BYTES: number = 8 * 1024;

/** Without a trace on the disk. Throws CANCELLED. */
export async function assessChunks(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
  inspection: ChunkedInspection,
): Promise<ChunkAssessment> {
  const sources = await openSources(context, item, inspection, { mayWrite: false });
  try {
    return await chooseMethod(context, item, inspection, { sources, mayAsk: true });
  } finally {
    sources.close();
  }
}

/** By the patch, if there is one that saves bytes. Each patch is requested once in an update. */
export async function chooseMethod(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
  inspection: ChunkedInspection,
  { sources, mayAsk }: { sources: ChunkSources; mayAsk: boolean },
): Promise<ChunkAssessment> {
  const search = withOwnCounts(item);
  const patchSearch = search.counts;
  const { request } = item;
  const without = assess(context, request, inspection, { sources, patchSearch });
  const kept = findStoredPatch(context, request, inspection) ?? inspection.offer;
  if (kept === undefined && without.chunkBytes < WORTH_ASKING_BYTES) return without;
  const worth = { worthBytes: without.chunkBytes, absent: inspection.absent };
  const offer = kept ?? (mayAsk ? await askForPatch(context, search, inspection, worth) : undefined);
  return offer === undefined
    ? without
    : assess(context, request, inspection, { sources, patchSearch, offer });
}

interface AssessedBy {
  sources: Pick<ChunkSources, 'isHere' | 'stagedBytes'>;
  patchSearch: TransferCounts;
  offer?: PatchOffer;
}

export function assess(
  context: Pick<AgentContext, 'settings' | 'installed'>,
  request: UpdateRequest,
  inspection: ChunkedInspection,
  { sources, patchSearch, offer }: AssessedBy,
): ChunkAssessment {
  const { isHere, stagedBytes } = sources;
  const { chunks, head } = inspection;
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
    patchSearch,
    stagedBytes,
  };
  const percent = Math.floor((facts.fetchBytes * 100) / sizeBytes);
  const limit = context.settings().deltaFullAbove;
  if (percent <= limit) return facts;
  const inOne = planChunks(chunks, isHere, sizeBytes, head.length);
  const wholeReason = `${percent} % of it is not on the gateway, more than ${limit} % (delta_full_above): fetched in one go`;
  const refusal = refuseWhole(context, request, inOne.fetchBytes, wholeReason);
  const { patch: _unused, ...rest } = facts;
  return {
    ...rest,
    plan: inOne,
    fetchBytes: inOne.fetchBytes,
    wholeReason,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

/**
 * DOWNLOAD_REFUSED where the policy of this gateway (delta_fallback) does not allow that a new version of an app that
 * it has is fetched as a whole. An app that it does not have yet cannot be fetched for less.
 */
export function refuseWhole(
  context: Pick<AgentContext, 'settings' | 'installed'>,
  request: UpdateRequest,
  fetchBytes: number,
  reason: string,
): GweError | undefined {
  const policy = context.settings().deltaFallback;
  if (policy === 'full' || context.installed.get(request.app).active === undefined) return undefined;
  const mostBytes = policy === 'fail' ? 0 : Number(policy.replace(/^full-below\s+/, ''));
  if (fetchBytes < mostBytes) return undefined;
  return new GweError(
    'DOWNLOAD_REFUSED',
    `cannot fetch '${request.contentId}': ${fetchBytes} bytes would come over the wire (${reason}), ` +
      `and delta_fallback is '${policy}'; allow it: gwe --set delta_fallback=full`,
    { facts: { fetchBytes } },
  );
}
