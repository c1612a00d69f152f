/** Strict unpacking and inspecting of artifacts: one pass, bounded memory, the same checks with and without writing. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { GweError, wrapError } from '../base/errors.ts';
import { ensureDirectory, listDirectory } from '../base/fs.ts';
import { type ArtifactContents, ContentsCollector } from './contents.ts';
import { CANONICAL_MTIME_S, type TarEntry } from './entries.ts';
import { quote } from './faults.ts';
import { type GunzipOptions, gunzipFile } from './gunzip.ts';
import { type Admit, IndexGuard } from './index-guard.ts';
import { type TarHandlers, TarReader } from './tar-reader.ts';

export type { ArtifactContents } from './contents.ts';

export interface ReadOptions extends GunzipOptions {
  /** Who judges name, signatures and the like, before any entry of the app is unpacked. Default: everything may pass. */
  admit?: Admit;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_WRONLY } = fs.constants;
/** The directory was empty, so a file that exists or a link in its place is not ours. */
const CREATE_NEW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const GO_ON = O_RDWR | O_CREAT | O_NOFOLLOW;

/**
 * Unpacks `file` into `directory`, which must be empty or not exist. Nothing is written outside of it whatever the
 * archive holds. Files get the running user as owner, their permission bits and modification time. On an error the
 * directory holds the entries in front of the fault: remove it. Nothing is fsynced: call `fsyncTree`.
 * Throws ARTIFACT_FORMAT, ARTIFACT_ENTRY, ARTIFACT_LIMIT, ARTIFACT_MANIFEST, what `admit` throws, STORE_NO_SPACE, STORE_IO or CANCELLED.
 */
export async function extractArtifact(
  file: string,
  directory: string,
  options: ReadOptions,
): Promise<ArtifactContents> {
  ensureDirectory(directory);
  if (listDirectory(directory).length > 0) {
    throw new GweError(
      'STORE_IO',
      `cannot unpack into ${quote(directory)}: not empty, expected a new directory`,
    );
  }
  const writer = new TreeWriter(directory);
  try {
    const contents = await readArtifact(file, options, writer);
    writer.finish();
    return contents;
  } finally {
    writer.close();
  }
}

/** Every check of `extractArtifact`, nothing written. */
export function inspectArtifact(file: string, options: ReadOptions): Promise<ArtifactContents> {
  return readArtifact(file, options, {
    entry: () => undefined,
    data: () => undefined,
    fileEnd: () => undefined,
  });
}

/** Reads `file` to its end, passing what it holds to `handlers` as it comes. */
export async function readArtifact(
  file: string,
  options: ReadOptions,
  handlers: TarHandlers,
): Promise<ArtifactContents> {
  const stream = openStream(options, handlers);
  const result = await gunzipFile(file, options, (chunk) => stream.write(chunk));
  return { ...result, ...stream.end() };
}

/** What is known of an artifact by its tar stream alone; `digest` where the stream says it. */
export type StreamContents = Omit<ArtifactContents, 'digest' | 'compressedSha256' | 'compressedBytes'> &
  Partial<Pick<ArtifactContents, 'digest'>>;

/** Takes the tar stream of an artifact in pieces of any size, with every check that there is. */
export interface ArtifactStream {
  write(chunk: Buffer): void;
  /** The stream is over; throws unless the artifact is whole. */
  end(): StreamContents;
}

function openStream(options: Pick<ReadOptions, 'limits' | 'admit'>, handlers: TarHandlers): ArtifactStream {
  const collector = new ContentsCollector();
  const guard = new IndexGuard(options.limits, options.admit ?? (() => undefined));
  const reader = new TarReader(
    {
      entry(entry, directories) {
        guard.entry(entry);
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
  );
  return {
    write(chunk) {
      reader.write(chunk);
      guard.stream(chunk);
    },
    end() {
      reader.end();
      guard.end();
      const { index } = guard;
      return {
        ...(index === undefined ? {} : { digest: index.digest, index }),
        unpackedBytes: reader.contentBytes,
        entries: reader.entries,
        rootPrefix: collector.rootPrefix(),
        files: collector.files(),
      };
    },
  };
}

export interface UnpackingStream extends ArtifactStream {
  /** To be called at the end, whatever it was. */
  close(): void;
}

/**
 * Unpacks a tar stream that comes in pieces into `directory`, where an earlier try with the same stream may have been
 * interrupted: what it left is compared and written over in place, so that nothing is there twice. Otherwise as
 * `extractArtifact`.
 */
export function openUnpacking(
  directory: string,
  options: Pick<ReadOptions, 'limits' | 'admit'>,
): UnpackingStream {
  ensureDirectory(directory);
  const writer = new TreeWriter(directory, true);
  const stream = openStream(options, writer);
  return {
    write: (chunk) => stream.write(chunk),
    end() {
      const contents = stream.end();
      writer.finish();
      return contents;
    },
    close: () => writer.close(),
  };
}

/** Writes admitted entries below a directory. Synchronous: a file is a handful of system calls, a promise costs more. */
class TreeWriter implements TarHandlers {
  readonly #root: string;
  /** Modes and times come last: a read-only directory could not be filled, and filling it changes its time. */
  readonly #directories = new Map<string, { mode: number; mtimeS: number | undefined }>();
  readonly #goesOn: boolean;
  #open: { fd: number; entry: TarEntry; doneBytes: number } | undefined;
  #compared = Buffer.alloc(0);

  /** `goesOn`: an earlier try may have left some of the entries, whole or not. */
  constructor(root: string, goesOn = false) {
    this.#root = root;
    this.#goesOn = goesOn;
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
      if (!this.#goesOn || !this.#isThere(open.fd, chunk, open.doneBytes)) {
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
      if (this.#goesOn) fs.ftruncateSync(open.fd, open.doneBytes);
      fs.fchmodSync(open.fd, open.entry.mode);
      const { mtimeS } = open.entry;
      if (mtimeS !== CANONICAL_MTIME_S) fs.futimesSync(open.fd, mtimeS, mtimeS);
    });
    this.close();
  }

  /** Gives directories their modes and times, deepest first. */
  finish(): void {
    for (const [path, { mode, mtimeS }] of [...this.#directories].reverse()) {
      const at = join(this.#root, path);
      this.#attempt(path, () => {
        fs.chmodSync(at, mode);
        if (mtimeS !== undefined && mtimeS !== CANONICAL_MTIME_S) fs.utimesSync(at, mtimeS, mtimeS);
      });
    }
  }

  close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) fs.closeSync(open.fd);
  }

  #create(entry: TarEntry): void {
    const at = join(this.#root, entry.path);
    switch (entry.type) {
      case 'directory':
        if (entry.path !== '') this.#makeDirectory(entry.path, entry);
        break;
      case 'symlink':
        if (this.#goesOn) fs.rmSync(at, { force: true });
        fs.symlinkSync(entry.target, at);
        break;
      case 'hardlink':
        fs.linkSync(join(this.#root, entry.target), at);
        break;
      case 'file':
        this.#open = { fd: this.#openFile(at), entry, doneBytes: 0 };
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

  #openFile(at: string): number {
    if (!this.#goesOn) return fs.openSync(at, CREATE_NEW, 0o600);
    const found = fs.lstatSync(at, { throwIfNoEntry: false });
    if (found !== undefined && (!found.isFile() || found.nlink !== 1)) fs.rmSync(at);
    else if (found !== undefined) fs.chmodSync(at, 0o600);
    return fs.openSync(at, GO_ON, 0o600);
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
