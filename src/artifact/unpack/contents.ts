import { limitFault, quote } from '../faults.ts';
import type { ArtifactIndex } from '../manifest/index-guard.ts';
import { META_DIRECTORY } from '../manifest/meta-files.ts';
import type { Adjustment, Adjustments } from '../tar/adjustments.ts';
import type { EntryType, TarEntry } from '../tar/entries.ts';
import { PERMITTED_MODE } from './tighten.ts';

/** What gwe needs to know of an artifact: digests, sizes, where its root is, and the few files that gwe itself reads. */

/** The files of an artifact that mean something to gwe; everything else is the app's own. */
export const KNOWN_FILES = ['install.sh', 'setup.py', 'supervisor.conf', 'health.sh'] as const;
type KnownFile = (typeof KNOWN_FILES)[number];

export interface ArtifactFile {
  type: EntryType;
  /** Permission bits. */
  mode: number;
  sizeBytes: number;
  /** The whole of supervisor.conf, the first 256 bytes of the others. */
  head: Buffer;
}

export interface ArtifactContents {
  /**
   * The identity of the artifact, hex: sha256 of its manifest, or of the whole tar stream if it has none. A signature
   * more or less does not change it.
   */
  digest: string;
  /** Absent in a tarball without a manifest. */
  index?: ArtifactIndex;
  /** sha256 of the file as it is, hex. */
  compressedSha256: string;
  compressedBytes: number;
  /** Bytes of all files together. */
  unpackedBytes: number;
  /** Files, directories and links. */
  entries: number;
  /** '' if the files are at the root, else the name of the one directory that everything is in. */
  rootPrefix: string;
  /** What is unpacked otherwise than it is stored. */
  adjustments: readonly Adjustment[];
  /** Those of KNOWN_FILES that it has, below `rootPrefix`. */
  files: ReadonlyMap<KnownFile, ArtifactFile>;
}

const HEAD_BYTES = 256;
const PROGRAM_CONFIG_BYTES = 64 * 1024;

interface Kept {
  file: ArtifactFile;
  chunks: Buffer[];
  leftBytes: number;
}

/** Watches the entries go by and keeps the little that ArtifactContents is made of. */
export class ContentsCollector {
  /** By full path: at the root, and in the first top-level directory. */
  readonly #kept = new Map<string, Kept>();
  #current: Kept | undefined;
  #top: string | undefined;
  #topIsDirectory = false;
  #hasOtherTops = false;
  readonly #adjustments: Adjustments;
  #isIndexed = false;
  readonly #besideTop: string[] = [];

  constructor(adjustments: Adjustments) {
    this.#adjustments = adjustments;
  }

  entry(entry: TarEntry): void {
    this.#current = undefined;
    if (entry.type !== 'symlink' && entry.path !== '' && (entry.mode & ~PERMITTED_MODE) !== 0) {
      this.#adjustments.add('loose', entry.path);
    }
    const [top = '', ...below] = entry.path.split('/');
    this.#isIndexed ||= top === META_DIRECTORY;
    if (top === '' || top === META_DIRECTORY) return;
    if (!this.#isIndexed && isLeftByMac(entry)) {
      this.#besideTop.push(entry.path);
      return;
    }
    this.#top ??= top;
    if (top !== this.#top) this.#hasOtherTops = true;
    else if (below.length > 0 || entry.type === 'directory') this.#topIsDirectory = true;
    if (below.length > 1 || (below.length === 1 && top !== this.#top)) return;
    const name = below[0] ?? top;
    if (isKnownFile(name)) this.#keep(entry, name);
  }

  data(chunk: Buffer): void {
    const current = this.#current;
    if (current === undefined || current.leftBytes === 0) return;
    const part = Buffer.from(chunk.subarray(0, current.leftBytes));
    current.chunks.push(part);
    current.leftBytes -= part.length;
  }

  /** No more entries come. */
  end(): Pick<ArtifactContents, 'rootPrefix' | 'files'> {
    const rootPrefix = this.#topIsDirectory && !this.#hasOtherTops ? (this.#top ?? '') : '';
    if (rootPrefix !== '') for (const path of this.#besideTop) this.#adjustments.add('beside-top', path);
    return { rootPrefix, files: this.#files(rootPrefix) };
  }

  #files(prefix: string): Map<KnownFile, ArtifactFile> {
    const found = new Map<KnownFile, ArtifactFile>();
    for (const name of KNOWN_FILES) {
      const kept = this.#kept.get(prefix === '' ? name : `${prefix}/${name}`);
      if (kept !== undefined) found.set(name, { ...kept.file, head: Buffer.concat(kept.chunks) });
    }
    return found;
  }

  #keep(entry: TarEntry, name: KnownFile): void {
    if (name === 'supervisor.conf' && entry.sizeBytes > PROGRAM_CONFIG_BYTES) {
      throw limitFault(`entry ${quote(entry.path)}`, `${entry.sizeBytes} bytes`, `${PROGRAM_CONFIG_BYTES}`);
    }
    const { type, mode, sizeBytes } = entry;
    const leftBytes = name === 'supervisor.conf' ? PROGRAM_CONFIG_BYTES : HEAD_BYTES;
    this.#current = { file: { type, mode, sizeBytes, head: Buffer.alloc(0) }, chunks: [], leftBytes };
    this.#kept.set(entry.path, this.#current);
  }
}

/**
 * What the archivers of macOS put beside the one directory that is packed: AppleDouble files, the Finder's, and zip's
 * directory of the former. A flat artifact keeps them, as they do no harm there.
 */
function isLeftByMac({ path, type }: TarEntry): boolean {
  if (path === '__MACOSX' || path.startsWith('__MACOSX/')) return true;
  return type === 'file' && (path === '.DS_Store' || /^\._[^/]*$/.test(path));
}

function isKnownFile(name: string): name is KnownFile {
  return (KNOWN_FILES as readonly string[]).includes(name);
}
