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

/** What an uploader says of content. */
export type ContentFacts = Pick<ContentItem, 'contentType' | 'meta'>;

export interface ByteRange {
  /** Both inclusive. */
  first: number;
  last: number;
}

/** The bytes of an upload, safely stored but not yet anybody's content. */
export interface Upload {
  sizeBytes: number;
  sha256: string;
  /** Removes it; does nothing once it has been used. */
  discard(): Promise<void>;
}

export interface OpenContent {
  item: ContentItem;
  /** At most once. Without a byte where `last` is before `first`. */
  read(range: ByteRange): Readable;
  /** For who does not read. */
  close(): Promise<void>;
}

export interface ContentStorage {
  /** By id, in the order of its bytes. */
  listContent(product: string, request: PageRequest): Promise<Page<ContentItem>>;
  findContent(product: string, id: string): Promise<ContentItem | undefined>;
  /** False if there is one of that id. */
  createContent(product: string, id: string, meta: string, isProtected: boolean): Promise<boolean>;
  /** Takes bytes in; throws and leaves nothing if the source ends early or passes `limitBytes`. */
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
  /** False if there is none. */
  deleteContent(product: string, id: string): Promise<boolean>;
  /** The item and its bytes as of one moment; the stream outlives a replacement. `undefined` without a blob. */
  openContent(product: string, id: string): Promise<OpenContent | undefined>;
}
