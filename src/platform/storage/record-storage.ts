/**
 * Small records of the platform itself that nothing joins: people and their sessions, tries to log in, what was asked
 * once, whom to tell. Storage keeps them as text by kind and key; what they mean is known to who writes them.
 */
import type { AuditFacts } from '../../fleet/people/audit.ts';
import type { Page, PageRequest } from './page.ts';

interface StoredRecord {
  readonly key: string;
  readonly body: string;
}

interface RecordChange<T> {
  readonly result: T;
  /** What is kept from now on: until `endsAt`, in Unix seconds, or for good. Without it nothing changes. */
  readonly put?: { readonly body: string; readonly endsAt?: number | undefined } | undefined;
  readonly isRemoved?: boolean | undefined;
  /** Written with the change. */
  readonly audit?: AuditFacts | undefined;
}

export interface RecordStorage {
  /** `undefined` for what is not there, or has ended. */
  findRecord(kind: string, key: string): Promise<string | undefined>;
  /** By key, in the order of its bytes. */
  listRecords(kind: string, request: PageRequest): Promise<Page<StoredRecord>>;
  /**
   * Reads, decides and writes as one step, beside which nobody else changes this record. `change` may be called more than
   * once, and its last answer counts.
   */
  changeRecord<T>(
    which: { readonly kind: string; readonly key: string },
    change: (found: string | undefined, nowS: number) => RecordChange<T>,
  ): Promise<T>;
  /** Removes what has ended. */
  sweepRecords(): Promise<void>;
}
