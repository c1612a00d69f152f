import { entryFault, formatFault, limitFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import { Adjustments } from './adjustments.ts';
import { EntryTree, normaliseName, type TarEntry } from './entries.ts';
import { checkGlobalPax, decodeGnuLong, decodePax, type Extension, mergeExtensions } from './extension.ts';
import {
  BLOCK_BYTES,
  type DecodedHeader,
  decodeHeader,
  type ExtensionType,
  isExtensionType,
  isZeroBlock,
} from './header.ts';

/**
 * A strict tar parser: buffers go in, entries come out by synchronous calls, in bounded memory. It reads what GNU tar,
 * bsdtar, busybox and Python write (ustar, pax, GNU long names) and refuses whatever readers disagree about.
 */

/** Called in the order of the archive. What they throw goes through `write`. */
export interface TarHandlers {
  /** An entry that passed every rule; `directories` are to be made first, outermost first. */
  entry(entry: TarEntry, directories: readonly string[]): void;
  /** Bytes of the last file entry. Only valid during the call. */
  data(chunk: Buffer): void;
  /** The last file entry has all of its bytes. */
  fileEnd(): void;
}

type State =
  | { at: 'header' }
  | { at: 'extension'; header: DecodedHeader; kind: ExtensionType; chunks: Buffer[]; leftBytes: number }
  | { at: 'file'; path: string; leftBytes: number }
  | { at: 'padding'; path: string; leftBytes: number }
  | { at: 'first-zero' }
  | { at: 'end' };

export class TarReader {
  readonly #handlers: TarHandlers;
  readonly #limits: ArtifactLimits;
  readonly #tree: EntryTree;
  readonly #adjustments: Adjustments;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #blockBytes = 0;
  #state: State = { at: 'header' };
  #extension: Extension = {};
  #hasExtension = false;
  #offset = 0;
  #headers = 0;
  #entries = 0;
  #contentBytes = 0;
  #lastPath = '';

  constructor(handlers: TarHandlers, limits: ArtifactLimits, adjustments: Adjustments = new Adjustments()) {
    this.#handlers = handlers;
    this.#limits = limits;
    this.#adjustments = adjustments;
    this.#tree = new EntryTree(limits, adjustments);
  }

  /** Files, directories and links so far. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes of the files so far. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  /**
   * Takes the next bytes of the stream; throws ARTIFACT_FORMAT, ARTIFACT_ENTRY or ARTIFACT_LIMIT at the first fault.
   */
  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const used = this.#take(chunk.subarray(at));
      at += used;
      this.#offset += used;
    }
  }

  /** The stream is over; throws ARTIFACT_FORMAT if the archive is not. */
  end(): void {
    const state = this.#state;
    if (this.#isOver()) {
      this.#tree.end();
      return;
    }
    assertNotGzip(this.#block);
    const where =
      state.at === 'file' || state.at === 'padding'
        ? `in the middle of entry ${quote(state.path)}`
        : 'before its end';
    throw formatFault(
      `the archive is cut off ${where} (after ${this.#offset} bytes)`,
      'two zero blocks at the end',
    );
  }

  /** Two zero blocks end an archive; some tools write one, or none, and some fill up what they write to. */
  #isOver(): boolean {
    const rest = this.#block.subarray(0, this.#blockBytes);
    switch (this.#state.at) {
      case 'end':
      case 'first-zero':
        return rest.every((byte) => byte === 0);
      case 'header': {
        if (this.#entries === 0 || this.#hasExtension || rest.some((byte) => byte !== 0)) return false;
        this.#adjustments.add('no-end', this.#lastPath);
        return true;
      }
      default:
        return false;
    }
  }

  #take(chunk: Buffer): number {
    const state = this.#state;
    if (state.at === 'file') return this.#takeFile(state, chunk);
    if (state.at === 'padding') return this.#takePadding(state, chunk);
    if (state.at === 'extension') return this.#takeExtension(state, chunk);
    return this.#takeBlock(chunk);
  }

  #takeFile(state: { path: string; leftBytes: number }, chunk: Buffer): number {
    const data = chunk.length > state.leftBytes ? chunk.subarray(0, state.leftBytes) : chunk;
    this.#handlers.data(data);
    state.leftBytes -= data.length;
    if (state.leftBytes === 0) this.#endFile(state.path, this.#offset + data.length);
    return data.length;
  }

  #endFile(path: string, endOffset: number): void {
    this.#handlers.fileEnd();
    const leftBytes = (BLOCK_BYTES - (endOffset % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#state = leftBytes === 0 ? { at: 'header' } : { at: 'padding', path, leftBytes };
  }

  #takePadding(state: { leftBytes: number }, chunk: Buffer): number {
    const used = Math.min(state.leftBytes, chunk.length);
    state.leftBytes -= used;
    if (state.leftBytes === 0) this.#state = { at: 'header' };
    return used;
  }

  /** Its body and the padding behind it. */
  #takeExtension(state: State & { at: 'extension' }, chunk: Buffer): number {
    const used = Math.min(state.leftBytes, chunk.length);
    state.chunks.push(Buffer.from(chunk.subarray(0, used)));
    state.leftBytes -= used;
    if (state.leftBytes === 0) this.#endExtension(state);
    return used;
  }

  #endExtension(state: State & { at: 'extension' }): void {
    const body = Buffer.concat(state.chunks).subarray(0, state.header.sizeBytes);
    const shown = state.header.name;
    this.#state = { at: 'header' };
    if (state.kind === 'g') {
      checkGlobalPax(body, shown, this.#adjustments);
      return;
    }
    const found = (): Extension => {
      if (state.kind === 'x') return decodePax(body, shown, this.#adjustments);
      const name = decodeGnuLong(body, shown, this.#adjustments);
      return state.kind === 'L' ? { path: name } : { target: name };
    };
    this.#extension = mergeExtensions(this.#extension, found());
    this.#hasExtension = true;
  }

  #takeBlock(chunk: Buffer): number {
    const used = Math.min(BLOCK_BYTES - this.#blockBytes, chunk.length);
    chunk.copy(this.#block, this.#blockBytes, 0, used);
    this.#blockBytes += used;
    if (this.#blockBytes < BLOCK_BYTES) return used;
    this.#blockBytes = 0;
    if (isZeroBlock(this.#block)) this.#takeZeroBlock();
    else this.#takeHeader(this.#offset + used - BLOCK_BYTES);
    return used;
  }

  #takeZeroBlock(): void {
    if (this.#hasExtension) throw formatFault('an extension header with no entry behind it', 'an entry');
    this.#state = this.#state.at === 'header' ? { at: 'first-zero' } : { at: 'end' };
  }

  #takeHeader(offset: number): void {
    if (this.#state.at !== 'header') {
      const expected = 'nothing but zeros; pack all files in one run of tar';
      throw formatFault(`data behind the end of the archive, at byte ${offset}`, expected);
    }
    this.#headers += 1;
    if (this.#headers > this.#limits.entries) {
      throw limitFault('tarball', `more than ${this.#limits.entries} entries`, `${this.#limits.entries}`);
    }
    if (offset === 0) assertNotGzip(this.#block);
    const header = decodeHeader(this.#block, offset, this.#extension, this.#adjustments);
    if (header.kind === 'V') return;
    if (isExtensionType(header.kind)) this.#startExtension(header, header.kind);
    else this.#startEntry(header, header.kind);
  }

  #startExtension(header: DecodedHeader, kind: ExtensionType): void {
    if (header.sizeBytes > this.#limits.metaEntryBytes) {
      const found = `an extension header of ${header.sizeBytes} bytes`;
      throw limitFault(`entry ${quote(header.name)}`, found, `${this.#limits.metaEntryBytes}`);
    }
    const leftBytes = Math.ceil(header.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    const state: State = { at: 'extension', header, kind, chunks: [], leftBytes };
    if (leftBytes === 0) this.#endExtension(state);
    else this.#state = state;
  }

  #startEntry(header: DecodedHeader, type: TarEntry['type']): void {
    const stored = this.#checkEntry(header, type);
    this.#extension = {};
    this.#hasExtension = false;
    this.#lastPath = stored.path;
    if (this.#tree.isLinkToItself(stored)) return;
    this.#entries += 1;
    const { entry, directories } = this.#tree.add(stored);
    this.#handlers.entry(entry, directories);
    // The list that an incremental archive has of a directory.
    if (type === 'directory' && header.sizeBytes > 0) {
      const leftBytes = Math.ceil(header.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
      this.#state = { at: 'padding', path: entry.path, leftBytes };
    }
    if (entry.type !== 'file') return;
    this.#contentBytes += entry.sizeBytes;
    this.#state = { at: 'file', path: entry.path, leftBytes: entry.sizeBytes };
    if (entry.sizeBytes === 0) this.#endFile(entry.path, 0);
  }

  #checkEntry(header: DecodedHeader, type: TarEntry['type']): TarEntry {
    const path = normaliseName(header.name, this.#limits);
    if (type !== 'directory' && (path === '' || /\/\.?$/.test(header.name))) {
      throw entryFault(
        header.name,
        `a ${type} with the name of a directory`,
        'a name; pack with another tar',
      );
    }
    if (header.sizeBytes > this.#limits.unpackedBytes - this.#contentBytes) {
      const found = `its ${header.sizeBytes} bytes make the artifact too large`;
      throw limitFault(`entry ${quote(header.name)}`, found, `${this.#limits.unpackedBytes} bytes unpacked`);
    }
    const target = type === 'hardlink' ? normaliseName(header.target, this.#limits) : header.target;
    return {
      type,
      path,
      mode: this.#safeMode(path, type, header.mode),
      sizeBytes: type === 'file' ? header.sizeBytes : 0,
      mtimeS: header.mtimeS,
      target: type === 'file' || type === 'directory' ? '' : target,
    };
  }

  /**
   * setuid, setgid and sticky are dropped: software that needs them has to set them in its install.sh, where they
   * can be seen. Of directories silently: `tar` run in a setgid one stores them unintentionally.
   */
  #safeMode(path: string, type: TarEntry['type'], mode: number): number {
    if (type === 'file' && (mode & 0o7000) !== 0) this.#adjustments.add('special-bits', path);
    return mode & 0o777;
  }
}

/** The same bytes as those of a `.tar.gz` in a `.tar.gz`. */
function assertNotGzip(block: Buffer): void {
  if (block[0] !== 0x1f || block[1] !== 0x8b) return;
  throw formatFault('gzip data within the gzip data', 'a tar archive; pack with tar czf');
}
