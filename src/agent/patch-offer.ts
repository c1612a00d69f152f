/** A patch in the content area from a version that is installed: asked for, kept beside the index, and taken apart. */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { PlacedChunk } from '../artifact/index-bytes.ts';
import { MANIFEST_PATH, manifestDigest } from '../artifact/manifest.ts';
import { openPart, type PartReader } from '../artifact/patch/apply.ts';
import { patchFault } from '../artifact/patch/fault.ts';
import {
  decodeDirectory,
  directoryBytes,
  type PlacedPart,
  PREFIX_BYTES,
  patchName,
} from '../artifact/patch/format.ts';
import { openTreeStream, type TreeStream } from '../artifact/tree-stream.ts';
import { readTreeManifest } from '../artifact/verify-tree.ts';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory, readFileBounded } from '../base/fs.ts';
import { releaseBuffer } from '../base/memory.ts';
import { type ContentApi, contentInfo } from '../protocol/content.ts';
import { fetchPart, type PartCounts, RangesIgnored } from '../protocol/content-part.ts';
import {
  openPartialFile,
  type PartialSource,
  partialSource,
  removePartialFile,
} from '../protocol/partial-file.ts';
import { appDirectory, versionOfDirectory } from '../store/layout.ts';
import { listVersions } from '../store/versions.ts';
import { type Asked, patchFile } from './asked.ts';
import type { FeedCounts } from './chunk-feed.ts';
import type { Look } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';

type ChunkLook = Look & { kind: 'chunks' };

export interface PatchOffer {
  source: PartialSource;
  /** The installed version that it starts from. */
  from: string;
  directory: string;
  parts: readonly PlacedPart[];
  /** The first bytes of it that are here; more may be on the disk. */
  head: Buffer;
  /** Bytes that are still to be fetched. */
  fetchBytes: number;
}

/** Fewer missing bytes are not worth the questions. */
export const WORTH_ASKING_BYTES: number = 16 * 1024;
/** The directory of most patches, and many a patch as a whole. */
const FIRST_BYTES = 8 * 1024;
/** Versions that a patch may start from: each is a question. */
const MOST_ASKED = 3;

/** A patch that an earlier step of this update has found; `undefined` if it found none. */
export function keptPatch(context: AgentContext, asked: Asked, look: ChunkLook): PatchOffer | undefined {
  const path = patchFile(context, asked);
  const source = partialSource(path);
  const base = bases(context, asked.app).find(({ digest }) => nameFor(look, digest) === source?.id);
  if (source === undefined || base === undefined) return undefined;
  try {
    const head = readStretch(path, 0, Math.min(source.keptBytes, MOST_HEAD_BYTES));
    const offer = open(look, base, source, head);
    return { ...offer, fetchBytes: source.sizeBytes - source.keptBytes };
  } catch (error) {
    context.log.debug('patch.skip', { id: source.id }, describeError(error));
    return undefined;
  }
}

/** Of a kept patch only the directory is read. */
const MOST_HEAD_BYTES = 2 ** 20 + 1024;

/**
 * Asks for a patch from each installed version, the active one first, and takes the smallest that has fewer than
 * `worthBytes`. Whatever fails, there is none. Throws CANCELLED.
 */
export async function askForPatch(
  context: AgentContext,
  api: ContentApi,
  asked: Asked,
  look: ChunkLook,
  options: { worthBytes: number; signal: AbortSignal; counts: PartCounts },
): Promise<PatchOffer | undefined> {
  const { signal, worthBytes, counts } = options;
  let best: PatchOffer | undefined;
  for (const base of bases(context, asked.app).slice(0, MOST_ASKED)) {
    const id = nameFor(look, base.digest);
    try {
      const info = await contentInfo(api, id, signal);
      if (info === undefined || info.sizeBytes >= (best?.source.sizeBytes ?? worthBytes)) continue;
      const source = { id, sizeBytes: info.sizeBytes, updated: info.updated };
      const head = await fetchDirectory(context, api, source, { signal, counts });
      const offer = open(look, base, source, head);
      best = { ...offer, fetchBytes: source.sizeBytes - head.length };
    } catch (error) {
      if (signal.aborted || !(error instanceof GweError)) throw error;
      context.log.info('patch.skip', { id }, describeError(error));
    }
  }
  return best;
}

/** Writes down what was fetched of it, so that it is not fetched again. */
export function keepPatch(context: AgentContext, asked: Asked, { source, head }: PatchOffer): void {
  ensureDirectory(context.layout.downloadsDirectory);
  const file = openPartialFile(patchFile(context, asked), source);
  try {
    if (file.sizeBytes < head.length) file.append(head.subarray(file.sizeBytes));
    file.sync();
  } finally {
    file.close();
  }
}

/** Fetches the rest of it. What is here stays here, whatever happens. Throws what `fetchPart` does. */
export async function fetchPatch(
  context: AgentContext,
  api: ContentApi,
  asked: Asked,
  offer: PatchOffer,
  options: { signal: AbortSignal; counts: FeedCounts },
): Promise<void> {
  keepPatch(context, asked, offer);
  const { signal, counts } = options;
  const { id, sizeBytes } = offer.source;
  const file = openPartialFile(patchFile(context, asked), offer.source);
  try {
    if (file.sizeBytes === sizeBytes) return;
    for await (const piece of fetchPart(api, {
      id,
      start: file.sizeBytes,
      end: sizeBytes - 1,
      sizeBytes,
      signal,
      log: context.log,
      counts,
    }))
      file.append(piece);
  } finally {
    file.sync();
    file.close();
  }
}

/** Whether an error of fetching a patch leaves the update to its chunks. */
export function isPatchFault(error: unknown): boolean {
  if (!(error instanceof GweError)) return false;
  const codes = ['ARTIFACT_PATCH', 'DOWNLOAD_NOT_FOUND', 'DOWNLOAD_REFUSED', 'DOWNLOAD_CHANGED'];
  return error instanceof RangesIgnored || codes.includes(error.code);
}

interface Base {
  directory: string;
  /** Of its manifest, which is decoded for the one that is chosen: it may be large. */
  digest: string;
}

/** The installed versions of `app` that have a manifest, the active one first. */
function bases(context: AgentContext, app: string): Base[] {
  const { active, previous } = context.installed.get(app);
  const order = (name: string): number =>
    [active, previous].findIndex(
      (record) => record !== undefined && name.endsWith(`-${record.digest.slice(0, 8)}`),
    );
  const rank = (name: string): number => (order(name) === -1 ? 2 : order(name));
  const limits = artifactLimits(context.settings());
  return listVersions(context.layout, app)
    .sort((a, b) => rank(a) - rank(b))
    .flatMap((name) => {
      const directory = join(appDirectory(context.layout, app), name);
      try {
        const bytes = readFileBounded(join(directory, MANIFEST_PATH), limits.manifestBytes);
        return bytes === undefined ? [] : [{ directory, digest: manifestDigest(bytes) }];
      } catch (error) {
        // What lies in the apps directory is not only gwe's doing.
        context.log.debug('patch.skip', { directory }, describeError(error));
        return [];
      }
    });
}

function nameFor({ index }: ChunkLook, oldDigest: string): string {
  return patchName(index.manifest, oldDigest, index.digest);
}

async function fetchDirectory(
  context: AgentContext,
  api: ContentApi,
  { id, sizeBytes }: PartialSource,
  { signal, counts }: { signal: AbortSignal; counts: PartCounts },
): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  let wanted = FIRST_BYTES;
  while (head.length < Math.min(wanted, sizeBytes)) {
    const pieces = [head];
    const end = Math.min(wanted, sizeBytes) - 1;
    const log = context.log;
    for await (const piece of fetchPart(api, {
      id,
      start: head.length,
      end,
      sizeBytes,
      signal,
      log,
      counts,
    }))
      pieces.push(piece);
    head = Buffer.concat(pieces);
    wanted = directoryBytes(head.subarray(0, PREFIX_BYTES));
  }
  return head;
}

/** Throws ARTIFACT_PATCH unless it is the patch between these two. */
function open(
  look: ChunkLook,
  { directory, digest }: Base,
  source: PartialSource,
  head: Buffer,
): Omit<PatchOffer, 'fetchBytes'> {
  const found = decodeDirectory(head, source.sizeBytes, look.chunks.length);
  if (found.oldDigest !== digest || found.newDigest !== look.index.digest)
    throw patchFault(
      `one from ${found.oldDigest.slice(0, 16)} to ${found.newDigest.slice(0, 16)}`,
      `${digest.slice(0, 16)} to ${look.index.digest.slice(0, 16)}`,
    );
  const { parts } = found;
  const { id, sizeBytes, updated } = source;
  return {
    source: { id, sizeBytes, updated },
    from: versionOfDirectory(basename(directory)),
    directory,
    parts,
    head,
  };
}

/** The chunks of a patch that has been fetched; they are asked for in order. */
export interface PatchChunks {
  covers(at: number): boolean;
  /** Fills `into` with what may be the chunk; its digest is for the caller to check. */
  read(at: number, into: Buffer): boolean;
  close(): void;
}

/** A part that cannot be used is passed over: its chunks are not there then. */
export function openPatch(
  context: AgentContext,
  asked: Asked,
  offer: PatchOffer,
  chunks: readonly PlacedChunk[],
): PatchChunks {
  return new OpenPatch(context, patchFile(context, asked), offer, chunks);
}

class OpenPatch implements PatchChunks {
  readonly #context: AgentContext;
  readonly #path: string;
  readonly #chunks: readonly PlacedChunk[];
  readonly #partOf = new Map<number, PlacedPart>();
  readonly #old: TreeStream;
  #open: { part: PlacedPart; reader: PartReader | undefined; next: number } | undefined;

  constructor(context: AgentContext, path: string, offer: PatchOffer, chunks: readonly PlacedChunk[]) {
    this.#context = context;
    this.#path = path;
    this.#chunks = chunks;
    const manifest = readTreeManifest(offer.directory, artifactLimits(context.settings()));
    if (manifest === undefined)
      throw patchFault(`no manifest in '${offer.directory}'`, 'the one of the old version');
    this.#old = openTreeStream(offer.directory, manifest);
    for (const part of offer.parts) for (const at of part.chunks) this.#partOf.set(at, part);
  }

  covers(at: number): boolean {
    return this.#partOf.has(at);
  }

  read(at: number, into: Buffer): boolean {
    const part = this.#partOf.get(at);
    if (part === undefined) return false;
    try {
      const open = this.#openAt(part, at);
      const { reader } = open;
      if (reader === undefined) return false;
      // What lies between was had from elsewhere.
      while (part.chunks[open.next] !== at) this.#skip(open, reader);
      open.next += 1;
      return reader.read(into, this.#old);
    } catch (error) {
      if (!(error instanceof GweError)) throw error;
      this.#context.log.warn('patch.part', { offset: part.offset }, describeError(error));
      this.#drop();
      this.#open = { part, reader: undefined, next: 0 };
      return false;
    }
  }

  close(): void {
    this.#drop();
    this.#old.close();
  }

  /** The payload of a part goes before the next one comes: two do not have to be held. */
  #drop(): void {
    this.#open?.reader?.close();
    this.#open = undefined;
  }

  #openAt(part: PlacedPart, at: number) {
    const index = part.chunks.indexOf(at);
    if (this.#open?.part !== part || (this.#open.reader !== undefined && index < this.#open.next)) {
      this.#drop();
      const bytes = readStretch(this.#path, part.offset, part.sizeBytes);
      this.#open = { part, reader: openPart(bytes, part), next: 0 };
      releaseBuffer(bytes);
    }
    return this.#open;
  }

  #skip(open: { part: PlacedPart; next: number }, reader: PartReader): void {
    const sizeBytes = this.#chunks[open.part.chunks[open.next] ?? -1]?.sizeBytes ?? 0;
    reader.read(Buffer.allocUnsafe(sizeBytes), this.#old);
    open.next += 1;
  }
}

/** Fewer bytes where the file ends; none without a file. */
function readStretch(path: string, offset: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    let done = 0;
    while (done < sizeBytes) {
      const count = readSync(fd, bytes, done, sizeBytes - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}

/** Removes what was fetched of patches for an item. */
export function removePatch(context: AgentContext, asked: Pick<Asked, 'contentId'>): void {
  removePartialFile(patchFile(context, asked));
}
