/** What a tarball in the content area says of itself, at its beginning. */
import { readIndexBytes } from '../artifact/chunks/index-bytes.ts';
import { DEFAULT_LIMITS } from '../artifact/limits.ts';
import { GweError } from '../base/errors.ts';
import type { ContentItem } from '../platform/storage/content-storage.ts';
import type { FleetContext } from './call.ts';

/** The longest index that is looked at; gateways fetch a tarball with a longer index as a whole. */
export const MOST_HEAD_BYTES = 2 * 1024 * 1024;
const FIRST_HEAD_BYTES = 64 * 1024;

export interface TarballIndex {
  /** Of its manifest. */
  readonly digest: string;
  /** Ids of the keys. */
  readonly signatures: readonly string[];
  /** Empty: it runs on all. */
  readonly architectures: readonly string[];
  /** What it takes unpacked. */
  readonly unpackedBytes: number;
  readonly release?: number | undefined;
}

/** What the tarball says about itself: nothing is verified here, since a gateway does that with its own keys. */
export async function readIndex(
  { storage }: FleetContext,
  product: string,
  { id, sizeBytes }: ContentItem,
): Promise<TarballIndex | undefined> {
  for (let wantedBytes = FIRST_HEAD_BYTES; ; ) {
    const bytes = Math.min(wantedBytes, MOST_HEAD_BYTES, sizeBytes);
    const open = bytes === 0 ? undefined : await storage.openContent(product, id);
    if (open === undefined) return undefined;
    const pieces: Buffer[] = [];
    for await (const piece of open.read({ first: 0, last: bytes - 1 })) pieces.push(Buffer.from(piece));
    const found = indexOf(Buffer.concat(pieces), sizeBytes);
    if (typeof found !== 'number') return found;
    if (found <= bytes || bytes === MOST_HEAD_BYTES) return undefined;
    wantedBytes = found;
  }
}

/**
 * `undefined` for a tarball that says nothing about itself; a number where that many bytes of it are needed to find
 * out.
 */
export function indexOf(head: Buffer, sizeBytes: number): TarballIndex | number | undefined {
  try {
    const found = readIndexBytes(head, sizeBytes, DEFAULT_LIMITS);
    if (found.kind === 'part') return found.wantedBytes;
    if (found.index === undefined) return undefined;
    const { digest, signatures, manifest } = found.index;
    const { architectures = [], release } = manifest;
    let unpackedBytes = 0;
    for (const entry of manifest.entries) unpackedBytes += entry.type === 'file' ? entry.size : 0;
    return {
      digest,
      signatures: signatures.map(({ keyid }) => keyid),
      architectures,
      unpackedBytes,
      release,
    };
  } catch (error) {
    // Anything may be uploaded; it is for the gateways to refuse what they cannot use.
    if (error instanceof GweError) return undefined;
    throw error;
  }
}
