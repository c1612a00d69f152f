/**
 * Where in a tarball, and in an unpacked version, its description is. Separate from the readers: not every start
 * needs them.
 */
import { createHash } from 'node:crypto';

export const META_DIRECTORY = '.gwe';
export const MANIFEST_PATH = `${META_DIRECTORY}/manifest.json`;
export const SIGNATURES_PATH = `${META_DIRECTORY}/signatures.json`;

/** sha256 of a manifest's bytes, hex: the identity of an indexed artifact, and what is signed. */
export function manifestDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
