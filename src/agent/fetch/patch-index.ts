/** The index of a new version from a patch to it: where there is one, the manifest need not be fetched. */
import { type IndexBytes, indexOfEntries } from '../../artifact/chunks/index-bytes.ts';
import { manifestDigest } from '../../artifact/manifest/meta-files.ts';
import { decodeDirectory, MOST_CHUNKS, patchName } from '../../artifact/patch/format.ts';
import { rebuildIndex } from '../../artifact/patch/index-part.ts';
import { patchFault } from '../../artifact/patch/patch-error.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { releaseBuffer } from '../../base/memory.ts';
import { parseManifestDigest } from '../../protocol/content-api.ts';
import { type PartialSource, partialSource } from '../../protocol/partial-file.ts';
import { itemFiles } from '../../store/downloads.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';
import type { Item } from './item.ts';
import { type PatchBase, patchBases, readManifestBytes } from './patch-base.ts';
import { askForHead, readKeptHead } from './patch-head.ts';
import { openOffer, type PatchOffer, UPDATED } from './patch-offer.ts';

/** The index of a version as a patch gives it, and that patch. */
interface PatchedIndex {
  found: IndexBytes & { kind: 'chunks' };
  offer: PatchOffer;
}

interface Goal {
  base: PatchBase;
  /** The digest of the new manifest. */
  digest: string;
  tarballBytes: number;
}

/**
 * The index of the item from a patch to it: from what an earlier step has kept, else by asking for the one from the
 * active version. `absent` is the name that it was asked for by in vain. Only what the meta tells of the manifest makes
 * that possible. Throws CANCELLED.
 */
export async function indexByPatch(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
): Promise<PatchedIndex | { absent: string } | undefined> {
  const { request, info } = item;
  const digest = parseManifestDigest(info.meta);
  const [base] = patchBases(context, request.app);
  const { active } = context.installed.get(request.app);
  if (digest === undefined || base === undefined || base.digest !== active?.digest) return undefined;
  const id = patchName({ name: request.app, version: request.version }, base.digest, digest);
  const path = itemFiles(context.layout, request.contentId).patch;
  const kept = partialSource(path);
  const goal = { base, digest, tarballBytes: info.sizeBytes };
  const made = kept?.id === id ? keptIndex(context, goal, path, kept) : undefined;
  if (made !== undefined) return made;
  const found = await askForHead(context, item, id);
  if (found === undefined) return { absent: id };
  const source = { id, sizeBytes: found.sizeBytes, updated: UPDATED };
  return makeIndex(context, goal, source, found.head) ?? { absent: id };
}

function keptIndex(
  context: Pick<AgentContext, 'log' | 'settings'>,
  goal: Goal,
  path: string,
  kept: PartialSource & { keptBytes: number },
): PatchedIndex | undefined {
  try {
    const made = makeIndex(context, goal, kept, readKeptHead(path, kept));
    if (made === undefined) return undefined;
    return { ...made, offer: { ...made.offer, fetchBytes: kept.sizeBytes - kept.keptBytes } };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.debug('patch.skip', { id: kept.id }, describeError(error));
    return undefined;
  }
}

/** `undefined` where the patch has none, or one that cannot be used. */
function makeIndex(
  context: Pick<AgentContext, 'log' | 'settings'>,
  { base, digest, tarballBytes }: Goal,
  source: PartialSource,
  head: Buffer,
): PatchedIndex | undefined {
  const limits = artifactLimits(context.settings());
  try {
    const { index: fact } = decodeDirectory(head, source.sizeBytes, MOST_CHUNKS);
    if (fact === undefined) return undefined;
    const old = readManifestBytes(base.directory, limits);
    if (old === undefined || manifestDigest(old) !== base.digest) return undefined;
    const bytes = head.subarray(fact.offset, fact.offset + fact.sizeBytes);
    const { manifest, signatures } = rebuildIndex({ bytes, fact }, old, digest, limits);
    const found = indexOfEntries(manifest, signatures, tarballBytes, limits);
    // As long as the manifest of thousands of entries.
    releaseBuffer(old);
    if (found.kind !== 'chunks') throw patchFault('an index of another tarball', 'the requested one');
    const offer = openOffer(found, base, source, head);
    return { found, offer: { ...offer, fetchBytes: source.sizeBytes - head.length } };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.info('patch.skip', { id: source.id }, describeError(error));
    return undefined;
  }
}
