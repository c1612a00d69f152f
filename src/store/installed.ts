/** What is installed: per app the active version, the one before, and what has been refused. */

import { dirname } from 'node:path';
import * as v from 'valibot';
import { ContentFactsSchema, VersionRecordSchema } from '../artifact/record.ts';
import { GweError, wrapError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';

const STATE_VERSION = 1;
const LARGEST_STATE_BYTES = 4 * 1024 * 1024;
const MOST_REFUSALS = 20;

const RefusalSchema = v.object({
  contentId: v.string(),
  digest: v.string(),
  /** sha256 of the command's text: the refusal holds until this changes. */
  commandDigest: v.string(),
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

const StateSchema = v.object({ version: v.literal(STATE_VERSION), apps: v.record(v.string(), AppSchema) });

export interface InstalledStore {
  /** Every app by name. A file that cannot be read throws JOURNAL_UNREADABLE. */
  all(): Readonly<Record<string, InstalledApp>>;
  get(app: string): InstalledApp;
  /** Replaces the record of one app; `undefined` forgets it. */
  set(app: string, record: InstalledApp | undefined): void;
}

export function createInstalledStore(path: string): InstalledStore {
  const all = (): Record<string, InstalledApp> =>
    decodeState(path, readTextBounded(path, LARGEST_STATE_BYTES));
  return {
    all,
    get: (app) => all()[app] ?? { refused: [] },
    set(app, record) {
      const { [app]: _old, ...others } = all();
      const apps = record === undefined ? others : { ...others, [app]: record };
      ensureDirectory(dirname(path));
      writeFileDurable(path, `${JSON.stringify({ version: STATE_VERSION, apps }, undefined, 1)}\n`);
    },
  };
}

/** `record` with one more refusal; the oldest go first. */
export function withRefusal(record: InstalledApp, refusal: Refusal): InstalledApp {
  const others = record.refused.filter((other) => other.digest !== refusal.digest);
  return { ...record, refused: [...others, refusal].slice(-MOST_REFUSALS) };
}

function decodeState(path: string, text: string | undefined): Record<string, InstalledApp> {
  if (text === undefined) return {};
  try {
    return v.parse(StateSchema, JSON.parse(text)).apps;
  } catch (error) {
    if (error instanceof GweError) throw error;
    throw wrapError(error, 'JOURNAL_UNREADABLE', `cannot read '${path}'`);
  }
}
