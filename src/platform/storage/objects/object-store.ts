/**
 * Where the bytes of content are when their rows are in PostgreSQL: objects with random names, which never change.
 */
import type { Readable } from 'node:stream';
import type { ByteRange } from '../content-storage.ts';

export interface ObjectStore {
  /**
   * Stores an object under this new name: whole and durable when it resolves. Throws where the source ends early or
   * exceeds `limitBytes`; what remains then is removed by `remove` and `endOldUploads`.
   */
  put(
    name: string,
    source: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<{ sizeBytes: number; sha256: string }>;
  /** For one reader. A replica may stop at any time: what was read until then is the beginning of the range. */
  open(name: string): OpenObject;
  /** Does nothing if there is no such object. */
  remove(name: string): Promise<void>;
  /**
   * All objects in the store, to find those that the database does not know; none where others store theirs in the
   * same place.
   */
  list(): AsyncIterable<ListedObject>;
  /** Removes the parts of uploads that began so long ago and did not end. */
  endOldUploads(ageSeconds: number): Promise<void>;
  /**
   * Claims the place for the database with this id. Throws PLATFORM_STATE where it belongs to another, or cannot be
   * used.
   */
  claim(owner: string): Promise<void>;
  close(): void;
}

interface OpenObject {
  read(range: ByteRange): Readable;
  close(): Promise<void>;
}

export interface ListedObject {
  name: string;
  sizeBytes: number;
  /** Unix seconds. */
  modifiedAt: number;
}

/** The form of gwe's names of objects; anything else in the same place belongs to somebody else. */
export const OBJECT_NAME = /^[0-9a-f]{32}$/;
