/**
 * What the kernel tells through its files, and about its file systems. Behind an interface, so that tests can fake
 * them.
 */
import * as fs from 'node:fs';
import { systemCode } from '../base/errors.ts';

interface FileSystemFacts {
  /** Tells two mounts of one file system from two file systems. */
  device: number;
  blockBytes: number;
  blocks: number;
  freeBlocks: number;
  availableBlocks: number;
  inodes: number;
  freeInodes: number;
}

export interface SystemFiles {
  /** At most `limitBytes` of a file, or throws as Node's fs does. */
  read(path: string, limitBytes: number): Buffer;
  list(path: string): string[];
  /** The path as the kernel writes it, which need not be UTF-8. */
  statfs(path: Buffer): FileSystemFacts;
}

export function createSystemFiles(): SystemFiles {
  return {
    read: readHead,
    list: (path) => fs.readdirSync(path),
    statfs(path) {
      const stat = fs.statfsSync(path);
      return {
        device: fs.statSync(path).dev,
        blockBytes: stat.bsize,
        blocks: stat.blocks,
        freeBlocks: stat.bfree,
        availableBlocks: stat.bavail,
        inodes: stat.files,
        freeInodes: stat.ffree,
      };
    },
  };
}

/** The files of /proc have no size, so they are read until they end. */
function readHead(path: string, limitBytes: number): Buffer {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const parts: Buffer[] = [];
    let leftBytes = limitBytes;
    while (leftBytes > 0) {
      const part = Buffer.alloc(Math.min(leftBytes, 64 * 1024));
      const length = fs.readSync(fd, part);
      if (length === 0) break;
      parts.push(part.subarray(0, length));
      leftBytes -= length;
    }
    return Buffer.concat(parts);
  } finally {
    fs.closeSync(fd);
  }
}

/** Sources that could not be read, in words: a report names them instead of making something up. */
export interface Missing {
  /** The value of `read`, or `undefined` with a note that names `source`. */
  attempt<T>(source: string, read: () => T): T | undefined;
  note(source: string, reason: string): void;
  notes(): string[];
}

const MOST_NOTES = 20;

export function createMissing(): Missing {
  const notes: string[] = [];
  const note = (source: string, reason: string): void => {
    if (notes.length < MOST_NOTES) notes.push(`${source}: ${reason}`.slice(0, 200));
  };
  return {
    attempt(source, read) {
      try {
        return read();
      } catch (error) {
        note(source, systemCode(error) ?? (error instanceof Error ? error.message : 'not readable'));
        return undefined;
      }
    },
    note,
    notes: () => notes,
  };
}
