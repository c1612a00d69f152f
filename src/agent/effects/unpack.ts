/** From a checked tarball to a version directory: unpack into staging, check, promote. */
import { existsSync } from 'node:fs';
import type { ArtifactLimits } from '../../artifact/limits.ts';
import type { ArtifactContents } from '../../artifact/unpack/contents.ts';
import { extractArtifact, type ReadOptions } from '../../artifact/unpack/extract.ts';
import { GweError } from '../../base/errors.ts';
import { diskSpace, readLink } from '../../base/fs.ts';
import { removePartialFile } from '../../protocol/partial-file.ts';
import { itemFiles } from '../../store/downloads.ts';
import { currentLink, versionDirectoryName } from '../../store/layout.ts';
import { promote, resetStaging } from '../../store/versions.ts';
import type { CheckedTransaction, Transaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult } from '../../update/ports.ts';
import { acceptTree } from '../admission/accept-tree.ts';
import { checkOnDisk, createAdmission } from '../admission/admission.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';

/** Unpacks into a fresh staging directory and checks everything before anything of it can run. */
export async function unpack(
  context: Pick<
    AgentContext,
    | 'layout'
    | 'clock'
    | 'log'
    | 'gweVersion'
    | 'settings'
    | 'installed'
    | 'supervisor'
    | 'clockFloor'
    | 'progress'
  >,
  effect: EffectContext,
): Promise<EffectResult> {
  const { transaction, signal } = effect;
  const file = tarballFile(context, transaction);
  if (transaction.isUnpacked === true) {
    // The journal says so by now: nothing is to be gone on from, and what is not on the disk yet need not get there.
    if (transaction.source.kind === 'content' && existsSync(file)) removePartialFile(file);
    return { event: 'done' };
  }
  if (!existsSync(file)) throw new GweError('STORE_IO', `cannot unpack '${file}': it is gone`);
  const staging = resetStaging(context.layout, transaction.app, transaction.id);
  try {
    const contents = await extractWithin(context, file, staging, {
      signal,
      admit: createAdmission(context, { name: transaction.app, version: transaction.version }),
      onProgress: (doneBytes, totalBytes) =>
        context.progress.move({ tx: transaction.id, state: 'verified', doneBytes, totalBytes }),
    });
    return {
      event: 'done',
      learnt: await acceptTree(context, transaction, {
        directory: staging,
        contents,
        digest: contents.digest,
        tarballSha256: contents.compressedSha256,
      }),
    };
  } catch (error) {
    resetStaging(context.layout, transaction.app, transaction.id);
    if (error instanceof GweError && error.isRejection && transaction.source.kind === 'content')
      removePartialFile(file);
    throw error;
  }
}

/** The disk is a limit like the others: what is not free cannot be unpacked, and the reserve stays free. */
async function extractWithin(
  context: Pick<AgentContext, 'settings'>,
  file: string,
  staging: string,
  options: Pick<ReadOptions, 'signal' | 'admit' | 'onProgress'>,
): Promise<ArtifactContents> {
  const settings = context.settings();
  const freeBytes = Math.max(0, diskSpace(staging).freeBytes - settings.diskReserveBytes);
  const limits: ArtifactLimits = {
    ...artifactLimits(settings),
    unpackedBytes: Math.min(settings.maxUnpackedBytes, freeBytes),
  };
  try {
    return await extractArtifact(file, staging, { ...options, limits, isDurable: true });
  } catch (error) {
    const isFull =
      error instanceof GweError && error.code === 'ARTIFACT_LIMIT' && freeBytes < settings.maxUnpackedBytes;
    if (!isFull || diskSpace(staging).freeBytes > limits.unpackedBytes) throw error;
    throw noSpace(`unpack '${file}'`, freeBytes, undefined, error);
  }
}

export async function promoteStaged(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  transaction: CheckedTransaction,
): Promise<EffectResult> {
  const { app, version, digest, rootPrefix = '' } = transaction;
  promote(context.layout, { app, version, digest, transactionId: transaction.id, rootPrefix });
  // The tree of the active version stays where it is, and has not been read for a while.
  if (readLink(currentLink(context.layout, app)) === versionDirectoryName(transaction))
    checkOnDisk(context, { app, version, digest }, 'command');
  return { event: transaction.parks === undefined ? 'done' : 'park' };
}

/** Where the tarball of a transaction is read from. */
function tarballFile(context: Pick<AgentContext, 'layout'>, transaction: Transaction): string {
  const { source, contentId } = transaction;
  return source.kind === 'file' ? source.path : itemFiles(context.layout, contentId).whole;
}

function noSpace(what: string, freeBytes: number, needed: number | undefined, cause?: unknown): GweError {
  const expected = needed === undefined ? 'more' : `${needed} with the reserve`;
  return new GweError(
    'STORE_NO_SPACE',
    `cannot ${what}: ${freeBytes} bytes free on the disk, expected ${expected}; nothing was changed`,
    cause === undefined ? {} : { cause },
  );
}
