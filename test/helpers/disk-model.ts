import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * A file system of which is known what is on the disk and what only in memory: fed with the shim's log of one run, it
 * gives every tree that a power cut may leave. Stricter than ext4: syncing a file syncs no name of it.
 */

interface Inode {
  type: 'file' | 'directory' | 'symlink';
  mode: number;
  target: string;
  /** As the process sees it. */
  data: Buffer;
  /** As it is on the disk. */
  synced: Buffer;
  names: Map<string, Inode>;
  syncedNames: Map<string, Inode>;
}

/** One change of names that happens as a whole; `undefined` takes a name away. */
interface NameChange {
  parts: { directory: Inode; name: string; inode: Inode | undefined }[];
}

/** What becomes of bytes that were written and not synced. */
export type DataFate = 'kept' | 'lost' | 'torn' | 'zeros';
export const DATA_FATES: readonly DataFate[] = ['kept', 'lost', 'torn', 'zeros'];

export interface LoggedCall {
  operation: string;
  path: string;
  other: string;
  number: number;
  data: Buffer;
}

/** The shim's log, one call a line. */
export function parseShimLog(text: string): LoggedCall[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [operation = '', path = '', other = '', number = '0', hex = ''] = line.split('\t');
      return { operation, path, other, number: Number(number), data: Buffer.from(hex, 'hex') };
    });
}

export interface DiskModel {
  apply(call: LoggedCall): void;
  /** Changes of names that are not on the disk yet. */
  pendingNames(): number;
  /** The tree after a cut now, of which the first `names` pending changes of names got through. */
  write(target: string, names: number, fate: DataFate): string;
  /** Tells two trees that `write` would make apart. */
  digest(names: number, fate: DataFate): string;
}

/** Starts from the tree `root`, all of it on the disk. Log paths are below `root` as well. */
export function createDiskModel(root: string): DiskModel {
  const top = load(root);
  let pending: NameChange[] = [];

  const find = (path: string): Inode | undefined => {
    if (path === root) return top;
    const parent = path.startsWith(`${root}/`) ? find(dirname(path)) : undefined;
    return parent?.names.get(basename(path));
  };
  const change = (...parts: [path: string, inode: Inode | undefined][]): void => {
    const resolved = parts.flatMap(([path, inode]) => {
      const directory = find(dirname(path));
      return directory === undefined ? [] : [{ directory, name: basename(path), inode }];
    });
    for (const { directory, name, inode } of resolved) setName(directory.names, name, inode);
    pending.push({ parts: resolved });
  };
  const sync = (inode: Inode): void => {
    inode.synced = inode.data;
    if (inode.type !== 'directory') return;
    const done = pending.filter(({ parts }) => parts.some(({ directory }) => directory === inode));
    for (const { parts } of done)
      for (const { directory, name, inode: to } of parts) setName(directory.syncedNames, name, to);
    pending = pending.filter((one) => !done.includes(one));
  };
  /** The names of each directory after a cut. */
  const namesAfter = (count: number): Map<Inode, Map<string, Inode>> => {
    const after = new Map<Inode, Map<string, Inode>>();
    for (const { parts } of pending.slice(0, count)) {
      for (const { directory, name, inode } of parts) {
        const names = after.get(directory) ?? new Map(directory.syncedNames);
        setName(names, name, inode);
        after.set(directory, names);
      }
    }
    return after;
  };
  const walk = (count: number, visit: (path: string, inode: Inode) => void): void => {
    const after = namesAfter(count);
    const step = (inode: Inode, path: string): void => {
      visit(path, inode);
      for (const [name, child] of [...(after.get(inode) ?? inode.syncedNames)].sort())
        step(child, join(path, name));
    };
    step(top, '');
  };

  return {
    apply({ operation, path, other, number, data }) {
      const inode = find(path);
      switch (operation) {
        case 'create':
          change([path, makeInode('file', number)]);
          break;
        case 'mkdir':
          change([path, makeInode('directory', number)]);
          break;
        case 'symlink':
          change([path, { ...makeInode('symlink', 0o777), target: other }]);
          break;
        case 'link':
          change([other, inode]);
          break;
        case 'rename':
          change([path, undefined], [other, inode]);
          break;
        case 'unlink':
        case 'rmdir':
          change([path, undefined]);
          break;
        case 'chmod':
          if (inode !== undefined) inode.mode = number;
          break;
        case 'write':
          if (inode !== undefined) inode.data = overwrite(inode.data, number, data);
          break;
        case 'truncate':
          if (inode !== undefined) inode.data = resize(inode.data, number);
          break;
        case 'fsync':
          if (inode !== undefined) sync(inode);
          break;
      }
    },
    pendingNames: () => pending.length,
    write(target, names, fate) {
      const directories: [string, number][] = [];
      walk(names, (path, inode) => {
        const at = join(target, path);
        if (inode.type === 'symlink') fs.symlinkSync(inode.target, at);
        else if (inode.type === 'file') {
          fs.writeFileSync(at, contentAfter(inode, fate));
          fs.chmodSync(at, inode.mode & 0o7777);
        } else {
          fs.mkdirSync(at, { recursive: true });
          directories.push([at, inode.mode & 0o7777]);
        }
      });
      for (const [at, mode] of directories.reverse()) fs.chmodSync(at, mode);
      return target;
    },
    digest(names, fate) {
      const hash = createHash('sha256');
      walk(names, (path, inode) => {
        hash.update(`${path}\0${inode.type}\0${inode.mode & 0o7777}\0${inode.target}\0`);
        hash.update(contentAfter(inode, fate));
      });
      return hash.digest('hex');
    },
  };
}

function makeInode(type: Inode['type'], mode: number): Inode {
  const empty = Buffer.alloc(0);
  return { type, mode, target: '', data: empty, synced: empty, names: new Map(), syncedNames: new Map() };
}

function setName(names: Map<string, Inode>, name: string, inode: Inode | undefined): void {
  if (inode === undefined) names.delete(name);
  else names.set(name, inode);
}

function load(path: string): Inode {
  const stat = fs.lstatSync(path);
  if (stat.isSymbolicLink()) return { ...makeInode('symlink', 0o777), target: fs.readlinkSync(path) };
  if (!stat.isDirectory()) {
    const data = stat.isFile() ? fs.readFileSync(path) : Buffer.alloc(0);
    return { ...makeInode('file', stat.mode), data, synced: data };
  }
  const names = new Map(fs.readdirSync(path).map((name) => [name, load(join(path, name))]));
  return { ...makeInode('directory', stat.mode), names, syncedNames: new Map(names) };
}

function overwrite(old: Buffer, at: number, data: Buffer): Buffer {
  const grown = Buffer.alloc(Math.max(old.length, at + data.length));
  old.copy(grown);
  data.copy(grown, at);
  return grown;
}

function resize(old: Buffer, length: number): Buffer {
  const resized = Buffer.alloc(length);
  old.copy(resized);
  return resized;
}

function contentAfter(inode: Inode, fate: DataFate): Buffer {
  const { data, synced } = inode;
  if (data === synced || fate === 'kept') return data;
  if (fate === 'lost') return synced;
  const from = commonLength(data, synced);
  if (fate === 'torn') return data.subarray(0, from + ((data.length - from) >> 1));
  // The new length got through, the blocks did not.
  return Buffer.concat([data.subarray(0, from), Buffer.alloc(data.length - from)]);
}

function commonLength(one: Buffer, two: Buffer): number {
  const most = Math.min(one.length, two.length);
  let at = 0;
  while (at < most && one[at] === two[at]) at++;
  return at;
}
