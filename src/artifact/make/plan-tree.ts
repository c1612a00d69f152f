/** Files on the disk -> the sorted list of entries that a tarball of them will have. */
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { GweError, wrapError } from '../../base/errors.ts';
import { quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import { normaliseName } from '../tar/entries.ts';
import { assertInnerSymlink } from '../tar/links.ts';
import type { EntryHeader } from '../tar/writer.ts';

/** An entry to be written, and where its content comes from: a file that is read then, or bytes. */
export interface PlannedEntry extends EntryHeader {
  source: { kind: 'none' } | { kind: 'file'; path: string } | { kind: 'bytes'; bytes: Buffer };
}

/** Group and others never get write permission: a build under umask 002 gives the same bytes as one under 022. */
const CANONICAL_MODE_BITS = 0o755;

interface PlanOptions {
  /** The permission bits that are kept. */
  modeBits?: number;
  /** Whether links may lead out: nobody will unpack it. */
  hasFreeLinks?: boolean;
}

/**
 * Entries for `paths` below `root`, with the directories that they are in; not what is in directories among them.
 * Throws ARTIFACT_BUILD for what is no file, directory or symlink, and ARTIFACT_ENTRY for what gwe would not unpack.
 */
export function planPaths(
  root: string,
  paths: Iterable<string>,
  limits: ArtifactLimits,
  { modeBits = CANONICAL_MODE_BITS, hasFreeLinks = false }: PlanOptions = {},
): PlannedEntry[] {
  const planned = new Map<string, PlannedEntry>();
  const plan = (path: string): void => {
    if (path === '.' || planned.has(path)) return;
    plan(dirname(path));
    const entry = planEntry(root, path, modeBits);
    if (entry.type === 'symlink' && !hasFreeLinks) assertInnerSymlink(path, entry.target, limits);
    planned.set(path, entry);
  };
  for (const path of paths) plan(normaliseName(path, limits));
  return sortEntries([...planned.values()]);
}

/** By the bytes of the path: the same order on every machine and locale, directories before what is in them. */
export function sortEntries(entries: readonly PlannedEntry[]): PlannedEntry[] {
  return entries
    .map((entry) => ({ entry, key: Buffer.from(entry.path) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry);
}

/** `path` and everything below it, relative to `root`; links are not followed. */
export function listTree(root: string, path: string): string[] {
  const found = [path];
  if (!stat(root, path).isDirectory()) return found;
  for (const name of readdirSync(join(root, path))) {
    found.push(...listTree(root, path === '' ? name : `${path}/${name}`));
  }
  return found.filter((each) => each !== '');
}

function planEntry(root: string, path: string, modeBits: number): PlannedEntry {
  const found = stat(root, path);
  const mode = found.mode & modeBits;
  if (found.isDirectory()) {
    return { path, type: 'directory', mode, sizeBytes: 0, target: '', source: { kind: 'none' } };
  }
  if (found.isSymbolicLink()) {
    const target = readlinkSync(join(root, path));
    return { path, type: 'symlink', mode: 0o777, sizeBytes: 0, target, source: { kind: 'none' } };
  }
  if (found.isFile()) {
    const source = { kind: 'file', path: join(root, path) } as const;
    return { path, type: 'file', mode, sizeBytes: found.size, target: '', source };
  }
  const message = `cannot pack ${quote(path)}: a device, socket or FIFO, expected a file, directory or link`;
  throw new GweError('ARTIFACT_BUILD', message);
}

function stat(root: string, path: string): Stats {
  try {
    return lstatSync(join(root, path));
  } catch (error) {
    throw wrapError(error, 'ARTIFACT_BUILD', `cannot pack ${quote(path)}`);
  }
}
