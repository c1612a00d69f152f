/**
 * Fetches the chunks of a new version that the gateway does not have, and unpacks it from these and those that it
 * has.
 */
import { openUnpacking, type StreamContents } from '../../artifact/unpack/extract.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { releaseBuffer } from '../../base/memory.ts';
import { createAdmission } from '../admission/admission.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { type AssemblyOptions, assembleChunks } from './assemble-chunks.ts';
import { assess, type ChunkAssessment, chooseMethod, refuseWhole } from './assess.ts';
import { type ChunkSources, openSources } from './chunk-sources.ts';
import type { ChunkedInspection } from './inspect-item.ts';
import { addCounts, type Item } from './item.ts';
import { openPatch, type PatchChunks } from './patch-chunks.ts';
import { fetchPatch, isPatchFault, type PatchOffer, removePatch } from './patch-offer.ts';

/**
 * Unpacks the version into `part`, where an earlier try may have left some of it; synced when it returns. Throws what
 * `fetchPart` and unpacking do; DOWNLOAD_DIGEST for bytes that are not what the manifest lists; `counts` is true then
 * too.
 */
export async function downloadChunks(
  context: AgentContext,
  item: Item,
  inspection: ChunkedInspection,
  part: string,
): Promise<StreamContents> {
  const { request } = item;
  const sources = await openSources(context, item, inspection, { mayWrite: true });
  const prepared = await prepare(context, item, inspection, sources).catch((error: unknown) => {
    sources.close();
    throw error;
  });
  const assembly = assemblyOf(context, item, inspection, { ...prepared, sources });
  const unpacking = openUnpacking(part, {
    limits: artifactLimits(context.settings()),
    admit: createAdmission(context, { name: request.app, version: request.version }),
    keepsIndex: true,
  });
  try {
    for (const piece of inspection.stream) unpacking.write(piece);
    const sink = (bytes: Buffer): Promise<void> | undefined => {
      unpacking.write(bytes);
      return unpacking.room();
    };
    await assembleChunks({ ...assembly, sink }, item.counts);
    const contents = await unpacking.end();
    logOf(context, request).info('download.end', { id: request.contentId, ...item.counts });
    return contents;
  } finally {
    unpacking.close();
    sources.close();
    prepared.patch?.close();
  }
}

function logOf(context: Pick<AgentContext, 'log'>, { id, app }: UpdateRequest): Logger {
  return context.log.with({ tx: id, app });
}

interface Prepared {
  assessment: ChunkAssessment;
  patch?: PatchChunks;
}

/** Where each chunk comes from, and what may be fetched beyond the plan. */
function assemblyOf(
  context: Pick<AgentContext, 'log' | 'settings' | 'installed' | 'budget'>,
  { api, request, signal, onProgress }: Item,
  { head, chunks }: ChunkedInspection,
  { assessment, patch, sources }: Prepared & { sources: ChunkSources },
): Omit<AssemblyOptions, 'sink'> {
  const early = Buffer.from(head.subarray(chunks.at(0)?.fileOffset));
  releaseBuffer(head); // Its index has been read, and is long where there are many chunks.
  let moreBytes = 0;
  return {
    api,
    id: request.contentId,
    sizeBytes: assessment.sizeBytes,
    chunks,
    plan: assessment.plan,
    early,
    signal,
    log: logOf(context, request),
    *candidates(at, into) {
      yield* sources.candidates(at, into);
      if (patch?.read(at, into) === true) yield into;
    },
    permit(bytes) {
      moreBytes += bytes;
      permitMore(context, request, assessment, { bytes, moreBytes });
    },
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}

/** What is to be fetched is allowed when it returns, and a patch is here. Throws what `downloadChunks` does. */
async function prepare(
  context: AgentContext,
  item: Item,
  inspection: ChunkedInspection,
  sources: ChunkSources,
): Promise<Prepared> {
  const { request, counts } = item;
  // Whoever has read the index before has asked for a patch as well.
  const mayAsk = inspection.requests > 0;
  const assessment = await chooseMethod(context, item, inspection, { sources, mayAsk });
  addCounts(counts, assessment.patchSearch);
  permit(context, request, assessment);
  const { patch: offer } = assessment;
  if (offer === undefined) return { assessment };
  try {
    await fetchPatch(context, item, offer);
    const patch = openPatch(context, request, offer, inspection.chunks);
    counts.note = describePatch(assessment, offer);
    return { assessment, patch };
  } catch (error) {
    if (!isPatchFault(error)) throw error;
    context.log.warn('patch.skip', { tx: request.id, id: offer.source.id }, describeError(error));
    removePatch(context, request);
    const { patchSearch } = assessment;
    const without = assess(context, request, inspection, { sources, patchSearch });
    permit(context, request, without);
    return { assessment: without };
  }
}

/** The choice and what the others would have cost, for reports and people. */
function describePatch({ fetchBytes, chunkBytes, sizeBytes }: ChunkAssessment, { from }: PatchOffer): string {
  return `by a patch from ${from}: ${fetchBytes} bytes, ${chunkBytes} by chunks, ${sizeBytes} as a whole`;
}

function permit(
  context: Pick<AgentContext, 'log' | 'budget'>,
  request: UpdateRequest,
  { refusal, fetchBytes, plan, sizeBytes, wholeReason, patch }: ChunkAssessment,
): void {
  if (refusal !== undefined) throw refusal;
  context.budget.require(`fetch '${request.contentId}'`, fetchBytes, request.urgent === true);
  const requests = plan.runs.length + (patch === undefined ? 0 : 1);
  const facts = { tx: request.id, app: request.app, id: request.contentId, sizeBytes, fetchBytes, requests };
  const from = patch === undefined ? {} : { patch: patch.source.id };
  context.log.info('download.chunks', { ...facts, ...from }, wholeReason);
}

/**
 * A patch, or what lies on the disk, may turn out to be worth nothing. What is fetched in its place, `bytes` now and
 * `moreBytes` by now, is held to the same policies: nobody can circumvent them by promising little.
 */
function permitMore(
  context: Pick<AgentContext, 'settings' | 'installed' | 'budget'>,
  request: UpdateRequest,
  { fetchBytes, sizeBytes }: ChunkAssessment,
  { bytes, moreBytes }: { bytes: number; moreBytes: number },
): void {
  context.budget.require(`fetch '${request.contentId}'`, bytes, request.urgent === true);
  const allBytes = fetchBytes + moreBytes;
  const percent = Math.floor((allBytes * 100) / sizeBytes);
  if (percent <= context.settings().deltaFullAbove) return;
  const reason = `${percent} % of it, including chunks that a patch or the disk should have provided`;
  const refusal = refuseWhole(context, request, allBytes, reason);
  if (refusal !== undefined) throw refusal;
}
