/** Tarballs with a manifest, made from files. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { GweError } from '../../base/errors.ts';
import { BodyCutter } from '../chunks/chunker.ts';
import { compressMember, inOrder } from '../chunks/members.ts';
import { quote } from '../faults.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import {
  type ArtifactFacts,
  assertNotReserved,
  chunkDigest,
  MANIFEST_FORMAT,
  type Manifest,
  type ManifestChunk,
  type ManifestEntry,
  metaEntryHeader,
  renderManifest,
} from '../manifest/manifest.ts';
import { MANIFEST_PATH, manifestDigest, SIGNATURES_PATH } from '../manifest/meta-files.ts';
import {
  type ArtifactSignature,
  addSignature,
  renderSignatures,
  type Signer,
} from '../manifest/signature.ts';
import { END_OF_ARCHIVE_BYTES } from '../tar/writer.ts';
import { entryBytes, type PackResult, replaceFile } from './pack.ts';
import type { PlannedEntry } from './plan-tree.ts';

const COPY_BYTES = 2 ** 20;

interface IndexedContent {
  facts: ArtifactFacts;
  /** Sorted, as `planPaths` gives them. */
  entries: readonly PlannedEntry[];
  signers?: readonly Signer[];
  /** Called now and then with the bytes of the tar stream packed so far, and about their total. */
  onProgress?(doneBytes: number, totalBytes: number): void;
}

/**
 * Writes an indexed tarball; `digest` of the result is the manifest's. The chunks are compressed on zlib's threads, and
 * lie in a file beside `file` until the manifest, which comes first, can be written.
 * Throws ARTIFACT_BUILD, ARTIFACT_ENTRY, ARTIFACT_LIMIT or CANCELLED.
 */
export function packIndexed(
  file: string,
  content: IndexedContent,
  signal?: AbortSignal,
): Promise<PackResult> {
  for (const { path } of content.entries) assertNotReserved(path);
  return replaceFile(file, signal, async (temporary) => {
    const body = `${temporary}-body`;
    try {
      const { chunks, digests } = await writeChunks(body, content, file, signal);
      const entries = content.entries.map((entry) => toManifestEntry(entry, digests));
      const manifest: Manifest = { ...content.facts, format: MANIFEST_FORMAT, entries, chunks };
      const bytes = renderManifest(manifest);
      if (bytes.length > DEFAULT_LIMITS.manifestBytes) throw tooMuch(file, manifest, bytes.length);
      const digest = manifestDigest(bytes);
      let signatures: ArtifactSignature[] = [];
      for (const signer of content.signers ?? []) signatures = await addSignature(signatures, digest, signer);
      const members = [await manifestMember(bytes), await signaturesMember(signatures)];
      return { digest, compressedBytes: joinTarball(temporary, members, body) };
    } finally {
      rmSync(body, { force: true });
    }
  });
}

export function manifestMember(manifest: Buffer): Promise<Buffer> {
  return compressMember(metaBytes(MANIFEST_PATH, manifest));
}

export function signaturesMember(signatures: readonly ArtifactSignature[]): Promise<Buffer> {
  return compressMember(metaBytes(SIGNATURES_PATH, renderSignatures(signatures)));
}

/** One of the two entries of `.gwe/` in the tar stream. */
export function metaBytes(path: string, bytes: Buffer): Buffer {
  const entry = { ...metaEntryHeader(path, bytes.length), source: { kind: 'bytes', bytes } } as const;
  return Buffer.concat([...entryBytes(entry)]);
}

/** The members of the body, in order, and what the manifest says of them and of the files in it. */
async function writeChunks(
  body: string,
  { entries, onProgress }: Pick<IndexedContent, 'entries' | 'onProgress'>,
  file: string,
  signal: AbortSignal | undefined,
): Promise<{ chunks: ManifestChunk[]; digests: Map<string, string> }> {
  const chunks: ManifestChunk[] = [];
  const digests = new Map<string, string>();
  const totalBytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, END_OF_ARCHIVE_BYTES);
  let doneBytes = 0;
  const fd = openSync(body, 'wx');
  try {
    for await (const { bytes, member } of inOrder(cutBody(entries, digests), compressChunk)) {
      if (signal?.aborted) throw new GweError('CANCELLED', `stopped packing ${quote(file)}`);
      chunks.push([bytes.length, member.length, chunkDigest(bytes)]);
      writeAll(fd, member);
      doneBytes += bytes.length;
      onProgress?.(Math.min(doneBytes, totalBytes), totalBytes);
    }
  } finally {
    closeSync(fd);
  }
  return { chunks, digests };
}

async function compressChunk(bytes: Buffer): Promise<{ bytes: Buffer; member: Buffer }> {
  return { bytes, member: await compressMember(bytes) };
}

/** Each file is read once: what is hashed is what is packed. `digests` gets the sha256 of each, by path. */
function* cutBody(entries: readonly PlannedEntry[], digests: Map<string, string>): Generator<Buffer> {
  const cutter = new BodyCutter(entries);
  for (const entry of entries) {
    const hash = createHash('sha256');
    for (const bytes of entryBytes(entry, hash)) yield* cutter.take(bytes);
    if (entry.type === 'file') digests.set(entry.path, hash.digest('hex'));
  }
  yield* cutter.take(Buffer.alloc(END_OF_ARCHIVE_BYTES));
}

function toManifestEntry(entry: PlannedEntry, digests: ReadonlyMap<string, string>): ManifestEntry {
  const { path, type, target, sizeBytes: size } = entry;
  const mode = entry.mode.toString(8).padStart(4, '0');
  switch (type) {
    case 'file':
      return { type, path, mode, size, sha256: digests.get(path) ?? '' };
    case 'directory':
      return { type, path, mode };
    case 'symlink':
      return { type, path, target };
  }
}

/** Writes `members` and what is in the file `rest` from `from` on to the new file `file`; the bytes that makes. */
export function joinTarball(file: string, members: readonly Buffer[], rest: string, from = 0): number {
  const to = openSync(file, 'wx');
  let written = 0;
  try {
    for (const member of members) written += writeAll(to, member);
    for (const part of readFrom(rest, from)) written += writeAll(to, part);
  } finally {
    closeSync(to);
  }
  return written;
}

function* readFrom(file: string, from: number): Generator<Buffer> {
  const fd = openSync(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    for (let at = from; ; ) {
      const bytes = readSync(fd, buffer, 0, buffer.length, at);
      if (bytes === 0) return;
      yield buffer.subarray(0, bytes);
      at += bytes;
    }
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer): number {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  return bytes.length;
}

function tooMuch(file: string, { entries, chunks = [] }: Manifest, bytes: number): GweError {
  return new GweError(
    'ARTIFACT_LIMIT',
    `cannot pack ${quote(file)}: its ${entries.length} entries and ${chunks.length} chunks make a manifest of ` +
      `${bytes} bytes, expected at most ${DEFAULT_LIMITS.manifestBytes}; pack parts of it as an archive inside`,
  );
}
