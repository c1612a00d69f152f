/** The index part of a patch and the old manifest -> the index of the new version, which the caller must check. */
import type { ByteSource } from '../byte-source.ts';
import { limitFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import { MANIFEST_PATH, manifestDigest, SIGNATURES_PATH } from '../manifest/meta-files.ts';
import { openPart } from './apply.ts';
import type { IndexPartFact } from './format.ts';
import { patchFault } from './patch-error.ts';

/**
 * `bytes`: the part. `digest`: sha256 that the new manifest must have, hex. Throws ARTIFACT_PATCH for a part that makes
 * anything else, ARTIFACT_LIMIT before it would make more than may be.
 */
export function rebuildIndex(
  { bytes, fact }: { bytes: Buffer; fact: IndexPartFact },
  oldManifest: Buffer,
  digest: string,
  limits: ArtifactLimits,
): { manifest: Buffer; signatures: Buffer } {
  assertWithin(MANIFEST_PATH, fact.manifestBytes, limits.manifestBytes);
  assertWithin(SIGNATURES_PATH, fact.signatureBytes, limits.metaEntryBytes);
  const reader = openPart(bytes, fact);
  try {
    const old = sourceOf(oldManifest);
    const manifest = Buffer.alloc(fact.manifestBytes);
    const signatures = Buffer.alloc(fact.signatureBytes);
    const isWhole = reader.read(manifest, old) && reader.read(signatures, old);
    reader.end();
    if (!isWhole || manifestDigest(manifest) !== digest)
      throw patchFault('an index part that makes another manifest', `the one with sha256 ${digest}`);
    return { manifest, signatures };
  } finally {
    reader.close();
  }
}

function assertWithin(path: string, bytes: number, most: number): void {
  if (bytes > most) throw limitFault(`entry ${quote(path)}`, `${bytes} bytes`, `${most}`);
}

function sourceOf(bytes: Buffer): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, into) => bytes.copy(into, 0, offset, offset + into.length) === into.length,
  };
}
