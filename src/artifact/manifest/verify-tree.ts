import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { GweError, systemCode } from '../../base/errors.ts';
import { createFileDigester, readFileBounded } from '../../base/fs.ts';
import { quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import type { ArtifactIndex } from './index-guard.ts';
import { decodeManifest, type Manifest, type ManifestEntry } from './manifest.ts';
import { MANIFEST_PATH, manifestDigest, SIGNATURES_PATH } from './meta-files.ts';
import { decodeSignatures } from './signature.ts';

/** An unpacked version against its manifest: is it still what was signed? */

/**
 * The index that was unpacked into `directory`; `undefined` for an artifact without one. Throws ARTIFACT_MANIFEST if it
 * is not that of the artifact `digest`.
 */
export function readTreeIndex(
  directory: string,
  digest: string,
  limits: ArtifactLimits,
): ArtifactIndex | undefined {
  const manifestBytes = readFileBounded(join(directory, MANIFEST_PATH), limits.manifestBytes);
  if (manifestBytes === undefined) return undefined;
  const found = manifestDigest(manifestBytes);
  if (found !== digest) throw damaged(directory, `a manifest with sha256 ${found}`, digest);
  const signatures = readFileBounded(join(directory, SIGNATURES_PATH), limits.metaEntryBytes);
  return {
    manifest: decodeManifest(manifestBytes, limits),
    digest,
    signatures: signatures === undefined ? [] : decodeSignatures(signatures),
  };
}

/** The manifest in `directory`, whoever wrote it; `undefined` without one. Throws ARTIFACT_*, STORE_IO. */
export function readTreeManifest(directory: string, limits: ArtifactLimits): Manifest | undefined {
  const bytes = readFileBounded(join(directory, MANIFEST_PATH), limits.manifestBytes);
  return bytes === undefined ? undefined : decodeManifest(bytes, limits);
}

/**
 * Throws ARTIFACT_MANIFEST if anything that the manifest lists is missing or has other content. What install.sh added
 * and the modes that it set are its own business, except `known`: files that gwe itself reads or runs, and that may
 * not appear where the manifest has none. The one top-level directory has become the root.
 */
export function assertTree(directory: string, index: ArtifactIndex, known: readonly string[]): void {
  const realDirectories = new Set<string>();
  const unlisted = new Set(known);
  for (const { path } of placedEntries(index.manifest)) unlisted.delete(path);
  const added = [...unlisted].find((name) => lstat(join(directory, name)) !== undefined);
  if (added !== undefined) throw damaged(directory, `${quote(added)}, which it did not come with`, 'none');
  const digest = createFileDigester();
  for (const { path, entry } of placedEntries(index.manifest)) {
    if (path === '') continue;
    assertParents(directory, path, realDirectories);
    assertEntry(directory, { path, entry, digest });
  }
}

/** Where each entry is in an unpacked version, '' for the root: the one top-level directory has become it. */
export function* placedEntries({
  entries,
}: Pick<Manifest, 'entries'>): Generator<{ path: string; entry: ManifestEntry }> {
  const prefix = rootPrefixOf(entries);
  for (const entry of entries) yield { path: entry.path.slice(prefix === '' ? 0 : prefix.length + 1), entry };
}

/** As ContentsCollector: the one top-level name, if it is a directory. */
export function rootPrefixOf(entries: Iterable<ManifestEntry>): string {
  let top: string | undefined;
  let isDirectory = false;
  for (const { path, type } of entries) {
    const [first = ''] = path.split('/', 1);
    top ??= first;
    if (first !== top) return '';
    isDirectory ||= path !== top || type === 'directory';
  }
  return isDirectory ? (top ?? '') : '';
}

/** A link in place of a directory would lead to unsigned files. */
function assertParents(directory: string, path: string, known: Set<string>): void {
  for (let parent = dirname(path); parent !== '.' && !known.has(parent); parent = dirname(parent)) {
    if (lstat(join(directory, parent))?.isDirectory() !== true)
      throw damaged(directory, `no ${quote(parent)}`, 'a directory');
    known.add(parent);
  }
}

function assertEntry(
  directory: string,
  { path, entry, digest }: { path: string; entry: ManifestEntry; digest(path: string): string },
): void {
  const at = join(directory, path);
  const stat = lstat(at);
  const refuse = (expected: string): GweError =>
    damaged(directory, `${quote(path)} is ${stat === undefined ? 'missing' : 'not what it was'}`, expected);
  switch (entry.type) {
    case 'directory':
      if (stat?.isDirectory() !== true) throw refuse('a directory');
      return;
    case 'symlink':
      if (stat?.isSymbolicLink() !== true || fs.readlinkSync(at) !== entry.target)
        throw refuse('the same link');
      return;
    case 'file':
      if (stat?.isFile() !== true || stat.size !== entry.size) throw refuse(`a file of ${entry.size} bytes`);
      if (digest(at) !== entry.sha256) throw refuse(`sha256 ${entry.sha256}`);
  }
}

function lstat(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

function damaged(directory: string, found: string, expected: string): GweError {
  return new GweError(
    'ARTIFACT_MANIFEST',
    `cannot use '${directory}': ${found}, expected ${expected} (its manifest); install this version again`,
  );
}
