import { join } from 'node:path';
import * as v from 'valibot';
import { listDirectory, removeIfPossible } from '../base/fs.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import { createReportSlots } from './failure-slots.ts';

/**
 * Reports of finished updates that the platform has not got yet: one file each, failures in room kept for them;
 * oldest first.
 */

const LARGEST_REPORT_BYTES = 256 * 1024;
/** A gateway that cannot reach its platform for months must not fill its disk with reports. */
const MOST_REPORTS = 200;

const ReportSchema = v.object({ alias: v.string(), value: v.string() });
export type PendingReport = v.InferOutput<typeof ReportSchema> & {
  key: string;
  /** It is remembered once sent, so that it is not sent again: it may be sent before its update is closed. */
  isOnce: boolean;
};

export interface Outbox {
  /** Keeps a report until it is sent. `key` makes it idempotent and orders it (older keys sort first). */
  put(key: string, alias: string, value: string): void;
  /** As `put`, also on a disk that has become full, and never twice. `render` is given the number of the failure. */
  putFailure(key: string, alias: string, render: (sequence: number) => string): void;
  /** Takes the room for failures. Throws STORE_NO_SPACE, STORE_IO. */
  prepare(): void;
  /** The oldest report that is not to be left out. */
  oldest(isLeftOut?: (key: string) => boolean): PendingReport | undefined;
  newestKey(): string | undefined;
  /** The keys of all reports that wait, oldest first. */
  keys(): string[];
  remove(key: string): void;
  size(): number;
}

export function createOutbox(directory: string): Outbox {
  const slots = createReportSlots(directory);
  const files = (): string[] =>
    listDirectory(directory)
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -'.json'.length));
  const removeFile = (key: string): void => reportFile(directory, key).remove();
  const waiting = (): string[] => slots.all().flatMap((slot) => (slot.isSent ? [] : [slot.key]));
  const keys = (): string[] => [...files(), ...waiting()].sort();
  const find = (key: string): PendingReport | undefined => {
    const slot = slots.all().find((one) => one.key === key && !one.isSent);
    if (slot !== undefined) return { key, alias: slot.alias, value: slot.value, isOnce: true };
    // A damaged one is ignored: it must not block the others forever.
    const report = reportFile(directory, key).readOr(undefined);
    return report === undefined ? undefined : { ...report, key, isOnce: false };
  };
  const put = (key: string, alias: string, value: string): void => {
    for (const old of files().slice(0, -(MOST_REPORTS - 1))) removeFile(old);
    reportFile(directory, key).write({ alias, value });
  };
  return {
    put,
    putFailure(key, alias, render) {
      const sequence = slots.nextSequence();
      const report = { key, alias, value: render(sequence), sequence };
      if (slots.put(report)) return;
      const [oldest] = slots.all();
      if (oldest !== undefined) {
        put(oldest.key, oldest.alias, oldest.value);
        slots.clear(oldest.key);
      }
      if (!slots.put(report)) put(key, alias, report.value);
    },
    prepare: () => slots.prepare(),
    oldest(isLeftOut = () => false) {
      for (const key of keys()) {
        if (isLeftOut(key)) continue;
        const report = find(key);
        if (report !== undefined) return report;
        removeIfPossible(reportPath(directory, key)); // On a disk that cannot be written it stays, and is skipped again.
      }
      return undefined;
    },
    newestKey: () => keys().at(-1),
    keys,
    remove(key) {
      slots.markSent(key);
      if (files().includes(key)) removeFile(key);
    },
    size: () => keys().length,
  };
}

function reportPath(directory: string, key: string): string {
  return join(directory, `${key}.json`);
}

function reportFile(directory: string, key: string): StoredFile<v.InferOutput<typeof ReportSchema>> {
  return storedFile(reportPath(directory, key), {
    schema: ReportSchema,
    limitBytes: LARGEST_REPORT_BYTES,
    mode: 0o600,
  });
}
