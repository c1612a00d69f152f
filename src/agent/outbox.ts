/** Reports of finished updates that the platform has not got yet: one file each, failures in room kept for them; oldest first. */
import { join } from 'node:path';
import * as v from 'valibot';
import {
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';
import { createReportSlots } from './report-slots.ts';

const LARGEST_REPORT_BYTES = 256 * 1024;
/** A gateway that cannot reach its platform for months must not fill its disk with reports. */
const MOST_REPORTS = 200;

const ReportSchema = v.object({ alias: v.string(), value: v.string() });
export type PendingReport = v.InferOutput<typeof ReportSchema> & {
  key: string;
  /** It is remembered when it was sent, so that the same again is not: it may go before its update is closed. */
  isOnce: boolean;
};

export interface Outbox {
  /** Keeps a report until it is sent. `key` makes it idempotent and orders it (older keys sort first). */
  put(key: string, alias: string, value: string): void;
  /** As `put`, also on a disk that has become full, and never twice. `render` is given the number of the failure. */
  putFailure(key: string, alias: string, render: (sequence: number) => string): void;
  /** Takes the room for failures. Throws STORE_NO_SPACE, STORE_IO. */
  prepare(): void;
  oldest(): PendingReport | undefined;
  newestKey(): string | undefined;
  /** Of all that wait, oldest first. */
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
  const path = (key: string): string => join(directory, `${key}.json`);
  const removeFile = (key: string): void => removeFileDurable(path(key));
  const waiting = (): string[] => slots.all().flatMap((slot) => (slot.isSent ? [] : [slot.key]));
  const keys = (): string[] => [...files(), ...waiting()].sort();
  const find = (key: string): PendingReport | undefined => {
    const slot = slots.all().find((one) => one.key === key && !one.isSent);
    if (slot !== undefined) return { key, alias: slot.alias, value: slot.value, isOnce: true };
    const report = readReport(path(key));
    return report === undefined ? undefined : { ...report, key, isOnce: false };
  };
  const put = (key: string, alias: string, value: string): void => {
    ensureDirectory(directory);
    for (const old of files().slice(0, -(MOST_REPORTS - 1))) removeFile(old);
    writeFileDurable(path(key), JSON.stringify({ alias, value }), 0o600);
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
    oldest() {
      for (const key of keys()) {
        const report = find(key);
        if (report !== undefined) return report;
        removeFile(key);
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

/** A damaged one counts as none: it must not stand before the others for ever. */
function readReport(path: string): v.InferOutput<typeof ReportSchema> | undefined {
  try {
    return v.parse(ReportSchema, JSON.parse(readTextBounded(path, LARGEST_REPORT_BYTES) ?? ''));
  } catch {
    return undefined;
  }
}
