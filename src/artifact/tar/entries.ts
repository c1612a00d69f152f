/**
 * The rules for what an archive may put on the disk, pure. They are stricter than any tar: whatever passes cannot
 * write outside the directory it is unpacked into, in any order of entries.
 */
import { isUtf8 } from 'node:buffer';
import { CONTROL, entryFault, limitFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import type { Adjustments } from './adjustments.ts';
import { crooked, reachOfSymlink } from './links.ts';

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
  /** For a symlink, its target as stored; for a hard link, the normalised path of the file; else ''. */
  target: string;
  /** An earlier entry of this path is to be replaced. */
  isRepeated?: true;
}

/**
 * The modification time in every tarball that gwe builds: 1980-01-01, late enough for every tool. It says nothing, so
 * unpacking leaves such a file with the time of unpacking; otherwise whatever goes by size and time (rsync, make,
 * Python's bytecode cache) would take the file of the next version for the old one.
 */
export const CANONICAL_MTIME_S = 315_532_800;

/**
 * Decodes the bytes of a name: UTF-8, else Latin-1, which old machines and archivers of other systems write. `shown` is
 * how to name the entry in the error.
 */
export function decodeName(bytes: Uint8Array, shown: string, adjustments: Adjustments): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (isUtf8(bytes)) return buffer.toString('utf8');
  const name = buffer.toString('latin1');
  if (/[\x80-\x9f]/.test(name)) {
    const expected = 'one of these; rename it, or pack it where names are UTF-8';
    throw entryFault(shown, 'a name that is neither UTF-8 nor Latin-1', expected);
  }
  adjustments.add('latin1', name);
  return name;
}

/** The path below the root that a stored name means. */
export function normaliseName(name: string, limits: ArtifactLimits): string {
  if (name === '') throw entryFault(name, 'an empty name', 'a relative path');
  if (CONTROL.test(name))
    throw entryFault(name, 'a control character in the name', 'printable names; rename it');
  if (name.startsWith('/'))
    throw entryFault(
      name,
      'an absolute name',
      'a path relative to the artifact; pack with tar -C DIRECTORY, without -P',
    );
  if (Buffer.byteLength(name) > limits.pathBytes) {
    throw limitFault(
      `entry ${quote(name)}`,
      `a path of ${Buffer.byteLength(name)} bytes`,
      `${limits.pathBytes}`,
    );
  }
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw entryFault(
      name,
      "'..' in the name",
      'a path that stays inside the artifact; pack with tar -C DIRECTORY',
    );
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

type Placed = 'file' | 'symlink' | 'directory' | 'implied';

/** What the archive has put where so far: sees repeated names, and links and files that are used as directories. */
export class EntryTree {
  readonly #types = new Map<string, Placed>();
  /** Where symlinks lead. */
  readonly #targets = new Map<string, string>();
  /** Links with `..` behind a name, to be looked at when all names are known. */
  readonly #winding: { path: string; target: string; through: readonly string[] }[] = [];
  readonly #limits: ArtifactLimits;
  readonly #adjustments: Adjustments;
  #keptBytes = 0;

  constructor(limits: ArtifactLimits, adjustments: Adjustments) {
    this.#limits = limits;
    this.#adjustments = adjustments;
  }

  /**
   * Admits `stored` or throws. Returns it as it is to be made, and the directories to be made for it, outermost
   * first.
   */
  add(stored: TarEntry): { entry: TarEntry; directories: string[] } {
    const directories = this.#admitParents(stored.path);
    const entry = stored.type === 'hardlink' ? this.#resolveHardLink(stored) : stored;
    const before = this.#types.get(entry.path);
    const isDirectory = before === 'directory' || before === 'implied';
    if (entry.type === 'directory' && (isDirectory || entry.path === '')) {
      this.#types.set(entry.path, 'directory');
      return { entry, directories };
    }
    if (before !== undefined && (isDirectory || entry.type === 'directory')) {
      const found = `a ${entry.type} where there already is a ${isDirectory ? 'directory' : before}`;
      throw entryFault(entry.path, found, 'one of them; leave the other out');
    }
    if (before !== undefined) this.#adjustments.add('repeated', entry.path);
    this.#set(entry.path, entry.type === 'hardlink' ? 'file' : entry.type);
    if (entry.type === 'symlink') this.#admitSymlink(entry);
    return { entry: before === undefined ? entry : { ...entry, isRepeated: true }, directories };
  }

  /** GNU tar stores a file that it is given twice (`tar czf x.tar.gz install.sh *`) as a hard link to itself. */
  isLinkToItself(entry: TarEntry): boolean {
    const type = this.#types.get(entry.path);
    return (
      entry.type === 'hardlink' && entry.target === entry.path && (type === 'file' || type === 'symlink')
    );
  }

  /** No more entries come; throws for a link that turned out to lead to an unknown place. */
  end(): void {
    for (const { path, target, through } of this.#winding) {
      const isReal = through.every((each) => ['directory', 'implied'].includes(this.#types.get(each) ?? ''));
      if (!isReal && this.#targets.get(path) === target) throw crooked(path, target);
    }
  }

  #admitParents(path: string): string[] {
    const missing: string[] = [];
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      const type = this.#types.get(parent);
      if (type === 'file' || type === 'symlink') {
        const expected = 'a path through directories; leave one of the two out';
        throw entryFault(path, `a path through the ${type} ${quote(parent)}`, expected);
      }
      if (type !== undefined) continue;
      this.#set(parent, 'implied');
      missing.push(parent);
    }
    return missing;
  }

  #admitSymlink({ path, target }: TarEntry): void {
    const { isOutside, through } = reachOfSymlink(path, target, this.#limits);
    if (isOutside) this.#adjustments.add('system-link', path);
    if (through.length > 0) this.#winding.push({ path, target, through });
    this.#count(target);
    this.#targets.set(path, target);
  }

  /** Two names of one symlink are two symlinks. */
  #resolveHardLink(entry: TarEntry): TarEntry {
    const type = this.#types.get(entry.target);
    if (type === 'file') return entry;
    const target = this.#targets.get(entry.target);
    if (type === 'symlink' && target !== undefined) return { ...entry, type: 'symlink', target };
    const found = `a hard link to ${quote(entry.target)}, which is no file unpacked before it`;
    throw entryFault(entry.path, found, 'a link to an earlier file; pack both names in one run of tar');
  }

  #set(path: string, type: Placed): void {
    this.#count(path);
    this.#targets.delete(path);
    this.#types.set(path, type);
  }

  #count(text: string): void {
    this.#keptBytes += text.length;
    if (this.#keptBytes <= this.#limits.allPathsBytes) return;
    throw limitFault('tarball', 'all paths together are too long', `${this.#limits.allPathsBytes} bytes`);
  }
}
