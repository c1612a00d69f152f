/** Sends a notice of a failed backup, from the process that made it. */
import { describeError, GweError } from '../../base/errors.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import { enqueue, listTargets } from './notifier.ts';

const MOST_CHARS = 500;

/**
 * Stored for everybody who wants such notices; the platform sends it as soon as it serves. Never throws, since the
 * caller has to report why the backup failed. A backup that somebody cancelled has not failed.
 */
export async function tellFailedBackup(
  storage: RecordStorage,
  { error, to, at }: { readonly error: unknown; readonly to: string; readonly at: number },
): Promise<void> {
  if (error instanceof GweError && error.code === 'CANCELLED') return;
  const text = `the backup to '${to}' failed: ${describeError(error)}`
    .replace(/\p{Cc}/gu, ' ')
    .slice(0, MOST_CHARS);
  const notice = {
    key: `backup-failed:${at}`,
    kind: 'backup-failed',
    product: '*',
    at,
    title: text,
    text,
  } as const;
  try {
    await enqueue(storage, await listTargets(storage), notice);
  } catch {
    // The database itself may be what failed.
  }
}
