/** A patch in the content area from a version that is installed: asked for, and kept beside the index. */
import { basename } from 'node:path';
import type { ChunkTable } from '../../artifact/chunks/chunk-table.ts';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import { decodeDirectory, type PlacedPart, patchName } from '../../artifact/patch/format.ts';
import { patchFault } from '../../artifact/patch/patch-error.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { ensureDirectory } from '../../base/fs.ts';
import { fetchPart } from '../../protocol/content-part.ts';
import {
  openPartialFile,
  type PartialSource,
  partialSource,
  removePartialFile,
} from '../../protocol/partial-file.ts';
import { RangesIgnored } from '../../protocol/retry.ts';
import { itemFiles } from '../../store/downloads.ts';
import { versionOfDirectory } from '../../store/layout.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import type { Item } from './item.ts';
import { type PatchBase, patchBases } from './patch-base.ts';
import { askForHead, readKeptHead } from './patch-head.ts';

/** The version that a patch leads to. */
interface PatchGoal {
  index: ArtifactIndex;
  chunks: ChunkTable;
}

export interface PatchOffer {
  source: PartialSource;
  /** The installed version that it starts from. */
  from: string;
  directory: string;
  parts: readonly PlacedPart[];
  /** The first bytes of it that are here; more may be on the disk. */
  head: Buffer;
  /** Bytes that are still to be fetched. */
  fetchBytes: number;
}

/** Fewer missing bytes are not worth the requests. */
export const WORTH_ASKING_BYTES: number = 16 * 1024;
/** Versions that a patch may start from: each costs a request. */
const MOST_ASKED = 3;
/** The digests in a patch say which one it is, so nobody has to be asked when it was uploaded. */
export const UPDATED = 0;

/** A patch that an earlier step of this update has found; `undefined` if it found none. */
export function findStoredPatch(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  request: UpdateRequest,
  inspection: PatchGoal,
): PatchOffer | undefined {
  const path = itemFiles(context.layout, request.contentId).patch;
  const source = partialSource(path);
  const base = patchBases(context, request.app).find(
    ({ digest }) => nameFor(inspection, digest) === source?.id,
  );
  if (source === undefined || base === undefined) return undefined;
  try {
    const head = readKeptHead(path, source);
    const offer = openOffer(inspection, base, source, head);
    return { ...offer, fetchBytes: source.sizeBytes - source.keptBytes };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.debug('patch.skip', { id: source.id }, describeError(error));
    return undefined;
  }
}

/**
 * Asks for a patch from each installed version, the active one first, and takes the smallest that has fewer than
 * `worthBytes`. Whatever fails, there is none. Throws CANCELLED.
 */
export async function askForPatch(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
  inspection: PatchGoal,
  { worthBytes, absent }: { worthBytes: number; absent?: string | undefined },
): Promise<PatchOffer | undefined> {
  let best: PatchOffer | undefined;
  for (const base of patchBases(context, item.request.app).slice(0, MOST_ASKED)) {
    const id = nameFor(inspection, base.digest);
    if (id === absent) continue;
    const found = await askForHead(context, item, id);
    if (found === undefined || found.sizeBytes >= (best?.source.sizeBytes ?? worthBytes)) continue;
    try {
      const source = { id, sizeBytes: found.sizeBytes, updated: UPDATED };
      const offer = openOffer(inspection, base, source, found.head);
      best = { ...offer, fetchBytes: source.sizeBytes - found.head.length };
    } catch (error) {
      if (!(error instanceof GweError)) throw error;
      context.log.info('patch.skip', { id }, describeError(error));
    }
  }
  return best;
}

/** Writes down what was fetched of it, so that it is not fetched again. */
export function storePatchHead(
  context: Pick<AgentContext, 'layout'>,
  request: UpdateRequest,
  { source, head }: PatchOffer,
): void {
  ensureDirectory(context.layout.downloadsDirectory);
  const file = openPartialFile(itemFiles(context.layout, request.contentId).patch, source);
  try {
    if (file.sizeBytes < head.length) file.append(head.subarray(file.sizeBytes));
    file.sync();
  } finally {
    file.close();
  }
}

/** Fetches the rest of it. What is here stays here, whatever happens. Throws what `fetchPart` does. */
export async function fetchPatch(
  context: Pick<AgentContext, 'layout' | 'log'>,
  { api, request, signal, counts }: Item,
  offer: PatchOffer,
): Promise<void> {
  storePatchHead(context, request, offer);
  const { id, sizeBytes } = offer.source;
  const file = openPartialFile(itemFiles(context.layout, request.contentId).patch, offer.source);
  try {
    if (file.sizeBytes === sizeBytes) return;
    for await (const piece of fetchPart(api, {
      id,
      start: file.sizeBytes,
      end: sizeBytes - 1,
      sizeBytes,
      signal,
      log: context.log,
      counts,
    }))
      file.append(piece);
  } finally {
    file.sync();
    file.close();
  }
}

/** Whether an error of fetching a patch leaves the update to its chunks. */
export function isPatchFault(error: unknown): boolean {
  if (!(error instanceof GweError)) return false;
  const codes = ['ARTIFACT_PATCH', 'DOWNLOAD_NOT_FOUND', 'DOWNLOAD_REFUSED', 'DOWNLOAD_CHANGED'];
  return error instanceof RangesIgnored || codes.includes(error.code);
}

function nameFor({ index }: PatchGoal, oldDigest: string): string {
  return patchName(index.manifest, oldDigest, index.digest);
}

/** Throws ARTIFACT_PATCH unless it is the patch between these two. */
export function openOffer(
  inspection: PatchGoal,
  { directory, digest }: PatchBase,
  source: PartialSource,
  head: Buffer,
): Omit<PatchOffer, 'fetchBytes'> {
  const found = decodeDirectory(head, source.sizeBytes, inspection.chunks.length);
  if (found.oldDigest !== digest || found.newDigest !== inspection.index.digest)
    throw patchFault(
      `one from ${found.oldDigest.slice(0, 16)} to ${found.newDigest.slice(0, 16)}`,
      `${digest.slice(0, 16)} to ${inspection.index.digest.slice(0, 16)}`,
    );
  const { parts } = found;
  const { id, sizeBytes, updated } = source;
  return {
    source: { id, sizeBytes, updated },
    from: versionOfDirectory(basename(directory)),
    directory,
    parts,
    head,
  };
}

/** Removes what was fetched of patches for an item. */
export function removePatch(
  context: Pick<AgentContext, 'layout'>,
  request: Pick<UpdateRequest, 'contentId'>,
): void {
  removePartialFile(itemFiles(context.layout, request.contentId).patch);
}
