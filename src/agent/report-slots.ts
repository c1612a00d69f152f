/**
 * Room for a few reports that is taken while there is some: a failure must be told although the disk is full, and what
 * fills it may well be why it failed. Each slot is written in place and carries a checksum.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, overwriteDurable, readFileBounded, writeFileDurable } from '../base/fs.ts';

const SLOTS = 4;
const SLOT_BYTES = 8192;
/** The checksum, hex, and a line end. */
const CHECKSUM_BYTES = 65;

const SlotSchema = v.object({
  key: v.string(),
  alias: v.string(),
  value: v.string(),
  /** Counts the reports of failures, so that a reader sees which are missing. */
  sequence: v.number(),
  isSent: v.boolean(),
});
export type Slot = v.InferOutput<typeof SlotSchema>;

export interface ReportSlots {
  /** Takes the room, unless that has been done. A disk that is full by then gives none: `put` says so. */
  prepare(): void;
  /** All that hold a report, sent or not, oldest key first. */
  all(): Slot[];
  /** The number of the next report. */
  nextSequence(): number;
  /** False if every slot waits to be sent, or the report is too long for one. A key that is there already stays as it is. */
  put(report: Omit<Slot, 'isSent'>): boolean;
  markSent(key: string): void;
  /** Makes the slot of `key` free. */
  clear(key: string): void;
}

export function createReportSlots(directory: string): ReportSlots {
  const path = join(directory, 'failures.slots');
  const read = (): (Slot | undefined)[] => {
    const bytes = readFileBounded(path, SLOTS * SLOT_BYTES);
    if (bytes === undefined) return [];
    return Array.from({ length: Math.floor(bytes.length / SLOT_BYTES) }, (_, at) =>
      decodeSlot(bytes.subarray(at * SLOT_BYTES, (at + 1) * SLOT_BYTES)),
    );
  };
  const all = (): Slot[] =>
    read()
      .filter((slot) => slot !== undefined)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    prepare() {
      if (read().length === SLOTS) return;
      ensureDirectory(directory);
      writeFileDurable(path, Buffer.alloc(SLOTS * SLOT_BYTES), 0o600);
    },
    all,
    nextSequence: () => Math.max(0, ...all().map(({ sequence }) => sequence)) + 1,
    put(report) {
      const slots = read();
      if (slots.some((slot) => slot?.key === report.key)) return true;
      const bytes = encodeSlot({ ...report, isSent: false });
      const at = freeSlot(slots);
      if (bytes === undefined || at === -1) return false;
      overwriteDurable(path, at * SLOT_BYTES, bytes);
      return true;
    },
    markSent(key) {
      const slots = read();
      const at = slots.findIndex((slot) => slot?.key === key);
      const slot = slots[at];
      const bytes = slot === undefined || slot.isSent ? undefined : encodeSlot({ ...slot, isSent: true });
      if (bytes !== undefined) overwriteDurable(path, at * SLOT_BYTES, bytes);
    },
    clear(key) {
      const at = read().findIndex((slot) => slot?.key === key);
      if (at !== -1) overwriteDurable(path, at * SLOT_BYTES, Buffer.alloc(SLOT_BYTES));
    },
  };
}

/** An empty one, else the one that was sent first; the last sent stays, because its number goes on. */
function freeSlot(slots: readonly (Slot | undefined)[]): number {
  const empty = slots.indexOf(undefined);
  if (empty !== -1) return empty;
  const sent = slots.flatMap((slot, at) => (slot?.isSent === true ? [{ at, sequence: slot.sequence }] : []));
  return sent.sort((a, b) => a.sequence - b.sequence)[0]?.at ?? -1;
}

/** `undefined` for one that has no room. */
function encodeSlot(slot: Slot): Buffer | undefined {
  const text = Buffer.from(JSON.stringify(slot));
  if (text.length > SLOT_BYTES - CHECKSUM_BYTES) return undefined;
  const padded = Buffer.alloc(SLOT_BYTES - CHECKSUM_BYTES, ' ');
  text.copy(padded);
  return Buffer.concat([Buffer.from(`${checksum(padded)}\n`), padded]);
}

/** `undefined` for one that was never written, or that a power cut has torn. */
function decodeSlot(bytes: Buffer): Slot | undefined {
  const body = bytes.subarray(CHECKSUM_BYTES);
  if (bytes.toString('latin1', 0, CHECKSUM_BYTES) !== `${checksum(body)}\n`) return undefined;
  const slot = v.safeParse(v.pipe(v.string(), v.parseJson(), SlotSchema), body.toString('utf8'));
  // Whole, and of another gwe: nothing that this one could send.
  return slot.success ? slot.output : undefined;
}

function checksum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
