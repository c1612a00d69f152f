/** What an update is requested with. */
import type { Transaction } from '../../update/journal.ts';

/**
 * Without a command every refusal of the past counts, whichever command it came from; without an id nothing is carried
 * out, it is only looked ahead.
 */
export type UpdateRequest = Pick<Transaction, 'app' | 'version' | 'contentId' | 'source'> &
  Partial<Pick<Transaction, 'id' | 'urgent' | 'expectedSha256' | 'commandDigest'>>;
