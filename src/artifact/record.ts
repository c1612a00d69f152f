/** What gwe remembers about an artifact that it has unpacked. */
import * as v from 'valibot';

/** What the platform said about a content item when it was fetched: the same facts mean the same bytes. */
export const ContentFactsSchema = v.object({ sizeBytes: v.number(), updated: v.number(), meta: v.string() });
export type ContentFacts = v.InferOutput<typeof ContentFactsSchema>;

/** A version of an app that is unpacked on the gateway. */
export const VersionRecordSchema = v.object({
  version: v.string(),
  /** sha256 of the uncompressed tar stream. */
  digest: v.string(),
  contentId: v.string(),
  /** Whether it has a program entry; a one-off has none. */
  hasProgram: v.boolean(),
  content: v.optional(ContentFactsSchema),
  installedAtMs: v.number(),
  /** Ids of the keys that were trusted and had signed it while it was committed here. */
  signers: v.optional(v.array(v.string())),
});
export type VersionRecord = v.InferOutput<typeof VersionRecordSchema>;
