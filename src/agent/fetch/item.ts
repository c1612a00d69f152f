/** One item of the content area on its way to this gateway: what every step of fetching it needs. */
import { type ContentApi, type ContentInfo, parseManifestDigest } from '../../protocol/content-api.ts';
import type { TransferCounts } from '../../protocol/transfer.ts';
import type { UpdateRequest } from '../run/update-request.ts';

export interface Item {
  api: ContentApi;
  /** What it is fetched for; its content id names the item. */
  request: UpdateRequest;
  /** What the content area says of it. */
  info: ContentInfo;
  signal: AbortSignal;
  /** Grows with whatever is fetched for it, also where that fails. */
  counts: FetchCounts;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

/** What fetching an item has cost by now; `fetchedBytes` are those that came over the wire. */
export interface FetchCounts extends TransferCounts {
  /** Bytes of the tarball whose chunks were here. */
  reusedBytes: number;
  /** Chunks that seemed to be here and were not what they should be. */
  changedChunks: number;
  /** What a report should say of how it was fetched. */
  note?: string;
}

/**
 * The content area for one item: its bytes may come from elsewhere where they will be compared with what is known
 * beforehand, be they fetched whole or by chunks.
 */
export function contentApiFor(
  api: ContentApi,
  { expectedSha256 }: Pick<UpdateRequest, 'expectedSha256'>,
  { digest, meta }: Pick<ContentInfo, 'digest' | 'meta'>,
): ContentApi {
  const { mayBeElsewhere } = api;
  const isPinned =
    expectedSha256 !== undefined || (digest !== undefined && parseManifestDigest(meta) !== undefined);
  return isPinned && mayBeElsewhere !== undefined
    ? { ...api, mayBeElsewhere: () => mayBeElsewhere(true) }
    : api;
}

export function createCounts(): FetchCounts {
  return { requests: 0, fetchedBytes: 0, reusedBytes: 0, changedChunks: 0 };
}

/** The same item, with its costs counted separately. */
export function withOwnCounts(item: Item): Item {
  return { ...item, counts: createCounts() };
}

export function addCounts(to: TransferCounts, { requests, fetchedBytes }: TransferCounts): void {
  to.requests += requests;
  to.fetchedBytes += fetchedBytes;
}
