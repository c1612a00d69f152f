/**
 * What people did. Each entry is chained to the one before by a digest: whoever changes, removes or moves an entry
 * has to make all later ones anew, and then the last digest differs from the one that was written down elsewhere.
 */
import { createHash } from 'node:crypto';

export interface AuditFacts {
  /** Unix seconds. */
  readonly at: number;
  readonly actor: string;
  /** Id of the request. */
  readonly request: string;
  readonly action: string;
  readonly target: string;
  /** JSON of the thing before the change, and after it. */
  readonly before: string;
  readonly after: string;
}

export interface AuditEntry extends AuditFacts {
  /** From 1, without a gap. */
  readonly number: number;
  /** Digest over this entry and the digest of the one before. */
  readonly digest: string;
}

/** What the first entry follows. */
export const NO_ENTRY: Pick<AuditEntry, 'number' | 'digest'> = { number: 0, digest: '' };

export function chainEntry(last: Pick<AuditEntry, 'number' | 'digest'>, facts: AuditFacts): AuditEntry {
  const entry = { ...facts, number: last.number + 1 };
  return { ...entry, digest: digestOf(last.digest, entry) };
}

interface AuditFault {
  /** The number of the first entry that does not fit the chain. */
  readonly number: number;
  readonly kind: 'changed' | 'missing' | 'reordered';
}

/** The first fault of a chain, or its last entry. `head`: the last entry that is known to have existed. */
export function verifyAudit(
  entries: Iterable<AuditEntry>,
  head: Pick<AuditEntry, 'number' | 'digest'> = NO_ENTRY,
): AuditFault | Pick<AuditEntry, 'number' | 'digest'> {
  let last = NO_ENTRY;
  for (const entry of entries) {
    const expected = last.number + 1;
    if (entry.number < expected) return { number: entry.number, kind: 'reordered' };
    if (entry.number > expected) return { number: expected, kind: 'missing' };
    if (entry.digest !== digestOf(last.digest, entry)) return { number: entry.number, kind: 'changed' };
    if (entry.number === head.number && entry.digest !== head.digest)
      return { number: entry.number, kind: 'changed' };
    last = entry;
  }
  return last.number < head.number ? { number: last.number + 1, kind: 'missing' } : last;
}

function digestOf(previous: string, entry: AuditFacts & { readonly number: number }): string {
  const { number, at, actor, request, action, target, before, after } = entry;
  const text = JSON.stringify([previous, number, at, actor, request, action, target, before, after]);
  return createHash('sha256').update(text).digest('hex');
}
