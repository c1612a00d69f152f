/** The last checks of an unpacked tree, however it got here, before anything in it can run. */
import { join } from 'node:path';
import { describeAdjustment } from '../../artifact/tar/adjustments.ts';
import { assertLayout } from '../../artifact/unpack/checks.ts';
import type { StreamContents } from '../../artifact/unpack/extract.ts';
import { GweError } from '../../base/errors.ts';
import type { Transaction } from '../../update/journal.ts';
import type { AgentContext } from '../run/context.ts';
import { rememberRelease } from './admission.ts';
import { knownBad } from './known-bad.ts';
import { readProgram } from './program-entry.ts';

interface UnpackedTree {
  directory: string;
  contents: StreamContents;
  /** Digest of the tarball, or of its manifest if it has one. */
  digest: string;
  /** Set if it came as one tarball. */
  tarballSha256?: string;
}

/** The checks of an unpacked tree, which is on the disk by now: after a power cut it is not checked again. */
export async function acceptTree(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed' | 'clock' | 'supervisor'>,
  transaction: Transaction,
  tree: UnpackedTree,
): Promise<Pick<Transaction, 'digest' | 'rootPrefix' | 'hasProgram' | 'unpackNote'>> {
  const { directory, contents, digest } = tree;
  assertLayout(contents);
  assertPinned(transaction, tree);
  const bad = knownBad(context, transaction, (refusal) => refusal.digest === digest);
  if (bad !== undefined) throw bad;
  const root = join(directory, contents.rootPrefix);
  const program = await readProgram(context, transaction.app, root, 'before-install');
  for (const warning of program?.warnings ?? []) {
    // What the documents teach is no reason to warn.
    if (warning.kind === 'relative-command') continue;
    context.log.warn(
      'artifact.program',
      { tx: transaction.id, app: transaction.app, line: warning.line },
      warning.message,
    );
  }
  rememberRelease(context, contents.index);
  const facts = { digest, rootPrefix: contents.rootPrefix, hasProgram: program !== undefined };
  const notes = contents.adjustments.map(describeAdjustment);
  return notes.length === 0 ? facts : { ...facts, unpackNote: notes.join('; ') };
}

/**
 * The command's sha256 is that of the manifest or of the tarball, whoever has signed it and whatever the content area
 * says.
 */
function assertPinned(
  { expectedSha256, contentId }: Transaction,
  { digest, tarballSha256 }: UnpackedTree,
): void {
  if (expectedSha256 === undefined || [digest, tarballSha256].includes(expectedSha256)) return;
  const found =
    tarballSha256 === undefined || tarballSha256 === digest
      ? `sha256 ${digest}`
      : `sha256 ${tarballSha256} and its manifest ${digest}`;
  throw new GweError(
    'DOWNLOAD_DIGEST',
    `cannot accept '${contentId}': it has ${found}, expected ${expectedSha256} (the command)`,
  );
}
