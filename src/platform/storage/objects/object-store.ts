/** Where the bytes of content are when their rows are in PostgreSQL: objects that have a random name and never change. */
import type { Readable } from 'node:stream';
import type { ByteRange } from '../content-storage.ts';

export interface ObjectStore {
  /**
   * Stores an object of this new name: whole and durable when it resolves. Throws where the source ends early or passes
   * `limitBytes`; what is left of it then is taken away by `remove` and `endOldUploads`.
   */
  put(
    name: string,
    source: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<{ sizeBytes: number; sha256: string }>;
  /** For one reader. A replica may stop at any time: what has been read is the beginning of the range. */
  open(name: string): OpenObject;
  /** Does nothing where there is none. */
  remove(name: string): Promise<void>;
  /** What is there beside the objects that the database knows; nothing, where others keep theirs in the same place. */
  list(): AsyncIterable<ListedObject>;
  /** Forgets the parts of uploads that began so long ago and did not end. */
  endOldUploads(ageSeconds: number): Promise<void>;
  /** Makes the place that of the database with this id. Throws PLATFORM_STATE where it is another's, or cannot be used. */
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

/** What gwe names an object; anything else in the same place is somebody else's. */
export const OBJECT_NAME = /^[0-9a-f]{32}$/;
