/** Makes what a version came with its owner's alone to write, as it is for all that is unpacked now. */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { systemCode, wrapError } from '../../base/errors.ts';
import type { Manifest } from '../manifest/manifest.ts';
import { MANIFEST_PATH, META_DIRECTORY, SIGNATURES_PATH } from '../manifest/meta-files.ts';
import { placedEntries } from '../manifest/verify-tree.ts';

/** Group and others may read and start a file; who may write it decides what root runs. */
export const PERMITTED_MODE = 0o755;
const WRITABLE_BY_OTHERS = 0o022;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;

/**
 * Directories before their content, and no further where one is not a directory: nothing outside of `directory` is touched. What is
 * not in the manifest is install.sh's business. Returns what was changed.
 */
export function tightenTree(directory: string, manifest: Manifest, uid: number): string[] {
  const changed: string[] = [];
  const seen = new Map<string, boolean>();
  const isSafe = (path: string): boolean => {
    const known = seen.get(path);
    if (known !== undefined) return known;
    const isReached = path === '' || isSafe(parentOf(path));
    const found = isReached ? tighten(join(directory, path), uid) : undefined;
    if (found?.isChanged === true) changed.push(path === '' ? '.' : path);
    seen.set(path, found?.isDirectory === true);
    return found?.isDirectory === true;
  };
  for (const path of ['', META_DIRECTORY, MANIFEST_PATH, SIGNATURES_PATH]) isSafe(path);
  for (const { path } of placedEntries(manifest)) isSafe(path);
  return changed;
}

/** The same for directories of gwe's own: who may write one may put others in the place of what is in it. */
export function tightenDirectories(paths: readonly string[], uid: number): string[] {
  return paths.filter((path) => tighten(path, uid)?.isChanged === true);
}

function parentOf(path: string): string {
  const parent = dirname(path);
  return parent === '.' ? '' : parent;
}

/** `undefined` for a link, and for what is not there or cannot be opened: the comparison that follows has the last word. */
function tighten(path: string, uid: number): { isDirectory: boolean; isChanged: boolean } | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
  try {
    const stat = fs.fstatSync(fd);
    const isForeign = stat.uid !== uid && uid === 0;
    const isLoose = (stat.mode & WRITABLE_BY_OTHERS) !== 0 && (stat.uid === uid || isForeign);
    if (isForeign) fs.fchownSync(fd, uid, stat.gid);
    if (isForeign || isLoose) fs.fchmodSync(fd, stat.mode & PERMITTED_MODE);
    return { isDirectory: stat.isDirectory(), isChanged: isForeign || isLoose };
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot close '${path}' to others`);
  } finally {
    fs.closeSync(fd);
  }
}
