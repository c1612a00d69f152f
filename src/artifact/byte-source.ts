/** Random access to bytes that nobody vouches for: whoever reads them checks a digest afterwards. */

export interface ByteSource {
  readonly sizeBytes: number;
  /** Fills all of `into` from `offset` on; false where the source does not have these bytes (any more). */
  read(offset: number, into: Buffer): boolean;
}
