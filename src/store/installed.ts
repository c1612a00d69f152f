import * as v from 'valibot';
import { ContentFactsSchema, VersionRecordSchema } from '../artifact/record.ts';

/** What is installed: per app the active version, the one before, and what has been refused. */

const MOST_REFUSALS = 20;

const RefusalSchema = v.object({
  contentId: v.string(),
  digest: v.string(),
  /** sha256 of the command's text: the refusal holds until this changes, or for a while. */
  commandDigest: v.string(),
  /** When it failed last, and how often under this command. */
  failedAtMs: v.optional(v.number()),
  failures: v.optional(v.number()),
  content: v.optional(ContentFactsSchema),
  reason: v.string(),
});
export type Refusal = v.InferOutput<typeof RefusalSchema>;

const AppSchema = v.object({
  active: v.optional(VersionRecordSchema),
  previous: v.optional(VersionRecordSchema),
  refused: v.array(RefusalSchema),
});
export type InstalledApp = v.InferOutput<typeof AppSchema>;

export const InstalledSchema = v.object({ version: v.literal(1), apps: v.record(v.string(), AppSchema) });

export interface InstalledStore {
  /** Every app by name. A damaged or missing file is rebuilt in memory from the rest of the disk. */
  all(): Readonly<Record<string, InstalledApp>>;
  get(app: string): InstalledApp;
  /** Replaces the record of one app; `undefined` forgets it. */
  set(app: string, record: InstalledApp | undefined): void;
}

/** `record` with one more refusal; the oldest go first. The same bytes under the same command have failed once more. */
export function withRefusal(record: InstalledApp, refusal: Refusal): InstalledApp {
  const same = record.refused.find(
    ({ digest, commandDigest }) => digest === refusal.digest && commandDigest === refusal.commandDigest,
  );
  const failures = same === undefined ? 1 : (same.failures ?? 1) + 1;
  const others = record.refused.filter((other) => other.digest !== refusal.digest);
  return { ...record, refused: [...others, { ...refusal, failures }].slice(-MOST_REFUSALS) };
}
