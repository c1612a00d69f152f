/** Content items and their bytes. */
import type { Readable } from 'node:stream';
import type { Page, PageRequest } from './page.ts';

export interface ContentItem {
  id: string;
  contentType: string;
  sizeBytes: number;
  updatedAt: number;
  meta: string;
  isProtected: boolean;
  /** False between the creation of the entry and the end of its upload. */
  hasBlob: boolean;
}

/** What an uploader states about content. */
export type ContentFacts = Pick<ContentItem, 'contentType' | 'meta'>;

export interface ByteRange {
  /** Both inclusive. */
  first: number;
  last: number;
}

/** The bytes of an upload: durably stored, but not part of any content yet. */
export interface Upload {
  sizeBytes: number;
  sha256: string;
  /** Removes the upload; does nothing once it has been used. */
  discard(): Promise<void>;
}

export interface OpenContent {
  item: ContentItem;
  /** To be called at most once. Yields no bytes if `last` is before `first`. */
  read(range: ByteRange): Readable;
  /** For a caller that does not read. */
  close(): Promise<void>;
}

export interface ContentStorage {
  /** By id, in the order of its bytes. */
  listContent(product: string, request: PageRequest): Promise<Page<ContentItem>>;
  findContent(product: string, id: string): Promise<ContentItem | undefined>;
  /** False if there already is an item of that id. */
  createContent(product: string, id: string, meta: string, isProtected: boolean): Promise<boolean>;
  /**
   * Stores the bytes of an upload; throws and leaves nothing behind if the source ends early or exceeds `limitBytes`.
   */
  receive(source: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Upload>;
  /** Gives an entry its blob. */
  fillContent(
    product: string,
    id: string,
    contentType: string,
    upload: Upload,
  ): Promise<'done' | 'unknown' | 'filled'>;
  /** Creates or replaces in one step: a reader sees the old or the new item. `updatedAt` grows. */
  putContent(product: string, id: string, facts: ContentFacts, upload: Upload): Promise<ContentItem>;
  /** False if there is no such item. */
  deleteContent(product: string, id: string): Promise<boolean>;
  /**
   * The item and its bytes as of one moment; the stream can be read to its end even if the item is replaced.
   * `undefined` without a blob.
   */
  openContent(product: string, id: string): Promise<OpenContent | undefined>;
}
