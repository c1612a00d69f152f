/** Whether an item of the content area can be fetched in parts: by the index at its start, and by what was asked for. */

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ChunkTable } from '../artifact/chunk-table.ts';
import { type IndexBytes, readIndexBytes } from '../artifact/index-bytes.ts';
import type { ArtifactIndex } from '../artifact/index-guard.ts';
import { MANIFEST_PATH, SIGNATURES_PATH } from '../artifact/manifest.ts';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory, readFileBounded } from '../base/fs.ts';
import { releaseBuffer } from '../base/memory.ts';
import {
  type ContentApi,
  type ContentInfo,
  DEFAULT_RETRY_POLICY,
  parseManifestDigest,
  type RetryPolicy,
} from '../protocol/content.ts';
import { fetchPart, RangesIgnored } from '../protocol/content-part.ts';
import { openPartialFile, partialBytes, removePartialFile } from '../protocol/partial-file.ts';
import { versionDirectory } from '../store/layout.ts';
import { type Asked, downloadFile, indexFile, patchFile } from './asked.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';
import { indexByPatch } from './patch-index.ts';
import { keepPatch, type PatchOffer } from './patch-offer.ts';
import { createAdmission, trustPolicy } from './trust.ts';

/** What the start of an item says. `head`: its first bytes, which are not fetched again. */
export type Look = { head: Buffer; fetchedBytes: number; requests: number } & (
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
/** A smaller index costs hardly more than to ask for a patch that may not be there. */
const WORTH_PATCHING_BYTES = 2 * 1024;

export interface LookOptions {
  signal: AbortSignal;
  retries?: RetryPolicy;
}

/**
 * Reads the index of an item, from the bytes that are here and by as few requests as it takes. Throws ARTIFACT_* for an
 * index that cannot be used at all, DOWNLOAD_*, PROTOCOL_*, CANCELLED.
 */
export async function lookAtItem(
  context: AgentContext,
  api: ContentApi,
  asked: Asked,
  info: ContentInfo,
  options: LookOptions,
): Promise<Look> {
  const counts = { fetchedBytes: 0, requests: 0 };
  const veto = vetoBefore(context, asked, info);
  if (veto !== undefined) return { kind: 'whole', reason: veto, head: Buffer.alloc(0), ...counts };
  let head: Buffer = readHead(context, asked, info);
  let found: IndexBytes = { kind: 'part', wantedBytes: guessBytes(context, asked.app) };
  const byPatch =
    head.length > 0 || found.wantedBytes < WORTH_PATCHING_BYTES
      ? undefined
      : await indexByPatch(context, api, asked, info, { signal: options.signal, counts });
  if (byPatch !== undefined && 'offer' in byPatch && isAdmitted(context, asked, byPatch.found.index))
    return finish(context, asked, info, byPatch.found, { head, ...counts, offer: byPatch.offer });
  const absent = byPatch !== undefined && 'absent' in byPatch ? byPatch.absent : undefined;
  try {
    for (;;) {
      if (head.length > 0) found = readIndexBytes(head, info.sizeBytes, artifactLimits(context.settings()));
      // What was kept has been damaged since: the item itself has the last word.
      if (found.kind === 'none' && counts.requests === 0) {
        head = Buffer.alloc(0);
        found = { kind: 'part', wantedBytes: guessBytes(context, asked.app) };
      }
      if (found.kind !== 'part') break;
      const end = Math.min(Math.max(found.wantedBytes, head.length + 1), info.sizeBytes);
      head = await fetchMore(context, api, asked.contentId, info, { head, end, ...options }, counts);
    }
  } catch (error) {
    if (!(error instanceof RangesIgnored)) throw error;
    return { kind: 'whole', reason: 'the platform ignores ranges', head: Buffer.alloc(0), ...counts };
  }
  return finish(context, asked, info, found, { head, ...counts, absent });
}

type Found = Pick<Look, 'head' | 'fetchedBytes' | 'requests'> & {
  offer?: PatchOffer;
  absent?: string | undefined;
};

function finish(
  context: AgentContext,
  asked: Asked,
  info: ContentInfo,
  found: Exclude<IndexBytes, { kind: 'part' }>,
  { offer, absent, ...facts }: Found,
): Look {
  const reason = found.kind === 'none' ? found.reason : vetoAfter(context, asked, info, found.index.digest);
  if (found.kind === 'none' || reason !== undefined) return { kind: 'whole', reason: reason ?? '', ...facts };
  return { ...found, ...facts, absent, ...(offer === undefined ? {} : { offer }) };
}

/** The tarball may have been signed again since the patch was made: its own index has the last word. */
function isAdmitted(context: AgentContext, { app, version }: Asked, index: ArtifactIndex): boolean {
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
export function keepHead(context: AgentContext, asked: Asked, info: ContentInfo, look: Look): void {
  if (look.fetchedBytes === 0) return;
  if (look.kind === 'chunks' && look.offer !== undefined) {
    keepPatch(context, asked, look.offer);
    return;
  }
  ensureDirectory(context.layout.downloadsDirectory);
  const path = look.kind === 'chunks' ? indexFile(context, asked) : downloadFile(context, asked);
  const file = openPartialFile(path, { id: asked.contentId, ...info });
  try {
    if (look.kind === 'chunks') file.restart();
    if (file.sizeBytes < look.head.length) file.append(look.head.subarray(file.sizeBytes));
    file.sync();
  } finally {
    file.close();
  }
}

/** Removes everything that was fetched of an item. */
export function removeDownloads(context: AgentContext, asked: Pick<Asked, 'contentId'>): void {
  removePartialFile(downloadFile(context, asked));
  removePartialFile(indexFile(context, asked));
  removePartialFile(patchFile(context, asked));
}

function readHead(context: AgentContext, asked: Asked, info: ContentInfo): Buffer {
  const path = indexFile(context, asked);
  const bytes = partialBytes(path, { id: asked.contentId, ...info });
  const limits = artifactLimits(context.settings());
  const kept = bytes === 0 ? undefined : readFileBounded(path, limits.manifestBytes * 2 + 1024 * 1024);
  return kept?.subarray(0, bytes) ?? Buffer.alloc(0);
}

async function fetchMore(
  context: AgentContext,
  api: ContentApi,
  id: string,
  info: ContentInfo,
  { head, end, signal, retries = DEFAULT_RETRY_POLICY }: LookOptions & { head: Buffer; end: number },
  counts: { fetchedBytes: number; requests: number },
): Promise<Buffer> {
  const pieces = [head];
  for await (const piece of fetchPart(api, {
    id,
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
function guessBytes(context: AgentContext, app: string): number {
  const { active } = context.installed.get(app);
  if (active === undefined) return FIRST_GUESS_BYTES;
  const directory = versionDirectory(context.layout, app, active.version, active.digest);
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
 * Somebody said what the bytes of the whole tarball must be, so they are fetched and compared; unless signed manifests
 * are demanded, which say more, or the same digest is there for the manifest.
 */
function vetoBefore(context: AgentContext, asked: Asked, info: ContentInfo): string | undefined {
  if (trustPolicy(context).isEnforced) return undefined;
  const { digest, meta } = info;
  if (asked.expectedSha256 !== undefined && asked.expectedSha256 === digest?.hex)
    return 'the command pins the sha256 of the whole tarball';
  if (digest !== undefined && parseManifestDigest(meta) === undefined)
    return 'its meta has a digest of the whole tarball, and none of its manifest';
  return undefined;
}

/** Throws DOWNLOAD_DIGEST for another manifest than the one that the content area tells of. */
function vetoAfter(
  context: AgentContext,
  asked: Asked,
  info: ContentInfo,
  manifestDigest: string,
): string | undefined {
  const told = parseManifestDigest(info.meta);
  if (told !== undefined && told !== manifestDigest) {
    throw new GweError(
      'DOWNLOAD_DIGEST',
      `cannot accept '${asked.contentId}': its manifest has sha256 ${manifestDigest}, expected ${told} (its meta)`,
    );
  }
  if (asked.expectedSha256 === undefined || asked.expectedSha256 === manifestDigest) return undefined;
  if (trustPolicy(context).isEnforced) return undefined;
  return 'the command pins the sha256 of the whole tarball';
}
