/** Version directories: staging, promotion by rename, switching `current`, pruning. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { META_DIRECTORY, SIGNATURES_PATH } from '../artifact/manifest.ts';
import { GweError } from '../base/errors.ts';
import {
  copyFileDurable,
  ensureDirectory,
  listDirectory,
  readLink,
  removeFileDurable,
  removeTree,
  renameDurable,
  swapLink,
  sweepTemporaries,
} from '../base/fs.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  versionDirectory,
  versionDirectoryName,
  versionOfDirectory,
} from './layout.ts';

const STAGING_PREFIX = '.staging-';
const TRASH_PREFIX = '.trash-';
const PART_PREFIX = '.part-';

/** Where the tarball of one transaction is unpacked: beside the final place, so that a rename suffices. */
export function stagingDirectory(layout: Layout, app: string, transactionId: string): string {
  return join(appDirectory(layout, app), `${STAGING_PREFIX}${transactionId}`);
}

/** An empty staging directory, whatever an earlier try left there. */
export function resetStaging(layout: Layout, app: string, transactionId: string): string {
  const staging = stagingDirectory(layout, app, transactionId);
  removeTree(staging);
  ensureDirectory(staging);
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
  // All was there, and the power went before the journal could say so.
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
export function removeParts(layout: Layout, app: string, keep?: string): void {
  for (const part of listParts(layout, app)) if (part !== keep) removeTree(part);
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
  const target = versionDirectory(layout, version.app, version.version, version.digest);
  const source = version.rootPrefix === '' ? staging : join(staging, version.rootPrefix);
  if (!existsSync(source)) {
    if (existsSync(target)) return target;
    throw new GweError('STORE_IO', `cannot promote '${source}': it is gone, and so is '${target}'`);
  }
  bringMeta(staging, source);
  const name = versionDirectoryName(version.version, version.digest);
  const isActive = readLink(currentLink(layout, version.app)) === name && existsSync(target);
  const trash = join(appDirectory(layout, version.app), `${TRASH_PREFIX}${version.transactionId}`);
  if (isActive) refreshSignatures(source, target);
  else replaceTree(source, target, trash);
  removeTree(staging);
  return target;
}

/** What was in the place of `target` may be a version to go back to: it stays if the new one cannot get there. */
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

/** The same version signed by others: its files stay, and by these signatures it can be gone back to. */
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
  const directory = versionDirectory(layout, app, record.version, record.digest);
  if (!existsSync(directory))
    throw new GweError('STORE_IO', `cannot activate '${directory}': it does not exist`);
  const name = versionDirectoryName(record.version, record.digest);
  if (readLink(link) !== name) swapLink(name, link);
}

/** The version directories of `app`, links and leftovers not counted. */
export function listVersions(layout: Layout, app: string): string[] {
  return listDirectory(appDirectory(layout, app)).filter(
    (name) => name !== 'current' && name !== 'previous' && !name.startsWith('.'),
  );
}

/**
 * Removes versions until `most` are left (0: all others), never one of `keep`, never what `current` points at. The
 * ones used longest ago go first: `order` lists the versions in the order of their updates. File times are not asked,
 * for the clock may have been wrong. Returns the names removed.
 */
export function prune(
  layout: Layout,
  app: string,
  keep: readonly string[],
  most = 0,
  order: readonly string[] = [],
): string[] {
  const directory = appDirectory(layout, app);
  const active = readLink(currentLink(layout, app));
  const isKept = (name: string): boolean => name === active || keep.includes(name);
  const names = listVersions(layout, app);
  const spare = Math.max(0, most - names.filter(isKept).length);
  const lastUse = (name: string): number => order.lastIndexOf(versionOfDirectory(name));
  const newestFirst = names.filter((name) => !isKept(name)).sort((a, b) => lastUse(b) - lastUse(a));
  const removed = newestFirst.slice(spare);
  for (const name of removed) removeTree(join(directory, name));
  return removed;
}

/** Removes what crashed transactions left: staging and trash directories but `keepTransaction`'s, and temporaries. */
export function sweep(layout: Layout, keepTransaction: string | undefined): string[] {
  const removed: string[] = [];
  for (const app of listDirectory(layout.appsDirectory)) {
    const directory = appDirectory(layout, app);
    for (const name of listDirectory(directory)) {
      const isLeftover = name.startsWith(STAGING_PREFIX) || name.startsWith(TRASH_PREFIX);
      if (!isLeftover || (keepTransaction !== undefined && name.endsWith(`-${keepTransaction}`))) continue;
      removeTree(join(directory, name));
      removed.push(join(directory, name));
    }
    sweepTemporaries(directory);
  }
  for (const directory of writtenDirectories(layout)) sweepTemporaries(directory);
  return removed;
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
