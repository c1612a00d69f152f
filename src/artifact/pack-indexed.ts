/** Tarballs with a manifest: made from files, made of hand-packed ones, and signed. */
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { GweError, wrapError } from '../base/errors.ts';
import { removeTree } from '../base/fs.ts';
import { extractArtifact, inspectArtifact, type ReadOptions } from './extract.ts';
import { quote } from './faults.ts';
import type { ArtifactIndex } from './index-guard.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import {
  type ArtifactFacts,
  assertNotReserved,
  MANIFEST_FORMAT,
  MANIFEST_PATH,
  type Manifest,
  type ManifestEntry,
  manifestDigest,
  metaEntryHeader,
  renderManifest,
  SIGNATURES_PATH,
} from './manifest.ts';
import { parseArtifactName } from './name.ts';
import { entryBytes, type PackResult, packArtifact, writeTarball } from './pack.ts';
import { listTree, type PlannedEntry, planPaths } from './plan-tree.ts';
import { type ArtifactSignature, addSignature, renderSignatures, type Signer } from './signature.ts';

const CHUNK_BYTES = 128 * 1024;

export interface IndexedContent {
  facts: ArtifactFacts;
  /** Sorted, as `planPaths` gives them. */
  entries: readonly PlannedEntry[];
  signers?: readonly Signer[];
}

/**
 * Writes an indexed tarball; `digest` of the result is the manifest's. Files are read twice, and must not change in
 * between. Throws ARTIFACT_BUILD, ARTIFACT_ENTRY, ARTIFACT_LIMIT or CANCELLED.
 */
export async function packIndexed(
  file: string,
  content: IndexedContent,
  signal?: AbortSignal,
): Promise<PackResult> {
  const entries = await digestFiles(content.entries, file, signal);
  const manifest: Manifest = {
    ...content.facts,
    format: MANIFEST_FORMAT,
    entries: entries.map(toManifestEntry),
  };
  const bytes = renderManifest(manifest);
  if (bytes.length > DEFAULT_LIMITS.manifestBytes) throw tooManyEntries(file, entries.length, bytes.length);
  const digest = manifestDigest(bytes);
  let signatures: ArtifactSignature[] = [];
  for (const signer of content.signers ?? []) signatures = await addSignature(signatures, digest, signer);
  const packed = await packArtifact(file, [...metaEntries(bytes, signatures), ...entries], signal);
  return { ...packed, digest };
}

export interface SignedTarball {
  index: ArtifactIndex;
  /** Whether it was hand-packed, and got its manifest now. */
  isNew: boolean;
}

/**
 * Adds a signature to the tarball `file`, which is replaced in one step; other signatures stay. A hand-packed one is
 * packed anew with a manifest first, name and version taken from the file's name. Throws what reading and packing do.
 */
export async function signTarball(
  file: string,
  signer: Signer,
  options: ReadOptions,
): Promise<SignedTarball> {
  const { index } = await inspectArtifact(file, options);
  if (index === undefined) {
    await indexTarball(file, [signer], options);
    const { index: made } = await inspectArtifact(file, options);
    if (made === undefined)
      throw new GweError('ARTIFACT_BUILD', `cannot sign ${quote(file)}: it has changed`);
    return { index: made, isNew: true };
  }
  const signatures = await addSignature(index.signatures, index.digest, signer);
  await writeTarball(file, withSignatures(file, index, signatures), options.signal);
  return { index: { ...index, signatures }, isNew: false };
}

/** Gives a hand-packed tarball a manifest. Modes are kept; times are not, and hard links become files. */
async function indexTarball(file: string, signers: readonly Signer[], options: ReadOptions): Promise<void> {
  const facts = parseArtifactName(basename(file));
  const scratch = mkdtempSync(join(dirname(file), '.gwe-tmp-'));
  try {
    const tree = join(scratch, 'tree');
    await extractArtifact(file, tree, options);
    const entries = planPaths(tree, listTree(tree, ''), options.limits, 0o777);
    await packIndexed(file, { facts, entries, signers }, options.signal);
  } finally {
    removeTree(scratch);
  }
}

/** The tar stream of `file` with other signatures in its second entry. */
async function* withSignatures(
  file: string,
  index: ArtifactIndex,
  signatures: readonly ArtifactSignature[],
): AsyncGenerator<Buffer> {
  const manifest = renderManifest(index.manifest);
  const size = (entries: readonly PlannedEntry[]): number =>
    entries.reduce((sum, entry) => sum + [...entryBytes(entry)].reduce((n, part) => n + part.length, 0), 0);
  for (const entry of metaEntries(manifest, signatures)) yield* entryBytes(entry);
  let skipBytes = size(metaEntries(manifest, index.signatures));
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  pipeline(createReadStream(file, { highWaterMark: CHUNK_BYTES }), gunzip, () => undefined);
  for await (const chunk of gunzip as AsyncIterable<Buffer>) {
    const skipped = Math.min(skipBytes, chunk.length);
    skipBytes -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

function metaEntries(manifest: Buffer, signatures: readonly ArtifactSignature[]): PlannedEntry[] {
  const entry = (path: string, bytes: Buffer): PlannedEntry => ({
    ...metaEntryHeader(path, bytes.length),
    source: { kind: 'bytes', bytes },
  });
  return [entry(MANIFEST_PATH, manifest), entry(SIGNATURES_PATH, renderSignatures(signatures))];
}

function toManifestEntry(entry: PlannedEntry): ManifestEntry {
  const { path, type, target, sha256 = '', sizeBytes: size } = entry;
  const mode = entry.mode.toString(8).padStart(4, '0');
  switch (type) {
    case 'file':
      return { type, path, mode, size, sha256 };
    case 'directory':
      return { type, path, mode };
    case 'symlink':
      return { type, path, target };
  }
}

/** The entries with the digests of their files. */
async function digestFiles(
  entries: readonly PlannedEntry[],
  file: string,
  signal: AbortSignal | undefined,
): Promise<PlannedEntry[]> {
  const digested: PlannedEntry[] = [];
  for (const entry of entries) {
    if (signal?.aborted) throw new GweError('CANCELLED', `stopped packing ${quote(file)}`);
    assertNotReserved(entry.path);
    if (entry.type !== 'file') digested.push(entry);
    else digested.push({ ...entry, sha256: await digestSource(entry) });
  }
  return digested;
}

async function digestSource(entry: PlannedEntry): Promise<string> {
  const hash = createHash('sha256');
  const { source } = entry;
  if (source.kind === 'bytes') return hash.update(source.bytes).digest('hex');
  if (source.kind === 'none') return hash.digest('hex');
  try {
    for await (const chunk of createReadStream(source.path, { highWaterMark: CHUNK_BYTES }))
      hash.update(chunk);
  } catch (error) {
    throw wrapError(error, 'ARTIFACT_BUILD', `cannot pack ${quote(entry.path)}`);
  }
  return hash.digest('hex');
}

function tooManyEntries(file: string, entries: number, bytes: number): GweError {
  return new GweError(
    'ARTIFACT_LIMIT',
    `cannot pack ${quote(file)}: its ${entries} entries make a manifest of ${bytes} bytes, expected at most ` +
      `${DEFAULT_LIMITS.manifestBytes}; pack parts of it as an archive inside`,
  );
}
