/** Reports of finished updates that the platform has not got yet: one file each, oldest first. */
import { join } from 'node:path';
import * as v from 'valibot';
import {
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';

const LARGEST_REPORT_BYTES = 256 * 1024;
/** A gateway that cannot reach its platform for months must not fill its disk with reports. */
const MOST_REPORTS = 200;

const ReportSchema = v.object({ alias: v.string(), value: v.string() });
export type PendingReport = v.InferOutput<typeof ReportSchema> & { key: string };

export interface Outbox {
  /** Keeps a report until it is sent. `key` makes it idempotent and orders it (older keys sort first). */
  put(key: string, alias: string, value: string): void;
  oldest(): PendingReport | undefined;
  newestKey(): string | undefined;
  /** Of all that wait, oldest first. */
  keys(): string[];
  remove(key: string): void;
  size(): number;
}

export function createOutbox(directory: string): Outbox {
  const keys = (): string[] =>
    listDirectory(directory)
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -'.json'.length));
  const path = (key: string): string => join(directory, `${key}.json`);
  const remove = (key: string): void => removeFileDurable(path(key));
  return {
    put(key, alias, value) {
      ensureDirectory(directory);
      for (const old of keys().slice(0, -(MOST_REPORTS - 1))) remove(old);
      writeFileDurable(path(key), JSON.stringify({ alias, value }), 0o600);
    },
    oldest() {
      for (const key of keys()) {
        const report = readReport(path(key));
        if (report !== undefined) return { ...report, key };
        remove(key);
      }
      return undefined;
    },
    newestKey: () => keys().at(-1),
    keys,
    remove,
    size: () => keys().length,
  };
}

/** A damaged one counts as none: it must not stand before the others for ever. */
function readReport(path: string): v.InferOutput<typeof ReportSchema> | undefined {
  try {
    return v.parse(ReportSchema, JSON.parse(readTextBounded(path, LARGEST_REPORT_BYTES) ?? ''));
  } catch {
    return undefined;
  }
}
