/** Word from one process to another that an update is not wanted any more: run/gwe/cancel names transactions. */
import { ensureDirectory, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import type { Layout } from './layout.ts';

const LARGEST_MARK_BYTES = 16 * 1024;

type Marked = Pick<Layout, 'cancelMark' | 'runDirectory'>;

/** Whoever works on one of these updates ends it: now, or when its turn comes. */
export function askToCancel({ cancelMark, runDirectory }: Marked, transactions: readonly string[]): void {
  ensureDirectory(runDirectory);
  writeFileDurable(cancelMark, transactions.join('\n'));
}

/** A file that cannot be read requests nothing. */
export function isCancelAsked({ cancelMark }: Marked, transaction: string): boolean {
  try {
    return readTextBounded(cancelMark, LARGEST_MARK_BYTES)?.split('\n').includes(transaction) === true;
  } catch {
    return false;
  }
}

export function forgetCancel({ cancelMark }: Marked): void {
  removeFileDurable(cancelMark);
}
