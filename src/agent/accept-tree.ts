/** The last checks of what has been unpacked, by whatever way it came, before anything of it can run. */
import { join } from 'node:path';
import type { StreamContents } from '../artifact/extract.ts';
import { assertLayout } from '../artifact/layout.ts';
import { GweError } from '../base/errors.ts';
import { parseManifestDigest } from '../protocol/content.ts';
import type { Transaction } from '../update/journal.ts';
import type { AgentContext } from './context.ts';
import { knownBad } from './preflight.ts';
import { readProgram } from './programs.ts';
import { rememberRelease } from './trust.ts';

/** The checks of the unpacked tree `directory`, which is on the disk by now: after a power cut nobody looks into it again. */
export async function acceptTree(
  context: AgentContext,
  transaction: Transaction,
  directory: string,
  contents: StreamContents,
  digest: string,
): Promise<Pick<Transaction, 'digest' | 'rootPrefix' | 'hasProgram'>> {
  assertLayout(contents);
  assertPinned(transaction, digest);
  const bad = knownBad(context, transaction, (refusal) => refusal.digest === digest);
  if (bad !== undefined) throw bad;
  const root = join(directory, contents.rootPrefix);
  const program = await readProgram(context, transaction.app, root, 'before-install');
  for (const warning of program?.warnings ?? []) {
    context.log.warn(
      'artifact.program',
      { tx: transaction.id, app: transaction.app, line: warning.line },
      warning.message,
    );
  }
  rememberRelease(context, contents.index);
  return { digest, rootPrefix: contents.rootPrefix, hasProgram: program !== undefined };
}

function assertPinned(transaction: Transaction, digest: string): void {
  const { content, expectedSha256, contentId } = transaction;
  if (content === undefined || !pinsManifest(transaction, content) || digest === expectedSha256) return;
  throw new GweError(
    'DOWNLOAD_DIGEST',
    `cannot accept '${contentId}': its manifest has sha256 ${digest}, expected ${expectedSha256} (the command)`,
  );
}

/** Whether the command's sha256 is that of the manifest, by the word of the content area: it is compared when unpacked. */
export function pinsManifest({ expectedSha256 }: Transaction, { meta }: { meta: string }): boolean {
  return expectedSha256 !== undefined && parseManifestDigest(meta) === expectedSha256;
}
