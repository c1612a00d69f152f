/**
 * The traffic ledger on the disk: the present copy in run/gwe (tmpfs), one in var/lib/gwe that outlives a reboot, renewed
 * hourly and before an update (design.md §3). One process, the agent, keeps it; others leave slips for it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { uptimeMs } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import {
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';
import type { Logger } from '../base/log.ts';
import { bootId } from '../base/process.ts';
import type { Traffic } from '../protocol/transport.ts';
import type { Layout } from '../store/layout.ts';
import { interfaceOf, purposeOf } from './traffic.ts';
import {
  addEntry,
  type Book,
  BookSchema,
  createBook,
  type Entry,
  laterBook,
  nameDays,
  PURPOSES,
  type Purpose,
} from './traffic-book.ts';

const LARGEST_BOOK_BYTES = 1024 * 1024;
const LARGEST_SLIP_BYTES = 64 * 1024;
const MOST_SLIPS = 200;
const FLUSH_AFTER_MS = 3600 * 1000;
/** A long download is written down now and then. */
const SAVE_AFTER_BYTES = 1024 * 1024;

/** What run/gwe holds besides the book: it is of this boot. */
const RunSchema = v.object({
  book: BookSchema,
  bootId: v.string(),
  /** Of the last flush. */
  flushedSequence: v.number(),
  flushedUptimeMs: v.number(),
  /** Unix time at the machine's start, by the platform's word; absent before it was heard. */
  startMs: v.optional(v.number()),
});
type Run = v.InferOutput<typeof RunSchema>;

const NumberSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const SlipSchema = v.object({
  iface: v.pipe(v.string(), v.maxLength(64)),
  purpose: v.picklist(PURPOSES),
  rxBytes: NumberSchema,
  txBytes: NumberSchema,
  whole: v.optional(v.object({ rxBytes: NumberSchema, txBytes: NumberSchema })),
});

export interface LedgerParts {
  layout: Layout;
  log: Logger;
  /** The present Unix time by the platform's word over TLS in this process; `undefined` before. */
  heardMs(): number | undefined;
  /** The time that this machine's clock shows, where that is all there is to go by (plain http); else `undefined`. */
  plainMs(): number | undefined;
  /** Counted under this name where the socket does not tell its interface. */
  iface(): string;
}

export interface TrafficLedger {
  /** Counts one request, or a part of it. Never throws. */
  add(traffic: Traffic): void;
  /** From now on all is counted for this purpose, whatever the request. */
  countAs(purpose: Purpose): void;
  /** Everything so far, with what other processes have left. Do not change it. */
  book(): Book;
  /** Unix time if it can be trusted. */
  trustedMs(): number | undefined;
  /** Whether that is the platform's word over TLS, given since this machine was started. */
  isByPlatform(): boolean;
  /** From now on this process keeps the ledger: for the holder of the agent's lock. */
  own(): void;
  /** Writes down what is only in memory: into run/gwe, and into var/lib/gwe when an hour has gone by. */
  save(): void;
  /** Writes it into var/lib/gwe now, if anything has changed since. */
  flush(): void;
}

export function createTrafficLedger(parts: LedgerParts): TrafficLedger {
  const { layout, log } = parts;
  const runFile = join(layout.runDirectory, 'traffic.json');
  const stateFile = join(layout.stateDirectory, 'traffic.json');
  const slips = join(layout.runDirectory, 'traffic.d');
  const open = new Map<string, { rxBytes: number; txBytes: number }>();
  const slip: Entry[] = [];
  let kept: Run | undefined;
  let isOwner = false;
  let only: Purpose | undefined;
  let unsavedBytes = 0;
  let hasComplained = false;

  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      // A full disk is no reason to stop; the next save may find room. Whoever only looks on may not be allowed to write.
      if (isOwner && !hasComplained) log.warn('traffic.save', {}, describeError(error));
      hasComplained = true;
    }
  };
  const run = (): Run => {
    kept ??= load(runFile, stateFile);
    return kept;
  };
  const trustedMs = (): number | undefined => {
    const state = run();
    const heardMs = parts.heardMs();
    if (heardMs !== undefined) state.startMs = heardMs - uptimeMs();
    return state.startMs === undefined ? parts.plainMs() : state.startMs + uptimeMs();
  };
  const enter = (entry: Entry): void => {
    const day = dayOf(trustedMs());
    if (day !== undefined) nameDays(run().book, day);
    addEntry(run().book, entry, day);
  };
  const takeSlips = (isKept: boolean): void => {
    for (const name of listDirectory(slips)
      .filter((each) => each.endsWith('.json'))
      .slice(0, MOST_SLIPS)) {
      for (const entry of readSlip(join(slips, name))) enter(entry);
      if (isKept) removeFileDurable(join(slips, name));
    }
  };
  const flush = (): void => {
    const state = run();
    if (!isOwner || state.book.sequence === state.flushedSequence) return;
    state.flushedUptimeMs = uptimeMs();
    attempt(() => {
      ensureDirectory(dirname(stateFile));
      writeFileDurable(stateFile, JSON.stringify(state.book));
      state.flushedSequence = state.book.sequence;
    });
  };
  const save = (): void => {
    unsavedBytes = 0;
    attempt(() => {
      if (isOwner) {
        ensureDirectory(dirname(runFile));
        takeSlips(true);
        const day = dayOf(trustedMs());
        if (day !== undefined) nameDays(run().book, day);
        if (uptimeMs() - run().flushedUptimeMs >= FLUSH_AFTER_MS) flush();
        writeFileDurable(runFile, JSON.stringify(run()));
      } else if (slip.length > 0 && existsSync(layout.runDirectory)) {
        // Where no agent has ever run there is nobody to take it.
        ensureDirectory(slips);
        const name = `${process.pid}-${randomBytes(4).toString('hex')}.json`;
        writeFileDurable(join(slips, name), JSON.stringify(slip));
        slip.length = 0;
      }
    });
  };
  return {
    add(traffic) {
      const { rxBytes, txBytes, path, isLast } = traffic;
      const before = open.get(path) ?? { rxBytes: 0, txBytes: 0 };
      const whole = { rxBytes: before.rxBytes + rxBytes, txBytes: before.txBytes + txBytes };
      if (isLast) open.delete(path);
      else open.set(path, whole);
      const iface = interfaceOf(traffic.localAddress) ?? parts.iface();
      const entry: Entry = { iface, purpose: only ?? purposeOf(traffic), rxBytes, txBytes };
      if (isLast) entry.whole = whole;
      enter(entry);
      if (!isOwner) slip.push(entry);
      unsavedBytes += rxBytes + txBytes;
      if (unsavedBytes >= SAVE_AFTER_BYTES) save();
    },
    countAs(purpose) {
      only = purpose;
    },
    book() {
      if (!isOwner) {
        kept = undefined;
        attempt(() => takeSlips(false));
        for (const entry of slip) enter(entry);
      }
      return run().book;
    },
    trustedMs,
    isByPlatform: () => trustedMs() !== undefined && run().startMs !== undefined,
    own() {
      if (isOwner) return;
      isOwner = true;
      kept = undefined;
      save();
    },
    save,
    flush,
  };
}

function dayOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 10);
}

/** The later copy: run/gwe is gone after a reboot, and where it is on a real disk it may be of an earlier boot. */
function load(runFile: string, stateFile: string): Run {
  const here = readJson(runFile, RunSchema);
  const saved = readJson(stateFile, BookSchema);
  const boot = bootId();
  const isThisBoot = here !== undefined && here.bootId === boot && boot !== '';
  const book = laterBook(here?.book, saved) ?? createBook();
  return {
    book,
    bootId: boot,
    flushedSequence: saved?.sequence ?? 0,
    flushedUptimeMs: isThisBoot ? here.flushedUptimeMs : uptimeMs(),
    ...(isThisBoot && here.startMs !== undefined ? { startMs: here.startMs } : {}),
  };
}

function readSlip(path: string): Entry[] {
  return (readJson(path, v.pipe(v.array(SlipSchema), v.maxLength(1000)), LARGEST_SLIP_BYTES) ?? []).map(
    ({ whole, ...entry }) => (whole === undefined ? entry : { ...entry, whole }),
  );
}

/** A damaged or missing file counts as none: the other copy, or the next request, goes on from there. */
function readJson<T>(
  path: string,
  schema: v.GenericSchema<unknown, T>,
  limitBytes = LARGEST_BOOK_BYTES,
): T | undefined {
  try {
    const text = readTextBounded(path, limitBytes);
    return text === undefined ? undefined : v.parse(schema, JSON.parse(text));
  } catch {
    return undefined;
  }
}
