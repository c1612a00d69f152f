/** Unpacks a tarball while it comes: every check of `extractArtifact`, in one pass, nothing read back. */
import { createHash } from 'node:crypto';
import { formatFault } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import type { Admit } from '../manifest/index-guard.ts';
import { assertTarBytes } from '../tar/gunzip.ts';
import { createGunzipStream, type GunzipStream } from '../tar/gunzip-stream.ts';
import type { ArtifactContents } from './contents.ts';
import { openUnpacking } from './extract.ts';

export interface TarballUnpacking extends Pick<GunzipStream, 'write' | 'close'> {
  /** The tarball is over: resolves when all that it holds is on the disk. Throws unless the artifact is whole. */
  end(): Promise<ArtifactContents>;
}

interface TarballOptions {
  /** Bytes of the tarball. */
  sizeBytes: number;
  limits: ArtifactLimits;
  admit: Admit;
}

/** Into `directory`, which is empty. `undefined` where the runtime cannot; the tarball is unpacked as a file then. */
export function openTarballUnpacking(
  directory: string,
  { sizeBytes, limits, admit }: TarballOptions,
): TarballUnpacking | undefined {
  const unpacking = openUnpacking(directory, { limits, admit });
  const compressedHash = createHash('sha256');
  let tarBytes = 0;
  const gunzip = createGunzipStream((bytes) => {
    tarBytes += bytes.length;
    assertTarBytes(tarBytes, sizeBytes, limits);
    unpacking.write(bytes);
    return unpacking.room();
  });
  if (gunzip === undefined) {
    unpacking.close();
    return undefined;
  }
  return {
    write(piece) {
      compressedHash.update(piece);
      return gunzip.write(piece);
    },
    async end() {
      const trailingBytes = await gunzip.end();
      const contents = await unpacking.end();
      if (trailingBytes > 0 && contents.index !== undefined)
        throw formatFault(`${trailingBytes} bytes behind the end of the gzip data`, 'nothing there');
      return {
        compressedSha256: compressedHash.digest('hex'),
        compressedBytes: sizeBytes,
        ...contents,
      };
    },
    async close() {
      await gunzip.close();
      unpacking.close();
    },
  };
}
