import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { uptimeMs } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { listDirectory } from '../../base/fs.ts';
import type { Logger } from '../../base/log.ts';
import { bootId } from '../../base/process.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import type { Traffic } from '../../protocol/transport-types.ts';
import type { Layout } from '../../store/layout.ts';
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
} from './book.ts';
import { interfaceOf, purposeOf } from './counter.ts';

/**
 * The traffic ledger on the disk: the present copy in run/gwe (tmpfs), one in var/lib/gwe that outlives a reboot,
 * renewed hourly and before an update (src/README.md, "Files on a gateway"). One process, the agent, keeps it; others
 * leave slips for it.
 */

const LARGEST_BOOK_BYTES = 1024 * 1024;
const LARGEST_SLIP_BYTES = 64 * 1024;
const MOST_SLIPS = 200;
/** What the platform's clock may be corrected by. */
const CREEP_MS = 24 * 3600 * 1000;
const FLUSH_AFTER_MS = 3600 * 1000;
/** A long download is written down now and then. */
const SAVE_AFTER_BYTES = 1024 * 1024;

/** What run/gwe holds besides the book: it is of this boot. */
const RunSchema = v.object({
  book: BookSchema,
  bootId: v.string(),
  /** The sequence number and the uptime at the last flush. */
  flushedSequence: v.number(),
  flushedUptimeMs: v.number(),
  /** Unix time at the machine's start, by the platform's word; absent before it was heard. */
  startMs: v.optional(v.number()),
  /** The earliest of all that it has said since. */
  anchorMs: v.optional(v.number()),
});
type Run = v.InferOutput<typeof RunSchema>;

const NumberSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const SlipsSchema = v.pipe(
  v.array(
    v.object({
      iface: v.pipe(v.string(), v.maxLength(64)),
      purpose: v.picklist(PURPOSES),
      rxBytes: NumberSchema,
      txBytes: NumberSchema,
      whole: v.optional(v.object({ rxBytes: NumberSchema, txBytes: NumberSchema })),
    }),
  ),
  v.maxLength(1000),
);
type Slip = v.InferOutput<typeof SlipsSchema>;

interface LedgerParts {
  layout: Layout;
  log: Logger;
  /** The present Unix time by the platform's word over TLS in this process; `undefined` before. */
  heardMs(): number | undefined;
  /** It is not earlier than this. */
  leastMs(): number;
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
  /**
   * By which the month turns; `undefined` where nothing is known. A platform cannot push it on faster than time passes:
   * what it says later counts up to a day beyond what it said first.
   */
  monthMs(): number | undefined;
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
  return new StoredLedger(parts);
}

class StoredLedger implements TrafficLedger {
  readonly #parts: LedgerParts;
  readonly #runFile: StoredFile<Run>;
  readonly #stateFile: StoredFile<Book>;
  readonly #open = new Map<string, { rxBytes: number; txBytes: number }>();
  /** What this process has counted for the one that keeps the ledger. */
  readonly #slip: Entry[] = [];
  #kept: Run | undefined;
  #isOwner = false;
  #only: Purpose | undefined;
  #unsavedBytes = 0;
  #hasComplained = false;

  constructor(parts: LedgerParts) {
    const { layout } = parts;
    this.#parts = parts;
    this.#runFile = storedFile(layout.trafficNow, { schema: RunSchema, limitBytes: LARGEST_BOOK_BYTES });
    this.#stateFile = flushedFile(layout.traffic);
  }

  add(traffic: Traffic): void {
    const { rxBytes, txBytes, path, isLast } = traffic;
    const before = this.#open.get(path) ?? { rxBytes: 0, txBytes: 0 };
    const whole = { rxBytes: before.rxBytes + rxBytes, txBytes: before.txBytes + txBytes };
    if (isLast) this.#open.delete(path);
    else this.#open.set(path, whole);
    const iface = interfaceOf(traffic.localAddress) ?? this.#parts.iface();
    const entry: Entry = { iface, purpose: this.#only ?? purposeOf(traffic), rxBytes, txBytes };
    if (isLast) entry.whole = whole;
    this.#enter(entry);
    if (!this.#isOwner) this.#slip.push(entry);
    this.#unsavedBytes += rxBytes + txBytes;
    if (this.#unsavedBytes >= SAVE_AFTER_BYTES) this.save();
  }

  countAs(purpose: Purpose): void {
    this.#only = purpose;
  }

  book(): Book {
    if (!this.#isOwner) {
      this.#kept = undefined;
      this.#attempt(() => this.#takeSlips(false));
      for (const entry of this.#slip) this.#enter(entry);
    }
    return this.#run().book;
  }

  trustedMs(): number | undefined {
    const state = this.#run();
    const heardMs = this.#parts.heardMs();
    if (heardMs !== undefined) {
      state.startMs = heardMs - uptimeMs();
      state.anchorMs = Math.min(state.anchorMs ?? state.startMs, state.startMs);
    }
    return state.startMs === undefined ? this.#parts.plainMs() : state.startMs + uptimeMs();
  }

  monthMs(): number | undefined {
    const claimedMs = this.trustedMs();
    const { startMs, anchorMs } = this.#run();
    const isClaim = startMs !== undefined && anchorMs !== undefined;
    const boundMs = isClaim ? Math.min(startMs, anchorMs + CREEP_MS) + uptimeMs() : claimedMs;
    const latestMs = Math.max(this.#parts.leastMs(), boundMs ?? 0);
    return latestMs > 0 ? latestMs : undefined;
  }

  isByPlatform(): boolean {
    return this.trustedMs() !== undefined && this.#run().startMs !== undefined;
  }

  own(): void {
    if (this.#isOwner) return;
    this.#isOwner = true;
    this.#kept = undefined;
    this.save();
  }

  save(): void {
    this.#unsavedBytes = 0;
    this.#attempt(() => {
      if (this.#isOwner) this.#saveOwn();
      else this.#leaveSlip();
    });
  }

  flush(): void {
    const state = this.#run();
    if (!this.#isOwner || state.book.sequence === state.flushedSequence) return;
    state.flushedUptimeMs = uptimeMs();
    this.#attempt(() => {
      this.#stateFile.write(state.book);
      state.flushedSequence = state.book.sequence;
    });
  }

  #saveOwn(): void {
    this.#takeSlips(true);
    const day = dayOf(this.trustedMs());
    if (day !== undefined) nameDays(this.#run().book, day);
    if (uptimeMs() - this.#run().flushedUptimeMs >= FLUSH_AFTER_MS) this.flush();
    this.#runFile.write(this.#run());
  }

  #leaveSlip(): void {
    const { layout } = this.#parts;
    // Where no agent has ever run there is nobody to take it.
    if (this.#slip.length === 0 || !existsSync(layout.runDirectory)) return;
    const name = `${process.pid}-${randomBytes(4).toString('hex')}.json`;
    slipFile(layout.trafficSlipsDirectory, name).write(this.#slip);
    this.#slip.length = 0;
  }

  #takeSlips(isKept: boolean): void {
    const { trafficSlipsDirectory: slips } = this.#parts.layout;
    for (const name of listDirectory(slips)
      .filter((each) => each.endsWith('.json'))
      .slice(0, MOST_SLIPS)) {
      const file = slipFile(slips, name);
      for (const entry of readSlip(file)) this.#enter(entry);
      if (isKept) file.remove();
    }
  }

  #enter(entry: Entry): void {
    const day = dayOf(this.trustedMs());
    if (day !== undefined) nameDays(this.#run().book, day);
    addEntry(this.#run().book, entry, day);
  }

  #run(): Run {
    this.#kept ??= load(this.#runFile, this.#stateFile);
    return this.#kept;
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      // A full disk is no reason to stop; the next save may find room. Whoever only looks on may not be allowed to write.
      if (this.#isOwner && !this.#hasComplained)
        this.#parts.log.warn('traffic.save', {}, describeError(error));
      this.#hasComplained = true;
    }
  }
}

function dayOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 10);
}

/** The later copy: run/gwe is gone after a reboot, and where it is on a real disk it may be of an earlier boot. */
function load(runFile: StoredFile<Run>, stateFile: StoredFile<Book>): Run {
  const here = runFile.readOr(undefined);
  const saved = stateFile.readOr(undefined);
  const boot = bootId();
  const isThisBoot = here !== undefined && here.bootId === boot && boot !== '';
  const book = laterBook(here?.book, saved) ?? createBook();
  return {
    book,
    bootId: boot,
    flushedSequence: saved?.sequence ?? 0,
    flushedUptimeMs: isThisBoot ? here.flushedUptimeMs : uptimeMs(),
    ...(isThisBoot && here.startMs !== undefined
      ? { startMs: here.startMs, anchorMs: here.anchorMs ?? here.startMs }
      : {}),
  };
}

/** As flushed; the later of both copies counts. */
export function flushedFile(path: string): StoredFile<Book> {
  const merge = (file: Book, copy: Book): Book => (copy.sequence > file.sequence ? copy : file);
  return storedFile<Book>(path, { schema: BookSchema, limitBytes: LARGEST_BOOK_BYTES, copy: { merge } });
}

function slipFile(directory: string, name: string): StoredFile<Slip> {
  return storedFile(join(directory, name), { schema: SlipsSchema, limitBytes: LARGEST_SLIP_BYTES });
}

function readSlip(file: StoredFile<Slip>): Entry[] {
  return file
    .readOr<Slip>([])
    .map(({ whole, ...entry }) => (whole === undefined ? entry : { ...entry, whole }));
}
