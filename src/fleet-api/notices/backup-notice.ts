/** A backup that failed is told of by whoever made it. */
import { describeError, GweError } from '../../base/errors.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import { enqueue, listTargets } from './notifier.ts';

const MOST_CHARS = 500;

/**
 * Told to those who want it, by the platform as soon as it serves. Never throws: what is to be heard is why the backup failed.
 * One that somebody ended is none that failed.
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
    // Its database may be what failed.
  }
}
