import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { ensureDirectory, overwriteDurable, readFileBounded, writeFileDurable } from '../base/fs.ts';

/**
 * Room for a few reports that is taken while there is some: a failure must be reported although the disk is full, and
 * what fills it may well be why it failed. Each slot is written in place and carries a checksum.
 */

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
type Slot = v.InferOutput<typeof SlotSchema>;

interface ReportSlots {
  /** Reserves the space, unless that has been done. If the disk is already full, there is none: `put` reports it. */
  prepare(): void;
  /** All that hold a report, sent or not, oldest key first. */
  all(): Slot[];
  /** The number of the next report. */
  nextSequence(): number;
  /** False if every slot waits to be sent, or the report is too long for one. An existing key stays as it is. */
  put(report: Omit<Slot, 'isSent'>): boolean;
  markSent(key: string): void;
  /** Makes the slot of `key` free. */
  clear(key: string): void;
}

export function createReportSlots(directory: string): ReportSlots {
  const path = join(directory, 'failures.slots');
  const read = (): (Slot | undefined)[] => {
    const bytes = readBytes(path);
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
      const slots = read();
      if (slots.length === SLOTS) return;
      ensureDirectory(directory);
      // What a damaged file still holds stays.
      const kept = slots.map((slot) => (slot === undefined ? undefined : encodeSlot(slot)));
      const bytes = Array.from({ length: SLOTS }, (_, at) => kept[at] ?? Buffer.alloc(SLOT_BYTES));
      writeFileDurable(path, Buffer.concat(bytes), 0o600);
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

/** What cannot be read, or is no such file, holds no reports: the others must not wait for it. */
function readBytes(path: string): Buffer | undefined {
  try {
    return readFileBounded(path, SLOTS * SLOT_BYTES);
  } catch {
    return undefined;
  }
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
