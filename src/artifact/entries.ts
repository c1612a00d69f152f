/**
 * The rules for what an archive may put on the disk, pure. They are stricter than any tar: whatever passes can neither
 * write nor point outside the directory it is unpacked into, in any order of entries.
 */
import { isUtf8 } from 'node:buffer';
import { entryFault, limitFault, quote } from './faults.ts';
import type { ArtifactLimits } from './limits.ts';

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink';

export interface TarEntry {
  type: EntryType;
  /** Relative, without `./`, `..`, double or trailing slashes; '' is the root directory itself. */
  path: string;
  /** Permission bits, 0 to 0o777. */
  mode: number;
  /** Bytes of content; 0 for everything but files. */
  sizeBytes: number;
  /** Unix seconds, 0 or more. */
  mtimeS: number;
  /** Of a symlink: its target as stored. Of a hard link: the normalised path of the file. Else ''. */
  target: string;
}

/**
 * The modification time in every tarball that gwe builds: 1980-01-01, late enough for every tool. It says nothing, so
 * unpacking leaves such a file with the time of unpacking; otherwise whatever goes by size and time (rsync, make,
 * Python's bytecode cache) would take the file of the next version for the old one.
 */
export const CANONICAL_MTIME_S = 315_532_800;

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
const CONTROL = /[\x00-\x1f\x7f]/;

/** Decodes the bytes of a name; `shown` is how to name the entry in the error. */
export function decodeName(bytes: Uint8Array, shown: string): string {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  throw entryFault(shown, 'a name that is not UTF-8', 'UTF-8 names');
}

/** The path below the root that a stored name means. */
export function normaliseName(name: string, limits: ArtifactLimits): string {
  if (name === '') throw entryFault(name, 'an empty name', 'a relative path');
  if (CONTROL.test(name)) throw entryFault(name, 'a control character in the name', 'printable names');
  if (name.startsWith('/')) throw entryFault(name, 'an absolute name', 'a path relative to the artifact');
  if (Buffer.byteLength(name) > limits.pathBytes) {
    throw limitFault(
      `entry ${quote(name)}`,
      `a path of ${Buffer.byteLength(name)} bytes`,
      `${limits.pathBytes}`,
    );
  }
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw entryFault(name, "'..' in the name", 'a path that stays inside the artifact');
  if (parts.length > limits.depth) {
    throw limitFault(`entry ${quote(name)}`, `a path ${parts.length} names deep`, `${limits.depth}`);
  }
  const longest = parts.find((part) => Buffer.byteLength(part) > limits.componentBytes);
  if (longest !== undefined) {
    const found = `a name of ${Buffer.byteLength(longest)} bytes`;
    throw limitFault(`entry ${quote(name)}`, found, `${limits.componentBytes}`);
  }
  return parts.join('/');
}

/**
 * Accepts the target of a symlink at `path` if it cannot lead out of the root, whatever else the archive holds.
 * `..` is allowed at the start only: the parents of an entry are real directories (EntryTree sees to it), so climbing
 * from there is exact, and below that every link keeps the same rule. A `..` behind a name could follow another link.
 */
export function checkSymlink(path: string, target: string, limits: ArtifactLimits): void {
  const refuse = (found: string): Error => entryFault(path, found, 'a link that stays inside the artifact');
  if (target === '') throw refuse('a link to nothing');
  if (CONTROL.test(target)) throw refuse('a control character in the link target');
  if (target.startsWith('/')) throw refuse(`a link to the absolute path ${quote(target)}`);
  if (Buffer.byteLength(target) > limits.pathBytes)
    throw refuse('a link target of more than the allowed length');
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const up = climbs === -1 ? parts.length : climbs;
  if (up > path.split('/').length - 1) throw refuse(`a link to ${quote(target)}, which is outside of it`);
  if (parts.includes('..', up)) throw refuse(`a link to ${quote(target)} with '..' behind a name`);
}

/**
 * The permission bits to give an entry. setuid, setgid and sticky are refused on files: software that needs them has
 * to ask for them in its install.sh, where they can be seen. On directories they are dropped: `tar` run in a setgid
 * directory stores them without anybody having meant it.
 */
export function safeMode(path: string, type: EntryType, mode: number): number {
  if (type === 'file' && (mode & 0o7000) !== 0) {
    const found = `mode ${mode.toString(8).padStart(4, '0')} (setuid, setgid or sticky)`;
    throw entryFault(path, found, 'permission bits only; set the bit in install.sh if it is needed');
  }
  return mode & 0o777;
}

/** What the archive has put where so far: sees repeated names, and links and files that are used as directories. */
export class EntryTree {
  readonly #types = new Map<string, 'file' | 'symlink' | 'directory' | 'implied'>();
  readonly #limits: ArtifactLimits;
  #pathBytes = 0;

  constructor(limits: ArtifactLimits) {
    this.#limits = limits;
  }

  /** Admits `entry` or throws. Returns the directories to be made for it, outermost first. */
  add(entry: TarEntry): string[] {
    const missing = this.#admitParents(entry.path);
    if (entry.type === 'hardlink') this.#checkHardLink(entry);
    const before = this.#types.get(entry.path);
    const isDirectory = before === 'directory' || before === 'implied';
    if (entry.type === 'directory' && (isDirectory || entry.path === '')) {
      this.#types.set(entry.path, 'directory');
      return missing;
    }
    if (before !== undefined) {
      const what = isDirectory ? 'directory' : before;
      throw entryFault(entry.path, `a ${entry.type} where there already is a ${what}`, 'every path once');
    }
    this.#set(entry.path, entry.type === 'hardlink' ? 'file' : entry.type);
    return missing;
  }

  /** GNU tar stores a file that it is given twice (`tar czf x.tar.gz install.sh *`) as a hard link to itself. */
  isLinkToItself(entry: TarEntry): boolean {
    return entry.type === 'hardlink' && entry.target === entry.path && this.#types.get(entry.path) === 'file';
  }

  #admitParents(path: string): string[] {
    const missing: string[] = [];
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      const type = this.#types.get(parent);
      if (type === 'file' || type === 'symlink') {
        throw entryFault(path, `a path through the ${type} ${quote(parent)}`, 'a path through directories');
      }
      if (type !== undefined) continue;
      this.#set(parent, 'implied');
      missing.push(parent);
    }
    return missing;
  }

  #checkHardLink(entry: TarEntry): void {
    if (this.#types.get(entry.target) === 'file') return;
    const found = `a hard link to ${quote(entry.target)}, which is no file unpacked before it,`;
    throw entryFault(entry.path, found, 'a link to an earlier file of the artifact');
  }

  #set(path: string, type: 'file' | 'symlink' | 'directory' | 'implied'): void {
    this.#pathBytes += path.length;
    if (this.#pathBytes > this.#limits.allPathsBytes) {
      throw limitFault('tarball', 'all paths together are too long', `${this.#limits.allPathsBytes} bytes`);
    }
    this.#types.set(path, type);
  }
}
