import * as v from 'valibot';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import type { Layout } from './layout.ts';

/** The last updates and how they ended. */

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
  /** What installed.json is rebuilt from if it is lost; absent in entries of older gwe. */
  digest: v.optional(v.string()),
  contentId: v.optional(v.string()),
  code: v.optional(v.string()),
  reason: v.optional(v.string()),
});
export type HistoryEntry = v.InferOutput<typeof EntrySchema>;

/** Oldest first. Where it and its copy are damaged it counts as empty. */
export function readHistory(layout: Layout): HistoryEntry[] {
  return historyFile(layout).readOr([]);
}

/** Adds one entry; the same transaction twice is one entry. */
export function appendHistory(layout: Layout, entry: HistoryEntry): void {
  const others = readHistory(layout).filter((old) => old.tx !== entry.tx);
  historyFile(layout).write([...others, entry].slice(-MOST_ENTRIES));
}

export function historyFile(layout: Layout): StoredFile<HistoryEntry[]> {
  const schema = v.array(EntrySchema);
  return storedFile(layout.history, { schema, limitBytes: LARGEST_HISTORY_BYTES, copy: {} });
}
