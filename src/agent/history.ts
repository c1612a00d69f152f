/** The last updates and how they ended. */
import { dirname } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';

const MOST_ENTRIES = 200;
const LARGEST_HISTORY_BYTES = 1024 * 1024;

const EntrySchema = v.object({
  tx: v.string(),
  app: v.string(),
  version: v.string(),
  /** The version that was active before. */
  from: v.optional(v.string()),
  outcome: v.string(),
  startedAtMs: v.number(),
  endedAtMs: v.number(),
  bytesFetched: v.number(),
  /** As in the journal; absent where nothing was fetched. */
  bytesFull: v.optional(v.number()),
  bytesReused: v.optional(v.number()),
  requests: v.optional(v.number()),
  fetchMs: v.optional(v.number()),
  code: v.optional(v.string()),
  reason: v.optional(v.string()),
});
export type HistoryEntry = v.InferOutput<typeof EntrySchema>;

/** Oldest first. A damaged file counts as empty: history is for people, nothing is decided by it. */
export function readHistory(path: string): HistoryEntry[] {
  try {
    return v.parse(v.array(EntrySchema), JSON.parse(readTextBounded(path, LARGEST_HISTORY_BYTES) ?? '[]'));
  } catch {
    return [];
  }
}

/** Adds one entry; the same transaction twice is one entry. */
export function appendHistory(path: string, entry: HistoryEntry): void {
  const others = readHistory(path).filter((old) => old.tx !== entry.tx);
  ensureDirectory(dirname(path));
  writeFileDurable(path, `${JSON.stringify([...others, entry].slice(-MOST_ENTRIES))}\n`);
}
