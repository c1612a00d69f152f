/** Version directories: staging, promotion by rename, switching `current`, pruning. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { META_DIRECTORY, SIGNATURES_PATH } from '../artifact/manifest/meta-files.ts';
import { GweError } from '../base/errors.ts';
import {
  copyFileDurable,
  ensureDirectory,
  listDirectory,
  readLink,
  removeEmptyDirectory,
  removeFileDurable,
  renameDurable,
  swapLink,
  sweepTemporaries,
} from '../base/fs.ts';
import { removeTree } from '../base/remove-tree.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  previousLink,
  versionDirectory,
  versionDirectoryName,
  versionOfDirectory,
} from './layout.ts';
import { changeAppVersions, readAppVersions } from './version-list.ts';

const STAGING_PREFIX = '.staging-';
const TRASH_PREFIX = '.trash-';
const PART_PREFIX = '.part-';

/** What became of things that were to be removed. */
export interface Cleared {
  removed: string[];
  /** STORE_MOUNTED: something is mounted in them. */
  stayed: GweError[];
}

/** Where the tarball of one transaction is unpacked: beside the final place, so that a rename suffices. */
function stagingDirectory(layout: Layout, app: string, transactionId: string): string {
  return join(appDirectory(layout, app), `${STAGING_PREFIX}${transactionId}`);
}

/** An empty staging directory, whatever an earlier try left there. */
export function resetStaging(layout: Layout, app: string, transactionId: string): string {
  const staging = removeStaging(layout, app, transactionId);
  ensureDirectory(staging);
  return staging;
}

/** Returns where it was. */
export function removeStaging(layout: Layout, app: string, transactionId: string): string {
  const staging = stagingDirectory(layout, app, transactionId);
  removeTree(staging);
  return staging;
}

/** Where the version `digest` of `app` is unpacked while its chunks are being fetched, by however many transactions. */
export function partDirectory(layout: Layout, app: string, digest: string): string {
  return join(appDirectory(layout, app), PART_PREFIX + digest.slice(0, 16));
}

/** `partDirectory`, with what an earlier try left there; one for another version of the app is removed. */
export function openPart(layout: Layout, app: string, digest: string, transactionId: string): string {
  const part = partDirectory(layout, app, digest);
  const staging = stagingDirectory(layout, app, transactionId);
  removeParts(layout, app, part);
  // All was there, and the power went out before the journal recorded it.
  if (!existsSync(part) && existsSync(staging)) renameDurable(staging, part);
  removeTree(staging);
  ensureDirectory(part);
  return part;
}

/** The whole tree, which must be synced, becomes the staging directory of the transaction. */
export function finishPart(layout: Layout, app: string, part: string, transactionId: string): string {
  const staging = stagingDirectory(layout, app, transactionId);
  renameDurable(part, staging);
  return staging;
}

/** What is unpacked of versions of `app` whose chunks are being fetched, or were when that broke off. */
export function listParts(layout: Layout, app: string): string[] {
  const directory = appDirectory(layout, app);
  return listDirectory(directory)
    .filter((name) => name.startsWith(PART_PREFIX))
    .map((name) => join(directory, name));
}

/** Removes what was unpacked of versions of `app` that are not wanted any more, all but `keep`. */
export function removeParts(layout: Layout, app: string, keep?: string): Cleared {
  return clear(listParts(layout, app).filter((part) => part !== keep));
}

/** Removes each tree but those in which something is mounted. */
function clear(paths: readonly string[]): Cleared {
  const cleared: Cleared = { removed: [], stayed: [] };
  for (const path of paths) {
    try {
      removeTree(path);
      cleared.removed.push(path);
    } catch (error) {
      if (!(error instanceof GweError) || error.code !== 'STORE_MOUNTED') throw error;
      cleared.stayed.push(error);
    }
  }
  return cleared;
}

/**
 * Renames the unpacked tree `staging/rootPrefix`, which must be synced, to the version's directory. A version directory
 * that holds the active version stays; any other of that name is replaced. Idempotent: done already, it does nothing.
 */
export function promote(
  layout: Layout,
  version: { app: string; version: string; digest: string; transactionId: string; rootPrefix: string },
): string {
  const staging = stagingDirectory(layout, version.app, version.transactionId);
  const target = versionDirectory(layout, version.app, version);
  const source = version.rootPrefix === '' ? staging : join(staging, version.rootPrefix);
  if (!existsSync(source)) {
    if (existsSync(target)) return target;
    throw new GweError('STORE_IO', `cannot promote '${source}': it is gone, and so is '${target}'`);
  }
  bringMeta(staging, source);
  const name = versionDirectoryName(version);
  const isActive = readLink(currentLink(layout, version.app)) === name && existsSync(target);
  const trash = join(appDirectory(layout, version.app), `${TRASH_PREFIX}${version.transactionId}`);
  changeAppVersions(layout, version.app, ({ made, removing }) => ({
    made: [...made.filter((other) => other !== name), name],
    removing: removing.filter((other) => other !== name),
  }));
  if (isActive) refreshSignatures(source, target);
  else replaceTree(source, target, trash);
  clear([staging]);
  return target;
}

/** What was at `target` may be a version to roll back to: it stays if the new one cannot be put there. */
function replaceTree(source: string, target: string, trash: string): void {
  if (existsSync(target)) renameDurable(target, trash);
  try {
    renameDurable(source, target);
  } catch (error) {
    if (existsSync(trash) && !existsSync(target)) renameDurable(trash, target);
    throw error;
  }
}

/** `.gwe/` lies beside the one top-level directory, and goes along when that becomes the root. */
function bringMeta(staging: string, source: string): void {
  const meta = join(staging, META_DIRECTORY);
  if (source !== staging && existsSync(meta)) renameDurable(meta, join(source, META_DIRECTORY));
}

/** The same version signed by others: its files stay, and with these signatures it can be rolled back to. */
function refreshSignatures(source: string, target: string): void {
  const from = join(source, SIGNATURES_PATH);
  const to = join(target, SIGNATURES_PATH);
  if (existsSync(from) && existsSync(to)) copyFileDurable(from, to, 0o644);
}

/** Points `current` at a version that is there, or takes the link away. */
export function activate(
  layout: Layout,
  app: string,
  record: { version: string; digest: string } | undefined,
): void {
  const link = currentLink(layout, app);
  if (record === undefined) {
    removeFileDurable(link);
    return;
  }
  const directory = versionDirectory(layout, app, record);
  if (!existsSync(directory))
    throw new GweError('STORE_IO', `cannot activate '${directory}': it does not exist`);
  const name = versionDirectoryName(record);
  if (readLink(link) !== name) swapLink(name, link);
}

/** The version directories of `app` that gwe made; what else is beside them is not gwe's. */
export function listVersions(layout: Layout, app: string): string[] {
  return [...readAppVersions(layout, app).made].sort();
}

/**
 * The versions beyond `most` (0: all others), never one of `keep`, never what `current` points at. The ones used
 * longest ago come first: `order` lists the versions in the order of their updates. File times are not asked, for the
 * clock may have been wrong.
 */
export function unneededVersions(
  layout: Layout,
  app: string,
  keep: readonly string[],
  { most, order }: { most: number; order: readonly string[] } = { most: 0, order: [] },
): string[] {
  const active = readLink(currentLink(layout, app));
  const isKept = (name: string): boolean => name === active || keep.includes(name);
  // Those that wait to be removed are no use to anybody: `sweep` looks after them.
  const { made, removing } = readAppVersions(layout, app);
  const names = made.filter((name) => !removing.includes(name));
  const spare = Math.max(0, most - names.filter(isKept).length);
  const lastUse = (name: string): number => order.lastIndexOf(versionOfDirectory(name));
  const newestFirst = names.filter((name) => !isKept(name)).sort((a, b) => lastUse(b) - lastUse(a));
  return newestFirst.slice(spare);
}

/** Removes versions by name; one in which something is mounted stays whole, and `sweep` tries it again. */
export function removeVersions(layout: Layout, app: string, names: readonly string[]): Cleared {
  const paths = names.map((name) => join(appDirectory(layout, app), name));
  const { removed, stayed } = clear(paths);
  const gone = removed.map((path) => basename(path));
  changeAppVersions(layout, app, ({ made, removing }) => ({
    made: made.filter((name) => !gone.includes(name)),
    removing: [...new Set([...removing, ...names])].filter((name) => !gone.includes(name)),
  }));
  return { removed: gone, stayed };
}

/** Takes away everything of `app` that gwe made, and its directory if nothing else is in it. */
export function removeAppTrees(layout: Layout, app: string): Cleared & { foreign: string[] } {
  const directory = appDirectory(layout, app);
  activate(layout, app, undefined);
  removeFileDurable(previousLink(layout, app));
  const versions = removeVersions(layout, app, listVersions(layout, app));
  const left = clear(listLeftovers(layout, app));
  sweepTemporaries(directory);
  const stayed = [...versions.stayed, ...left.stayed];
  if (removeEmptyDirectory(directory)) return { removed: versions.removed, stayed, foreign: [] };
  const ours = [...listVersions(layout, app), ...listLeftovers(layout, app).map((path) => basename(path))];
  const foreign = listDirectory(directory).filter((name) => !ours.includes(name));
  return { removed: versions.removed, stayed, foreign: foreign.map((name) => join(directory, name)) };
}

/** Trees that an update is made in, and what one has put aside. */
function listLeftovers(layout: Layout, app: string): string[] {
  const directory = appDirectory(layout, app);
  return listDirectory(directory)
    .filter((name) => [STAGING_PREFIX, TRASH_PREFIX, PART_PREFIX].some((prefix) => name.startsWith(prefix)))
    .map((name) => join(directory, name));
}

/**
 * Removes what crashed transactions left (staging and trash directories but `keepTransaction`'s, and temporaries), and
 * versions that could not be removed before.
 */
export function sweep(layout: Layout, keepTransaction: string | undefined): Cleared {
  const cleared: Cleared = { removed: [], stayed: [] };
  for (const app of listDirectory(layout.appsDirectory)) {
    const directory = appDirectory(layout, app);
    const leftovers = listLeftovers(layout, app).filter(
      (path) =>
        !basename(path).startsWith(PART_PREFIX) &&
        (keepTransaction === undefined || !path.endsWith(`-${keepTransaction}`)),
    );
    const active = readLink(currentLink(layout, app));
    const late = readAppVersions(layout, app).removing.filter((name) => name !== active);
    for (const { removed, stayed } of [clear(leftovers), removeVersions(layout, app, late)]) {
      cleared.removed.push(...removed);
      cleared.stayed.push(...stayed);
    }
    sweepTemporaries(directory);
    if (late.length > 0) removeEmptyDirectory(directory);
  }
  for (const directory of writtenDirectories(layout)) sweepTemporaries(directory);
  return cleared;
}

/** Where gwe replaces single files: a crash in the middle leaves a temporary there. */
function writtenDirectories(layout: Layout): string[] {
  return [
    layout.stateDirectory,
    layout.updateLogsDirectory,
    layout.outboxDirectory,
    layout.downloadsDirectory,
    layout.runDirectory,
    layout.programsDirectory,
    dirname(layout.gatewayConfig),
  ];
}
