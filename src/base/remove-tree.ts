/**
 * Removes a tree and nothing but that tree: never through a mount point. A bind mount has the device number of what it
 * shows, so mounts are told apart by their ids. Directories are held open and named through /proc/self/fd, so that one
 * that is swapped for a link or a mount meanwhile is not followed either.
 */
import * as fs from 'node:fs';
import { basename, dirname } from 'node:path';
import { GweError, wrapError } from './errors.ts';
import { describeMount, mountPointsIn } from './mount-points.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
const OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
/** Each level holds a descriptor: what lies deeper is lifted to the top first. */
const DEEPEST = 50;
const LIFTED_PREFIX = '.gwe-lifted-';

interface Removal {
  path: string;
  mountId: string;
  /** Descriptor of the top directory. */
  top: number;
  lifted: number;
}

/**
 * Removes whatever is at `path`; nothing there is fine. Throws STORE_MOUNTED, before anything is removed, where
 * something is mounted at `path` or below it.
 */
export function removeTree(path: string): void {
  try {
    const stat = fs.lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) removeTop(path);
    else fs.unlinkSync(path);
  } catch (error) {
    throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}

function removeTop(path: string): void {
  const [mount] = mountPointsIn(path);
  if (mount !== undefined) throw mounted(path, describeMount(mount));
  const parent = fs.openSync(dirname(path), O_RDONLY | O_DIRECTORY);
  try {
    const name = Buffer.from(basename(path));
    const top = fs.openSync(inside(parent, name), OPEN_DIRECTORY);
    try {
      const removal: Removal = { path, mountId: mountIdOf(parent), top, lifted: 0 };
      // What was too deep in one pass is at the top in the next.
      while (empty(top, removal, 0) > 0);
    } finally {
      fs.closeSync(top);
    }
    fs.rmdirSync(inside(parent, name));
  } finally {
    fs.closeSync(parent);
  }
}

/** Removes what is in an open directory; how many directories of it were lifted to the top instead. */
function empty(directory: number, removal: Removal, depth: number): number {
  if (mountIdOf(directory) !== removal.mountId)
    throw mounted(removal.path, `'${fs.readlinkSync(`/proc/self/fd/${directory}`)}'`);
  allowWriting(directory);
  const before = removal.lifted;
  const entries = fs.readdirSync(`/proc/self/fd/${directory}`, { withFileTypes: true, encoding: 'buffer' });
  for (const entry of entries) {
    const at = inside(directory, entry.name);
    if (!entry.isDirectory()) fs.unlinkSync(at);
    else if (depth < DEEPEST) removeDirectory(at, removal, depth + 1);
    else fs.renameSync(at, inside(removal.top, Buffer.from(`${LIFTED_PREFIX}${removal.lifted++}`)));
  }
  return removal.lifted - before;
}

function removeDirectory(at: Buffer, removal: Removal, depth: number): void {
  const directory = fs.openSync(at, OPEN_DIRECTORY);
  try {
    empty(directory, removal, depth);
  } finally {
    fs.closeSync(directory);
  }
  fs.rmdirSync(at);
}

/** As bytes: a name need not be UTF-8. */
function inside(directory: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
}

/** A directory without write permission stops everybody but root. */
function allowWriting(directory: number): void {
  if (process.getuid?.() !== 0) fs.fchmodSync(directory, 0o700);
}

/** Kernels before 3.15 do not say: there only a different device counts as another mount. */
function mountIdOf(fd: number): string {
  const id = /^mnt_id:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
  return id ?? `device ${fs.fstatSync(fd).dev}`;
}

function mounted(path: string, what: string): GweError {
  return new GweError(
    'STORE_MOUNTED',
    `cannot remove '${path}': ${what} is mounted in it, and gwe must not remove what is mounted; ` +
      'it stays until that is unmounted, and gwe tries again later',
  );
}
