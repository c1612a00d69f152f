/** Which reports the platform has already: an unchanged one is not sent again, but once a day (design.md §6). */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';
import type { Report } from './engine-report.ts';

const RESEND_AFTER_MS = 24 * 3600 * 1000;
const MemorySchema = v.record(v.string(), v.object({ hash: v.string(), sentAtMs: v.number() }));
type Memory = v.InferOutput<typeof MemorySchema>;

export interface ReportMemory {
  /** The aliases and texts of `reports` that are worth sending now. */
  select(reports: Readonly<Record<string, Report>>, nowMs: number): [alias: string, text: string][];
  /** The platform has them. */
  sent(reports: Readonly<Record<string, Report>>, aliases: readonly string[], nowMs: number): void;
  /** The platform may have lost them (new key): send all again. */
  forget(): void;
  /** Commands whose failure was told although nothing could be written to the disk, by their digests. */
  toldWithoutDisk: Set<string>;
  /** Whether it has been logged that the platform does not define the aliases. */
  hasToldUndefined: boolean;
  /** The platform may have got a report that is still waiting here: after a start, or a call that failed. */
  isInDoubt: boolean;
}

/** The memory lives in `path` (tmpfs: it is worth no flash), so that it outlives a restart but not a reboot. */
export function createReportMemory(path: string): ReportMemory {
  let memory = readMemory(path);
  const save = (): void => {
    try {
      ensureDirectory(dirname(path));
      writeFileDurable(path, JSON.stringify(memory));
    } catch {
      // Worth no failed check-in: on a full disk reports are sent once more after a restart.
    }
  };
  return {
    select: (reports, nowMs) =>
      Object.entries(reports)
        .filter(([alias, report]) => isWorthSending(memory[alias], report, nowMs))
        .map(([alias, report]) => [alias, report.text]),
    sent(reports, aliases, nowMs) {
      const entries = aliases.flatMap((alias) => {
        const report = reports[alias];
        return report === undefined ? [] : [[alias, { hash: hash(report), sentAtMs: nowMs }] as const];
      });
      if (entries.length === 0) return;
      memory = { ...memory, ...Object.fromEntries(entries) };
      save();
    },
    forget() {
      memory = {};
    },
    toldWithoutDisk: new Set(),
    hasToldUndefined: false,
    isInDoubt: true,
  };
}

/** A clock that went back counts as a day gone by: better a report too many. */
function isWorthSending(old: Memory[string] | undefined, report: Report, nowMs: number): boolean {
  return old === undefined || old.hash !== hash(report) || Math.abs(nowMs - old.sentAtMs) >= RESEND_AFTER_MS;
}

function hash(report: Report): string {
  return createHash('sha256').update(report.stable).digest('hex').slice(0, 16);
}

function readMemory(path: string): Memory {
  try {
    return v.parse(MemorySchema, JSON.parse(readTextBounded(path, 64 * 1024) ?? '{}'));
  } catch {
    return {};
  }
}
