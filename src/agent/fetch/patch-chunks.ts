/** The chunks of a patch that is on the disk. */
import type { PlacedChunk } from '../../artifact/chunks/chunk-table.ts';
import { openTreeStream, type TreeStream } from '../../artifact/chunks/tree-stream.ts';
import type { Items } from '../../artifact/json-lists.ts';
import { readTreeManifest } from '../../artifact/manifest/verify-tree.ts';
import { openPart, type PartReader } from '../../artifact/patch/apply.ts';
import type { PlacedPart } from '../../artifact/patch/format.ts';
import { patchFault } from '../../artifact/patch/patch-error.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { releaseBuffer } from '../../base/memory.ts';
import { itemFiles } from '../../store/downloads.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { readStretch } from './patch-head.ts';
import type { PatchOffer } from './patch-offer.ts';

/** The chunks of a patch that has been fetched; they are asked for in order. */
export interface PatchChunks {
  covers(at: number): boolean;
  /** Fills `into` with what may be the chunk; its digest is for the caller to check. */
  read(at: number, into: Buffer): boolean;
  close(): void;
}

/** A part that cannot be used is skipped, so its chunks are missing. */
export function openPatch(
  context: AgentContext,
  request: UpdateRequest,
  offer: PatchOffer,
  chunks: Items<PlacedChunk>,
): PatchChunks {
  return new OpenPatch(context, itemFiles(context.layout, request.contentId).patch, offer, chunks);
}

class OpenPatch implements PatchChunks {
  readonly #context: AgentContext;
  readonly #path: string;
  readonly #chunks: Items<PlacedChunk>;
  readonly #partOf = new Map<number, PlacedPart>();
  readonly #old: TreeStream;
  #open: { part: PlacedPart; reader: PartReader | undefined; next: number } | undefined;

  constructor(context: AgentContext, path: string, offer: PatchOffer, chunks: Items<PlacedChunk>) {
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
    const sizeBytes = this.#chunks.at(open.part.chunks[open.next] ?? this.#chunks.length)?.sizeBytes ?? 0;
    reader.read(Buffer.allocUnsafe(sizeBytes), this.#old);
    open.next += 1;
  }
}
