/** The parts of the old body that the new one is compared with, in memory, one behind the other. */
import type { ByteSource } from '../byte-source.ts';
import { type Manifest, toEntryHeader } from '../manifest/manifest.ts';
import { entryHeaderBytes, paddingBytes } from '../tar/writer.ts';
import { patchFault } from './patch-error.ts';

export interface OldText {
  bytes: Buffer;
  /** Ascending, without gap in the text. */
  pieces: readonly TextPiece[];
}

interface TextPiece {
  /** Where it begins in the text. */
  textAt: number;
  /** Where it begins in the body. */
  bodyAt: number;
  sizeBytes: number;
}

/** Old bodies up to this size are compared with as they are; of larger ones, what the new one does not have as well. */
const WHOLE_BYTES = 384 * 1024 * 1024;
/** What is compared with at most: position and index of a byte take 2 bytes besides it. */
const MOST_TEXT_BYTES: number = 768 * 1024 * 1024;

export interface EntryPlace {
  path: string;
  /** Where its header begins in the body. */
  start: number;
  /** Behind its padding. */
  end: number;
  sha256: string;
}

/** Where the entries are in the body, in order. */
export function entryPlaces({ entries }: Pick<Manifest, 'entries'>): EntryPlace[] {
  let start = 0;
  return Array.from(entries, (entry) => {
    const header = toEntryHeader(entry);
    const end = start + entryHeaderBytes(header) + header.sizeBytes + paddingBytes(header.sizeBytes);
    const place = { path: entry.path, start, end, sha256: entry.type === 'file' ? entry.sha256 : '' };
    start = end;
    return place;
  });
}

/** Which parts of the old body to compare with: ascending, and not more than MOST_TEXT_BYTES. */
export function planOldText(
  oldManifest: Pick<Manifest, 'entries'>,
  newManifest: Pick<Manifest, 'entries'>,
  bodyBytes: number,
): TextPiece[] {
  if (bodyBytes <= WHOLE_BYTES) return [{ textAt: 0, bodyAt: 0, sizeBytes: bodyBytes }];
  const kept = new Set(
    Array.from(newManifest.entries, (entry) => (entry.type === 'file' ? entry.sha256 : '')),
  );
  const pieces: TextPiece[] = [];
  let textAt = 0;
  for (const { start, end, sha256 } of entryPlaces(oldManifest)) {
    if (kept.has(sha256) || textAt + end - start > MOST_TEXT_BYTES) continue;
    const last = pieces.at(-1);
    if (last !== undefined && last.bodyAt + last.sizeBytes === start) last.sizeBytes += end - start;
    else pieces.push({ textAt, bodyAt: start, sizeBytes: end - start });
    textAt += end - start;
  }
  return pieces;
}

/** Into memory that threads can share. Throws ARTIFACT_PATCH when the body does not have them. */
export function readOldText(body: ByteSource, pieces: readonly TextPiece[]): OldText {
  const last = pieces.at(-1);
  const bytes = Buffer.from(new SharedArrayBuffer(last === undefined ? 0 : last.textAt + last.sizeBytes));
  for (const { textAt, bodyAt, sizeBytes } of pieces) {
    if (!body.read(bodyAt, bytes.subarray(textAt, textAt + sizeBytes)))
      throw patchFault('an old version that has changed while it was read', 'it as it was');
  }
  return { bytes, pieces };
}

/** The piece that holds a place in the text, or that is the last before it. */
export function pieceAt({ pieces }: OldText, textAt: number): TextPiece | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((pieces[middle]?.textAt ?? 0) <= textAt) low = middle + 1;
    else high = middle;
  }
  return pieces[low - 1];
}

/** The place in the text of a place in the body; -1 if it is not in it. */
export function textPlace({ pieces }: OldText, bodyAt: number): number {
  const piece = pieces.find((one) => bodyAt >= one.bodyAt && bodyAt < one.bodyAt + one.sizeBytes);
  return piece === undefined ? -1 : piece.textAt + bodyAt - piece.bodyAt;
}
