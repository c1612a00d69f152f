/** Signs existing tarballs; hand-packed ones get a manifest first. */
import { createReadStream, mkdtempSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { GweError } from '../../base/errors.ts';
import { removeTree } from '../../base/remove-tree.ts';
import { checkChunkTable } from '../chunks/members.ts';
import { quote } from '../faults.ts';
import type { ArtifactIndex } from '../manifest/index-guard.ts';
import { renderManifest } from '../manifest/manifest.ts';
import { MANIFEST_PATH, SIGNATURES_PATH } from '../manifest/meta-files.ts';
import {
  type ArtifactSignature,
  addSignature,
  renderSignatures,
  type Signer,
} from '../manifest/signature.ts';
import { parseArtifactName } from '../name.ts';
import { extractArtifact, inspectArtifact, type ReadOptions } from '../unpack/extract.ts';
import { replaceFile, writeTarball } from './pack.ts';
import { joinTarball, metaBytes, packIndexed, signaturesMember } from './pack-indexed.ts';
import { listTree, planPaths } from './plan-tree.ts';

const CHUNK_BYTES = 128 * 1024;

interface SignedTarball {
  index: ArtifactIndex;
  /** Whether it was hand-packed, and got its manifest now. */
  isNew: boolean;
}

/**
 * Adds a signature to the tarball `file`, which is replaced in one step; other signatures stay, and so does every
 * chunk, byte for byte. A hand-packed one is repacked with a manifest first, name and version taken from the file's
 * name. Throws what reading and packing do.
 */
export async function signTarball(
  file: string,
  signer: Signer,
  options: ReadOptions,
): Promise<SignedTarball> {
  const { index } = await inspectArtifact(file, { ...options, isElsewhere: true });
  if (index === undefined) {
    await indexTarball(file, [signer], options);
    const { index: made } = await inspectArtifact(file, options);
    if (made === undefined)
      throw new GweError('ARTIFACT_BUILD', `cannot sign ${quote(file)}: it has changed`);
    return { index: made, isNew: true };
  }
  const signed = { ...index, signatures: await addSignature(index.signatures, index.digest, signer) };
  if (index.manifest.chunks === undefined) {
    const stream = withSignatures(file, index, signed.signatures);
    await writeTarball(file, stream, options.signal);
  } else await exchangeSignatures(file, signed, options.signal);
  return { index: signed, isNew: false };
}

/** Gives a hand-packed tarball a manifest. Modes are kept; times are not, and hard links become files. */
async function indexTarball(file: string, signers: readonly Signer[], options: ReadOptions): Promise<void> {
  const facts = parseArtifactName(basename(file));
  const scratch = mkdtempSync(join(dirname(file), '.gwe-tmp-'));
  try {
    const tree = join(scratch, 'tree');
    // What lies beside the one directory is not the app's.
    const { rootPrefix } = await extractArtifact(file, tree, { ...options, mask: 0o777, isElsewhere: true });
    const entries = planPaths(tree, listTree(tree, rootPrefix), options.limits, { modeBits: 0o777 });
    await packIndexed(file, { facts, entries, signers }, options.signal);
  } finally {
    removeTree(scratch);
  }
}

/** A signature covers the table too: whoever signs it must know that it is correct. */
async function exchangeSignatures(
  file: string,
  index: ArtifactIndex,
  signal: AbortSignal | undefined,
): Promise<void> {
  const old = await checkChunkTable(file, index, signal);
  const members = [old.manifest, await signaturesMember(index.signatures)];
  const from = old.manifest.length + old.signatures.length;
  await replaceFile(file, signal, async (temporary) => joinTarball(temporary, members, file, from));
}

/** The tar stream of `file`, which has no chunks, with other signatures in its second entry. */
async function* withSignatures(
  file: string,
  index: ArtifactIndex,
  signatures: readonly ArtifactSignature[],
): AsyncGenerator<Buffer> {
  const manifest = metaBytes(MANIFEST_PATH, renderManifest(index.manifest));
  const meta = (list: readonly ArtifactSignature[]): Buffer =>
    metaBytes(SIGNATURES_PATH, renderSignatures(list));
  yield manifest;
  yield meta(signatures);
  let skipBytes = manifest.length + meta(index.signatures).length;
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  pipeline(createReadStream(file, { highWaterMark: CHUNK_BYTES }), gunzip, () => undefined);
  for await (const chunk of gunzip as AsyncIterable<Buffer>) {
    const skipped = Math.min(skipBytes, chunk.length);
    skipBytes -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}
