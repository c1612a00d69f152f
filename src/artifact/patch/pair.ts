/** Two tarballs -> the patch between them, as a file, if it pays. */
import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeNamedFile } from '../../base/named-file.ts';
import { removeTree } from '../../base/remove-tree.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { chunkFacts, type Manifest } from '../manifest/manifest.ts';
import { patchName } from './format.ts';
import { makePatch, type PatchPlan, planPatch } from './make.ts';
import { patchFault } from './patch-error.ts';
import { openTarball } from './patch-tarball.ts';

interface PairOptions {
  /** Where the patch goes; beside the new tarball, by the name that gateways look for, if it is not given. */
  output?: string;
  signal: AbortSignal;
  /** Called when it is known what it will take, before it begins. */
  onPlan?(plan: PatchPlan): void;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

export interface PairResult {
  /** Bytes that a gateway with the old version fetches: of the whole tarball, */
  fullBytes: number;
  /** of its index and the chunks that the old version does not have, */
  chunkedBytes: number;
  /** and of the patch and the chunks that are not in it. */
  patchedBytes: number;
  /** Bytes of the patch. */
  patchBytes: number;
  /** The patch, if it pays. */
  file?: string;
}

/** What a gateway spends to find and request a patch: the patch has to save more. */
export const ASKING_BYTES = 2 * 1024;

/** Throws ARTIFACT_PATCH for tarballs that no patch is made of, CANCELLED, and what reading and writing do. */
export async function makePairPatch(
  oldFile: string,
  newFile: string,
  options: PairOptions,
): Promise<PairResult> {
  const { output, signal } = options;
  const scratch = mkdtempSync(join(dirname(output ?? newFile), '.gwe-tmp-'));
  const read = { limits: DEFAULT_LIMITS, signal };
  const sides: { close(): void }[] = [];
  try {
    const opening = [openTarball(oldFile, scratch, read), openTarball(newFile, scratch, read)] as const;
    // Both are waited for also where one fails: what the other has opened is closed.
    for (const end of await Promise.allSettled(opening))
      if (end.status === 'fulfilled') sides.push(end.value);
    const [old, next] = await Promise.all(opening);
    assertPair(old.manifest.name, next.manifest.name);
    const plan = planPatch(old, next);
    options.onPlan?.(plan);
    const patch = await makePatch(old, next, plan, options);
    const indexBytes = next.sizeBytes - chunkBytes(next.manifest);
    const chunkedBytes = indexBytes + plan.missingCompressedBytes;
    const savedBytes = patch.savedBytes + (patch.hasIndex ? indexBytes : 0);
    const patchBytes = patch.bytes.length;
    const patchedBytes = chunkedBytes - savedBytes + patchBytes;
    const sizes = { fullBytes: next.sizeBytes, chunkedBytes, patchedBytes, patchBytes };
    if (patchedBytes + ASKING_BYTES > chunkedBytes) return sizes;
    const file = output ?? join(dirname(newFile), patchName(next.manifest, old.digest, next.digest));
    writeNamedFile(file, patch.bytes);
    return { ...sizes, file };
  } finally {
    for (const side of sides) side.close();
    removeTree(scratch);
  }
}

function assertPair(oldName: string, newName: string): void {
  if (oldName !== newName) throw patchFault(`an old version of '${oldName}'`, `one of '${newName}'`);
}

function chunkBytes(manifest: Manifest): number {
  return chunkFacts(manifest).reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
}
