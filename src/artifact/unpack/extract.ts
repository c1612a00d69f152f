/** Strict unpacking and inspecting of artifacts: one pass, bounded memory, the same checks with and without writing. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { GweError, wrapError } from '../../base/errors.ts';
import { ensureDirectory, listDirectory, unlinkIfThere } from '../../base/fs.ts';
import { formatFault, quote } from '../faults.ts';
import { type Admit, IndexGuard, type IndexGuardOptions } from '../manifest/index-guard.ts';
import { Adjustments } from '../tar/adjustments.ts';
import { CANONICAL_MTIME_S, type TarEntry } from '../tar/entries.ts';
import { type GunzipOptions, gunzipFile } from '../tar/gunzip.ts';
import { type TarHandlers, TarReader } from '../tar/reader.ts';
import { type ArtifactContents, ContentsCollector } from './contents.ts';
import { createSyncBehind, type SyncBehind } from './sync-behind.ts';
import { assertSystemFile } from './system-file.ts';
import { PERMITTED_MODE } from './tighten.ts';

export interface ReadOptions extends GunzipOptions {
  /**
   * Who judges name, signatures and the like, before any entry of the app is unpacked. Default: everything may pass.
   */
  admit?: Admit;
  /** Whether this machine need not have the files of the system that links lead to: it is not the gateway. */
  isElsewhere?: boolean;
}

export interface InspectOptions extends ReadOptions {
  /** Sees everything but directories. */
  onFile?(path: string, entry: Pick<TarEntry, 'type' | 'mode' | 'sizeBytes'>): void;
  /** Sees what is in the file of the last `onFile`, piece by piece. */
  onData?(chunk: Buffer): void;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_WRONLY } = fs.constants;
/** The directory was empty, so a file that exists or a link in its place is not ours. */
const CREATE_NEW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const GO_ON = O_RDWR | O_NOFOLLOW;

/**
 * Unpacks `file` into `directory`, which must be empty or not exist. Nothing is written outside of it whatever the
 * archive holds. Files get the running user as owner, their modification time, and their permission bits but for
 * those that let others write. On an error the directory holds the entries in front of the fault: remove it.
 * `isDurable`: all of it is on the disk when it returns.
 * Throws ARTIFACT_FORMAT, ARTIFACT_ENTRY, ARTIFACT_LIMIT, ARTIFACT_MANIFEST, what `admit` throws, STORE_NO_SPACE,
 * STORE_IO or CANCELLED.
 */
export async function extractArtifact(
  file: string,
  directory: string,
  {
    isDurable = false,
    mask = PERMITTED_MODE,
    ...options
  }: ReadOptions & { isDurable?: boolean; mask?: number },
): Promise<ArtifactContents> {
  ensureDirectory(directory);
  if (listDirectory(directory).length > 0) {
    throw new GweError(
      'STORE_IO',
      `cannot unpack into ${quote(directory)}: not empty, expected a new directory`,
    );
  }
  const sync = isDurable ? createSyncBehind() : undefined;
  const writer = new TreeWriter(directory, { goesOn: false, sync, mask });
  try {
    const contents = await readArtifact(file, options, writer, () => sync?.room());
    writer.finish();
    await sync?.settle();
    return contents;
  } finally {
    writer.close();
    sync?.drop();
  }
}

/** Every check of `extractArtifact`, nothing written. */
export function inspectArtifact(file: string, options: InspectOptions): Promise<ArtifactContents> {
  return readArtifact(file, options, {
    entry: (entry) => {
      if (entry.type !== 'directory') options.onFile?.(entry.path, entry);
    },
    data: (chunk) => options.onData?.(chunk),
    fileEnd: () => undefined,
  });
}

/**
 * Reads `file` to its end, passing what it holds to `handlers` as it comes, each time when there is `room` for more.
 */
async function readArtifact(
  file: string,
  options: ReadOptions,
  handlers: TarHandlers,
  room: () => Promise<void> | undefined = () => undefined,
): Promise<ArtifactContents> {
  const stream = openStream(options, handlers);
  const result = await gunzipFile(file, options, (chunk) => {
    stream.write(chunk);
    return room();
  });
  const contents = stream.end();
  const { trailingBytes, ...facts } = result;
  if (trailingBytes > 0 && contents.index !== undefined)
    throw formatFault(`${trailingBytes} bytes behind the end of the gzip data`, 'nothing there');
  return { ...facts, ...contents };
}

/** What is known of an artifact by its tar stream alone. */
export type StreamContents = Omit<ArtifactContents, 'compressedSha256' | 'compressedBytes'>;

/** Takes the tar stream of an artifact in pieces of any size, with every check that there is. */
interface ArtifactStream {
  write(chunk: Buffer): void;
  /** The stream is over; throws unless the artifact is whole. */
  end(): StreamContents;
}

type StreamOptions = IndexGuardOptions & Pick<ReadOptions, 'isElsewhere'>;

function openStream(options: StreamOptions, handlers: TarHandlers): ArtifactStream {
  const guard = new IndexGuard(options);
  const adjustments = new Adjustments(() => guard.index !== undefined);
  const collector = new ContentsCollector(adjustments);
  const tarHash = createHash('sha256');
  const reader = new TarReader(
    {
      entry(entry, directories) {
        guard.entry(entry);
        if (options.isElsewhere !== true) assertSystemFile(entry);
        collector.entry(entry);
        handlers.entry(entry, directories);
      },
      data(chunk) {
        guard.data(chunk);
        collector.data(chunk);
        handlers.data(chunk);
      },
      fileEnd() {
        guard.fileEnd();
        handlers.fileEnd();
      },
    },
    options.limits,
    adjustments,
  );
  return {
    write(chunk) {
      reader.write(chunk);
      guard.stream(chunk);
      // A manifest is the identity itself, and has the digest of every file behind it.
      if (guard.index === undefined) tarHash.update(chunk);
    },
    end() {
      reader.end();
      guard.end();
      const { index } = guard;
      return {
        ...(index === undefined ? { digest: tarHash.digest('hex') } : { digest: index.digest, index }),
        unpackedBytes: reader.contentBytes,
        entries: reader.entries,
        ...collector.end(),
        adjustments: adjustments.list(),
      };
    },
  };
}

interface UnpackingStream extends Pick<ArtifactStream, 'write'> {
  /** To be awaited before the next piece, where it is there: what has been written gets to the disk meanwhile. */
  room(): Promise<void> | undefined;
  /** The stream is over: resolves when all of it is on the disk. Throws unless the artifact is whole. */
  end(): Promise<StreamContents>;
  /** To be called at the end, whatever it was. */
  close(): void;
}

/**
 * Unpacks a tar stream that comes in pieces into `directory`, where an earlier try with the same stream may have been
 * interrupted: what it left is compared and written over in place, so that nothing is there twice. Otherwise as
 * `extractArtifact`.
 */
export function openUnpacking(directory: string, options: IndexGuardOptions): UnpackingStream {
  ensureDirectory(directory);
  const sync = createSyncBehind();
  const goesOn = listDirectory(directory).length > 0;
  const writer = new TreeWriter(directory, { goesOn, sync, mask: PERMITTED_MODE });
  const stream = openStream(options, writer);
  return {
    write: (chunk) => stream.write(chunk),
    room: () => sync.room(),
    async end() {
      const contents = stream.end();
      writer.finish();
      await sync.settle();
      return contents;
    },
    close() {
      writer.close();
      sync.drop();
    },
  };
}

/**
 * Writes admitted entries below a directory. Synchronous: a file is a handful of system calls, a promise costs more.
 */
class TreeWriter implements TarHandlers {
  readonly #root: string;
  /** Modes and times come last: a read-only directory could not be filled, and filling it changes its time. */
  readonly #directories = new Map<string, { mode: number; mtimeS: number | undefined }>();
  /** Which permission bits are kept; all of them for a tree that is packed again. */
  readonly #mask: number;
  readonly #goesOn: boolean;
  /** Whatever an earlier try wrote may not be on the disk either, so that every file is synced. */
  readonly #sync: SyncBehind | undefined;
  #open: { fd: number; entry: TarEntry; doneBytes: number; wasThere: boolean } | undefined;
  #compared = Buffer.alloc(0);

  /** `goesOn`: an earlier try may have left some of the entries, whole or not. */
  constructor(
    root: string,
    { goesOn, sync, mask }: { goesOn: boolean; sync: SyncBehind | undefined; mask: number },
  ) {
    this.#mask = mask;
    this.#root = root;
    this.#goesOn = goesOn;
    this.#sync = sync;
  }

  entry(entry: TarEntry, directories: readonly string[]): void {
    this.#attempt(entry.path, () => {
      for (const path of directories) this.#makeDirectory(path, { mode: 0o755, mtimeS: undefined });
      this.#create(entry);
    });
  }

  data(chunk: Buffer): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#attempt(open.entry.path, () => {
      if (!open.wasThere || !this.#isThere(open.fd, chunk, open.doneBytes)) {
        for (let at = 0; at < chunk.length; )
          at += fs.writeSync(open.fd, chunk, at, chunk.length - at, open.doneBytes + at);
      }
      open.doneBytes += chunk.length;
    });
  }

  fileEnd(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#attempt(open.entry.path, () => {
      if (open.wasThere) fs.ftruncateSync(open.fd, open.doneBytes);
      fs.fchmodSync(open.fd, open.entry.mode & this.#mask);
      const { mtimeS } = open.entry;
      if (mtimeS !== CANONICAL_MTIME_S) fs.futimesSync(open.fd, mtimeS, mtimeS);
    });
    if (this.#sync === undefined) {
      this.close();
      return;
    }
    this.#open = undefined;
    this.#sync.take(open.fd);
  }

  /** Gives directories their modes and times, deepest first; their names have been made, and are synced. */
  finish(): void {
    for (const [path, { mode, mtimeS }] of [...this.#directories].reverse()) {
      const at = join(this.#root, path);
      this.#attempt(path, () => {
        // Opened before: its owner may not be allowed to read it from then on.
        const fd = this.#sync === undefined ? undefined : fs.openSync(at, 'r');
        try {
          fs.chmodSync(at, mode & this.#mask);
          if (mtimeS !== undefined && mtimeS !== CANONICAL_MTIME_S) fs.utimesSync(at, mtimeS, mtimeS);
        } finally {
          if (fd !== undefined) this.#sync?.take(fd);
        }
      });
    }
    this.#sync?.take(fs.openSync(this.#root, 'r'));
  }

  close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) fs.closeSync(open.fd);
  }

  #create(entry: TarEntry): void {
    const at = join(this.#root, entry.path);
    // Never written over: the earlier one may have another name by a hard link, or be a link itself.
    if (entry.isRepeated === true) fs.rmSync(at);
    switch (entry.type) {
      case 'directory':
        if (entry.path !== '') this.#makeDirectory(entry.path, entry);
        break;
      case 'symlink':
        if (this.#goesOn) unlinkIfThere(at);
        fs.symlinkSync(entry.target, at);
        break;
      case 'hardlink':
        fs.linkSync(join(this.#root, entry.target), at);
        break;
      case 'file':
        this.#open = { ...this.#openFile(at), entry, doneBytes: 0 };
        break;
    }
  }

  #makeDirectory(path: string, attributes: { mode: number; mtimeS: number | undefined }): void {
    const at = join(this.#root, path);
    if (!this.#directories.has(path)) {
      if (this.#goesOn && fs.lstatSync(at, { throwIfNoEntry: false })?.isDirectory() === true)
        fs.chmodSync(at, 0o700);
      else fs.mkdirSync(at, 0o700);
    }
    this.#directories.set(path, attributes);
  }

  #openFile(at: string): { fd: number; wasThere: boolean } {
    const found = this.#goesOn ? fs.lstatSync(at, { throwIfNoEntry: false }) : undefined;
    if (found?.isFile() === true && found.nlink === 1) {
      fs.chmodSync(at, 0o600);
      return { fd: fs.openSync(at, GO_ON, 0o600), wasThere: true };
    }
    if (found !== undefined) fs.unlinkSync(at);
    return { fd: fs.openSync(at, CREATE_NEW, 0o600), wasThere: false };
  }

  /** Flash wears out: bytes that are there already are not written once more. */
  #isThere(fd: number, chunk: Buffer, position: number): boolean {
    if (this.#compared.length < chunk.length) this.#compared = Buffer.allocUnsafe(chunk.length);
    const count = fs.readSync(fd, this.#compared, 0, chunk.length, position);
    return count === chunk.length && chunk.equals(this.#compared.subarray(0, count));
  }

  #attempt(path: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      throw wrapError(error, 'STORE_IO', `cannot unpack entry ${quote(path)}`);
    }
  }
}
