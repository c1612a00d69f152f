/** Whether an item of the content area can be fetched in parts: by the index at its start, and by the request. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ChunkTable } from '../../artifact/chunks/chunk-table.ts';
import { type IndexBytes, readIndexBytes } from '../../artifact/chunks/index-bytes.ts';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import { MANIFEST_PATH, SIGNATURES_PATH } from '../../artifact/manifest/meta-files.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { ensureDirectory, readFileBounded } from '../../base/fs.ts';
import { releaseBuffer } from '../../base/memory.ts';
import { parseManifestDigest } from '../../protocol/content-api.ts';
import { fetchPart } from '../../protocol/content-part.ts';
import { openPartialFile, partialBytes } from '../../protocol/partial-file.ts';
import { DEFAULT_RETRY_POLICY, RangesIgnored, type RetryPolicy } from '../../protocol/retry.ts';
import type { TransferCounts } from '../../protocol/transfer.ts';
import { itemFiles } from '../../store/downloads.ts';
import { versionDirectory } from '../../store/layout.ts';
import { createAdmission, trustPolicy } from '../admission/admission.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { type Item, withOwnCounts } from './item.ts';
import { indexByPatch } from './patch-index.ts';
import { type PatchOffer, storePatchHead } from './patch-offer.ts';

type Context = Pick<AgentContext, 'layout' | 'log' | 'settings'>;

/** What the start of an item says. `head`: its first bytes, which are not fetched again. */
export type ItemInspection = { head: Buffer; fetchedBytes: number; requests: number } & (
  | { kind: 'whole'; reason: string }
  | {
      kind: 'chunks';
      index: ArtifactIndex;
      /** The tar stream of the index, in pieces that stay as they are. */
      stream: readonly Buffer[];
      chunks: ChunkTable;
      /** The patch that the index was made by, instead of being fetched. */
      offer?: PatchOffer;
      /** The name of a patch that was asked for and is not there. */
      absent?: string | undefined;
    }
);

/** The first request where nothing is known: most indexes are smaller. */
const FIRST_GUESS_BYTES = 32 * 1024;
/** A smaller index costs hardly more than a request for a patch that may not exist. */
const WORTH_PATCHING_BYTES = 2 * 1024;

/**
 * Reads the index of an item, from the bytes that are here and by as few requests as it takes. Throws ARTIFACT_* for an
 * index that cannot be used at all, DOWNLOAD_*, PROTOCOL_*, CANCELLED.
 */
export async function inspectItem(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'clockFloor'
  >,
  item: Item,
  retries: RetryPolicy = DEFAULT_RETRY_POLICY,
): Promise<ItemInspection> {
  const own = withOwnCounts(item);
  const reason = reasonForWhole(context, item);
  if (reason !== undefined) return { kind: 'whole', reason, ...NO_HEAD, ...costOf(own) };
  const head = readHead(context, item);
  const byPatch =
    head.length > 0 || guessBytes(context, item.request.app) < WORTH_PATCHING_BYTES
      ? undefined
      : await indexByPatch(context, own);
  if (byPatch !== undefined && 'offer' in byPatch && isAdmitted(context, item.request, byPatch.found.index))
    return decide(item, byPatch.found, { head, ...costOf(own), offer: byPatch.offer });
  const absent = byPatch !== undefined && 'absent' in byPatch ? byPatch.absent : undefined;
  try {
    const read = await readIndex(context, own, head, retries);
    return decide(item, read.found, { head: read.head, ...costOf(own), absent });
  } catch (error) {
    if (!(error instanceof RangesIgnored)) throw error;
    return { kind: 'whole', reason: 'the platform ignores ranges', ...NO_HEAD, ...costOf(own) };
  }
}

const NO_HEAD = { head: Buffer.alloc(0) };

function costOf({ counts: { fetchedBytes, requests } }: Item): TransferCounts {
  return { fetchedBytes, requests };
}

/** From the bytes that are here, and more of them until the index ends. */
async function readIndex(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
  kept: Buffer,
  retries: RetryPolicy,
): Promise<{ head: Buffer; found: Exclude<IndexBytes, { kind: 'part' }> }> {
  const { info, counts } = item;
  const limits = artifactLimits(context.settings());
  const nothing = (): IndexBytes => ({
    kind: 'part',
    wantedBytes: guessBytes(context, item.request.app),
  });
  let head = kept;
  for (;;) {
    let found = head.length > 0 ? readIndexBytes(head, info.sizeBytes, limits) : nothing();
    // What was kept is damaged: the item itself decides.
    if (found.kind === 'none' && counts.requests === 0) {
      head = Buffer.alloc(0);
      found = nothing();
    }
    if (found.kind !== 'part') return { head, found };
    const end = Math.min(Math.max(found.wantedBytes, head.length + 1), info.sizeBytes);
    head = await fetchMore(context, item, { head, end, retries });
  }
}

type Found = Pick<ItemInspection, 'head' | 'fetchedBytes' | 'requests'> & {
  offer?: PatchOffer;
  absent?: string | undefined;
};

function decide(
  item: Item,
  found: Exclude<IndexBytes, { kind: 'part' }>,
  { offer, absent, ...facts }: Found,
): ItemInspection {
  const reason = found.kind === 'none' ? found.reason : reasonForWholeAfter(item, found.index.digest);
  if (found.kind === 'none' || reason !== undefined) return { kind: 'whole', reason: reason ?? '', ...facts };
  return { ...found, ...facts, absent, ...(offer === undefined ? {} : { offer }) };
}

/** The tarball may have been signed again since the patch was made: its own index decides. */
function isAdmitted(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'clockFloor'>,
  { app, version }: UpdateRequest,
  index: ArtifactIndex,
): boolean {
  try {
    createAdmission(context, { name: app, version })(index);
    return true;
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.info('patch.skip', { app }, describeError(error));
    return false;
  }
}

/** Keeps the first bytes: of an item that is fetched whole they are the beginning. */
export function storeHead(
  context: Pick<AgentContext, 'layout'>,
  { request, info }: Pick<Item, 'request' | 'info'>,
  inspection: ItemInspection,
): void {
  if (inspection.fetchedBytes === 0) return;
  if (inspection.kind === 'chunks' && inspection.offer !== undefined) {
    storePatchHead(context, request, inspection.offer);
    return;
  }
  ensureDirectory(context.layout.downloadsDirectory);
  const { index, whole } = itemFiles(context.layout, request.contentId);
  const path = inspection.kind === 'chunks' ? index : whole;
  const file = openPartialFile(path, { id: request.contentId, ...info });
  try {
    if (inspection.kind === 'chunks') file.restart();
    if (file.sizeBytes < inspection.head.length) file.append(inspection.head.subarray(file.sizeBytes));
    file.sync();
  } finally {
    file.close();
  }
}

function readHead(context: Pick<AgentContext, 'layout' | 'settings'>, { request, info }: Item): Buffer {
  const path = itemFiles(context.layout, request.contentId).index;
  const bytes = partialBytes(path, { id: request.contentId, ...info });
  const limits = artifactLimits(context.settings());
  const kept = bytes === 0 ? undefined : readFileBounded(path, limits.manifestBytes * 2 + 1024 * 1024);
  return kept?.subarray(0, bytes) ?? Buffer.alloc(0);
}

async function fetchMore(
  context: Pick<AgentContext, 'log'>,
  { api, request, info, signal, counts }: Item,
  { head, end, retries }: { head: Buffer; end: number; retries: RetryPolicy },
): Promise<Buffer> {
  const pieces = [head];
  for await (const piece of fetchPart(api, {
    id: request.contentId,
    start: head.length,
    end: end - 1,
    sizeBytes: info.sizeBytes,
    retries,
    signal,
    log: context.log,
    counts,
  }))
    pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What the index of the active version would cost, and some more. */
function guessBytes(context: Pick<AgentContext, 'layout' | 'settings' | 'installed'>, app: string): number {
  const { active } = context.installed.get(app);
  if (active === undefined) return FIRST_GUESS_BYTES;
  const directory = versionDirectory(context.layout, app, active);
  const limits = artifactLimits(context.settings());
  try {
    const parts = [
      readFileBounded(join(directory, MANIFEST_PATH), limits.manifestBytes),
      readFileBounded(join(directory, SIGNATURES_PATH), limits.metaEntryBytes),
    ];
    const sizes = parts.map((part) => (part === undefined ? 0 : gzipSync(part).length));
    for (const part of parts) if (part !== undefined) releaseBuffer(part);
    if (sizes[0] === 0) return FIRST_GUESS_BYTES;
    return Math.ceil(sizes.reduce((sum, size) => sum + size, 0) * 1.03) + 256;
  } catch {
    return FIRST_GUESS_BYTES;
  }
}

/**
 * Somebody said what the bytes of the whole tarball must be, so they are fetched and compared. What the content area
 * alone says is passed over where signed manifests are demanded, which say more, or where it says the manifest's
 * digest too.
 */
function reasonForWhole(context: Context, { request, info }: Item): string | undefined {
  const { digest, meta } = info;
  if (request.expectedSha256 !== undefined && request.expectedSha256 === digest?.hex)
    return 'the command pins the sha256 of the whole tarball';
  if (trustPolicy(context).isEnforced) return undefined;
  if (digest !== undefined && parseManifestDigest(meta) === undefined)
    return 'its meta has a digest of the whole tarball, but none of its manifest';
  return undefined;
}

/** Throws DOWNLOAD_DIGEST for another manifest than the one that the content area tells of. */
function reasonForWholeAfter({ request, info }: Item, manifestDigest: string): string | undefined {
  const told = parseManifestDigest(info.meta);
  if (told !== undefined && told !== manifestDigest) {
    throw new GweError(
      'DOWNLOAD_DIGEST',
      `cannot accept '${request.contentId}': its manifest has sha256 ${manifestDigest}, expected ${told} (its meta)`,
    );
  }
  if (request.expectedSha256 === undefined || request.expectedSha256 === manifestDigest) return undefined;
  return 'the command pins the sha256 of the whole tarball';
}

export type ChunkedInspection = ItemInspection & { kind: 'chunks' };
