/**
 * The tar stream that an unpacked version came from, without its tarball: headers are canonical, so the stream is a
 * pure function of the manifest and the files on the disk. An app may have changed these: every reader checks a
 * digest.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { ByteSource } from '../byte-source.ts';
import type { Items } from '../json-lists.ts';
import { type Manifest, type ManifestEntry, toEntryHeader } from '../manifest/manifest.ts';
import { rootPrefixOf } from '../manifest/verify-tree.ts';
import { BLOCK_BYTES } from '../tar/header.ts';
import { createHeaderEncoder, END_OF_ARCHIVE_BYTES, encodeEntryHeader, paddingBytes } from '../tar/writer.ts';

export interface TreeStream extends ByteSource {
  /** Whether the files are long enough for `read` to find something there. */
  has(offset: number, sizeBytes: number): boolean;
  close(): void;
}

interface TreeStreamOptions {
  /** The top-level directory that has become `directory` itself. Default: the only one that the manifest has. */
  rootPrefix?: string;
  /** Whether a file may be shorter or longer than the manifest says: what an interrupted unpacking left. */
  mayBePartial?: boolean;
}

/** Files that are kept open: reading is mostly in order, and a patch jumps between few. */
const MOST_OPEN = 4;

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** Content, headers and padding of every entry and the end of the archive: all that is behind `.gwe/` in the stream. */
export function openTreeStream(
  directory: string,
  manifest: Pick<Manifest, 'entries'>,
  options: TreeStreamOptions = {},
): TreeStream {
  return new ManifestStream(directory, manifest.entries, options);
}

/** The bytes of the header blocks of an entry: one block unless a name has no room in it. */
function headerBytes(entry: ManifestEntry): number {
  // Within these ustar's own fields are enough; beyond, only rendering tells.
  const isShort = Buffer.byteLength(entry.path) < 100;
  const isPlain = isShort && (entry.type !== 'symlink' || Buffer.byteLength(entry.target) <= 100);
  return isPlain ? BLOCK_BYTES : encodeEntryHeader(toEntryHeader(entry)).length;
}

class ManifestStream implements TreeStream {
  readonly sizeBytes: number;
  readonly #directory: string;
  readonly #entries: Items<ManifestEntry>;
  /** Where each entry's header starts; the last one is where the end of the archive starts. */
  readonly #starts: Float64Array;
  readonly #prefix: string;
  readonly #mayBePartial: boolean;
  /** The least recently used first. */
  readonly #open = new Map<number, number>();
  readonly #headers = createHeaderEncoder();
  #header: { index: number; bytes: Buffer } | undefined;

  constructor(directory: string, entries: Items<ManifestEntry>, options: TreeStreamOptions) {
    this.#directory = directory;
    this.#entries = entries;
    this.#prefix = options.rootPrefix ?? rootPrefixOf(entries);
    this.#mayBePartial = options.mayBePartial === true;
    this.#starts = new Float64Array(entries.length + 1);
    let [at, index] = [0, 0];
    for (const entry of entries) {
      this.#starts[index++] = at;
      at += headerBytes(entry) + contentBytes(entry) + paddingBytes(contentBytes(entry));
    }
    this.#starts[entries.length] = at;
    this.sizeBytes = at + END_OF_ARCHIVE_BYTES;
  }

  has(offset: number, sizeBytes: number): boolean {
    const end = offset + sizeBytes;
    for (let index = this.#find(offset); (this.#starts[index] ?? end) < end; index++) {
      const entry = this.#entries.at(index);
      const contentAt = (this.#starts[index] ?? 0) + (entry === undefined ? 0 : headerBytes(entry));
      const neededBytes = entry === undefined ? 0 : Math.min(contentBytes(entry), end - contentAt);
      // The manifest says everything about headers and padding.
      if (entry === undefined || neededBytes <= 0 || contentAt + contentBytes(entry) <= offset) continue;
      const fd = this.#descriptor(index, entry);
      if (fd === -1 || fs.fstatSync(fd).size < neededBytes) return false;
    }
    return end <= this.sizeBytes;
  }

  read(offset: number, into: Buffer): boolean {
    if (offset < 0 || offset + into.length > this.sizeBytes) return false;
    let index = this.#find(offset);
    for (let done = 0; done < into.length; index++) {
      const start = this.#starts[index] ?? 0;
      const end = this.#starts[index + 1] ?? this.sizeBytes;
      const part = into.subarray(done, done + Math.min(into.length - done, end - offset - done));
      if (!this.#readEntry(index, offset + done - start, part)) return false;
      done += part.length;
    }
    return true;
  }

  close(): void {
    for (const fd of this.#open.values()) fs.closeSync(fd);
    this.#open.clear();
  }

  /** The entry that holds `offset`. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** A part of one entry, from `at` bytes behind the start of its header. */
  #readEntry(index: number, at: number, into: Buffer): boolean {
    const entry = this.#entries.at(index);
    into.fill(0);
    if (entry === undefined) return true;
    const header = this.#renderHeader(index, entry);
    const inHeader = Math.min(into.length, Math.max(0, header.length - at));
    if (inHeader > 0) header.copy(into, 0, at, at + inHeader);
    const contentAt = at + inHeader - header.length;
    const left = Math.min(into.length - inHeader, contentBytes(entry) - contentAt);
    return left <= 0 || this.#readFile(index, entry, contentAt, into.subarray(inHeader, inHeader + left));
  }

  #renderHeader(index: number, entry: ManifestEntry): Buffer {
    if (this.#header?.index !== index)
      this.#header = { index, bytes: this.#headers.encode(toEntryHeader(entry)) };
    return this.#header.bytes;
  }

  #readFile(index: number, entry: ManifestEntry, at: number, into: Buffer): boolean {
    const fd = this.#descriptor(index, entry);
    if (fd === -1) return false;
    try {
      for (let done = 0; done < into.length; ) {
        const count = fs.readSync(fd, into, done, into.length - done, at + done);
        if (count === 0) return false;
        done += count;
      }
      return true;
    } catch {
      return false; // A bad sector counts as a missing byte.
    }
  }

  #descriptor(index: number, entry: ManifestEntry): number {
    const known = this.#open.get(index);
    const fd = known ?? this.#openFile(entry);
    if (fd === -1) return fd;
    this.#open.delete(index);
    this.#open.set(index, fd);
    const [oldest] = this.#open;
    if (this.#open.size > MOST_OPEN && oldest !== undefined) {
      this.#open.delete(oldest[0]);
      fs.closeSync(oldest[1]);
    }
    return fd;
  }

  /** Never blocks, and never follows a link in the file's place; -1 for a file that cannot be used. */
  #openFile(entry: ManifestEntry): number {
    const path = this.#prefix === '' ? entry.path : entry.path.slice(this.#prefix.length + 1);
    let fd: number;
    try {
      fd = fs.openSync(join(this.#directory, path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch {
      return -1;
    }
    const stat = fs.fstatSync(fd);
    if (stat.isFile() && (this.#mayBePartial || stat.size === contentBytes(entry))) return fd;
    fs.closeSync(fd);
    return -1;
  }
}

function contentBytes(entry: ManifestEntry): number {
  return entry.type === 'file' ? entry.size : 0;
}
