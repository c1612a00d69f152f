import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { storedFile } from '../../base/stored-file.ts';
import type { Report } from './engine-report.ts';

/**
 * Which reports the platform has already: an unchanged one is not sent again, but once a day (src/protocol/README.md,
 * "A check-in").
 */

const RESEND_AFTER_MS = 24 * 3600 * 1000;
const LARGEST_MEMORY_BYTES = 64 * 1024;
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

/**
 * The memory lives in `path` (tmpfs: it is worth no flash), so that it outlives a restart but not a reboot. `whose`
 * names who this gateway is: what was sent as another counts for nothing. `isAlwaysSent` is `report_always`.
 */
export function createReportMemory(
  path: string,
  whose: () => string,
  isAlwaysSent: () => boolean = () => false,
): ReportMemory {
  const file = storedFile(path, { schema: MemorySchema, limitBytes: LARGEST_MEMORY_BYTES });
  let memory = file.readOr<Memory>({});
  const hash = ({ stable }: Report): string =>
    createHash('sha256').update(`${whose()}\n${stable}`).digest('hex').slice(0, 16);
  const save = (): void => {
    try {
      file.write(memory);
    } catch {
      // Worth no failed check-in: on a full disk reports are sent once more after a restart.
    }
  };
  return {
    select: (reports, nowMs) =>
      Object.entries(reports)
        .filter(([alias, report]) => isAlwaysSent() || isWorthSending(memory[alias], hash(report), nowMs))
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

/** A clock that went back counts as a day elapsed: one report too many does less harm. */
function isWorthSending(old: Memory[string] | undefined, hash: string, nowMs: number): boolean {
  return old === undefined || old.hash !== hash || Math.abs(nowMs - old.sentAtMs) >= RESEND_AFTER_MS;
}
