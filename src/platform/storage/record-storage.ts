/**
 * Small records of the platform itself that need no joins: people and their sessions, login attempts, requests that
 * must be done only once, notices. The storage keeps them as text by kind and key; their meaning is known only to the
 * code that writes them.
 */
import type { AuditFacts } from '../../fleet/people/audit.ts';
import type { Page, PageRequest } from './page.ts';

interface StoredRecord {
  readonly key: string;
  readonly body: string;
}

interface RecordChange<T> {
  readonly result: T;
  /** What is stored from now on: until `endsAt`, in Unix seconds, or for good. Without it, nothing changes. */
  readonly put?: { readonly body: string; readonly endsAt?: number | undefined } | undefined;
  readonly isRemoved?: boolean | undefined;
  /** Written in the same transaction as the change. */
  readonly audit?: AuditFacts | undefined;
}

export interface RecordStorage {
  /** `undefined` for a record that does not exist, or has expired. */
  findRecord(kind: string, key: string): Promise<string | undefined>;
  /** By key, in the order of its bytes. */
  listRecords(kind: string, request: PageRequest): Promise<Page<StoredRecord>>;
  /**
   * Reads, decides and writes as one step, during which nobody else changes this record. `change` may be called more
   * than once; its last result counts.
   */
  changeRecord<T>(
    which: { readonly kind: string; readonly key: string },
    change: (found: string | undefined, nowS: number) => RecordChange<T>,
  ): Promise<T>;
  /** Removes expired records. */
  sweepRecords(): Promise<void>;
}
