/**
 * What an artifact may cost the gateway. Every limit holds while streaming, before anything of that size is
 * allocated.
 */

export interface ArtifactLimits {
  /** Bytes of the `.tar.gz` file. */
  compressedBytes: number;
  /** Bytes of the tar stream in it: file contents, headers and padding. */
  unpackedBytes: number;
  /** Tar bytes per compressed byte of the whole file: what tells a decompression bomb from software. */
  ratio: number;
  /** Tar bytes up to which the ratio is not checked: a small file of zeros is not a bomb. */
  ratioFloorBytes: number;
  /** Headers in the archive, extension headers included. */
  entries: number;
  /** Bytes of one path, and of a link's target. */
  pathBytes: number;
  /** Bytes of one name between two slashes: what Linux file systems take. */
  componentBytes: number;
  /** Names in one path. */
  depth: number;
  /** Bytes of all paths together: they are kept in memory to see repeated ones. */
  allPathsBytes: number;
  /** Bytes of one pax header or GNU long name, and of the list of signatures. */
  metaEntryBytes: number;
  /** Bytes of the manifest: about 150 for each entry. */
  manifestBytes: number;
}

export const DEFAULT_LIMITS: ArtifactLimits = {
  compressedBytes: 2 ** 30,
  unpackedBytes: 2 ** 32,
  ratio: 200,
  ratioFloorBytes: 64 * 2 ** 20,
  entries: 100_000,
  pathBytes: 1024,
  componentBytes: 255,
  depth: 64,
  allPathsBytes: 8 * 2 ** 20,
  metaEntryBytes: 64 * 1024,
  manifestBytes: 8 * 2 ** 20,
};
